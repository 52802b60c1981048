"""The vectors and golden stores, read by `plain_reader`, which knows nothing but docs/format.md.

Below the line "the library" Perdure itself reads and writes the same.
"""

import json
import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from tests.format.plain_reader import (
    HEAD,
    PACK,
    RECORD,
    ZERO,
    Record,
    check_chain,
    h,
    head_of,
    leaf,
    payload_of,
    place,
    read_export,
    read_store,
    record_of,
    records_of,
    states_of,
    value_of,
)

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "format-1"
VECTORS = json.loads((HERE / "vectors" / "records.json").read_text(encoding="ascii"))
FORMAT = (HERE.parents[1] / "docs" / "format.md").read_text(encoding="utf-8")
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="ascii"))


# ---- read from the specification alone ------------------------------------------------------


def raw(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("vector", VECTORS["seal"])
def test_a_blob_is_read_from_the_specification(vector: dict[str, Any]) -> None:
    store, owner, payload, blob = raw(vector, "store", "owner", "payload", "blob")
    where = place(store, owner, vector["line"], vector["number"])
    assert payload_of(blob, vector["kind"], where) == payload
    with pytest.raises(AssertionError):
        payload_of(blob, vector["kind"], place(store, owner, vector["line"], vector["number"] + 1))


@pytest.mark.parametrize("vector", VECTORS["chain"])
def test_the_chain_is_computed_from_the_specification(vector: dict[str, Any]) -> None:
    parent, salt, incarnation, canonical = raw(vector, "parent", "salt", "incarnation", "canonical")
    found = leaf(salt, incarnation, vector["line"], vector["number"], canonical)
    assert found.hex() == vector["leaf"]
    assert h(parent + found).hex() == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS["changes"])
def test_changes_are_read_from_the_specification(vector: dict[str, Any]) -> None:
    assert value_of(bytes.fromhex(vector["hex"])) == [vector["change"]]


def test_the_vectors_hold_every_kind_of_change() -> None:
    assert {vector["change"][0] for vector in VECTORS["changes"]} == {1, 2, 3, 4}


@pytest.mark.parametrize("vector", VECTORS["record"])
def test_a_record_is_read_from_the_specification(vector: dict[str, Any]) -> None:
    store, incarnation, blob, canonical = raw(vector, "store", "incarnation", "blob", "canonical")
    where = place(store, incarnation, vector["line"], vector["number"])
    payload = payload_of(blob, RECORD, where)
    record = record_of(payload, incarnation, vector["line"], vector["number"])
    assert payload[48:] == canonical
    assert payload[32:48].hex() == vector["salt"]
    id_, session, parent, hash_ = raw(vector, "id", "session", "parent", "hash")
    changes, extra = vector["changes"], vector["extra"]
    assert record == Record(id_, vector["time_us"], session, changes, extra, parent, hash_)


def test_a_vector_is_compressed() -> None:
    flags = [int(vector["blob"][12:16], 16) for vector in VECTORS["record"]]
    assert {0, 0x0100} <= set(flags)


@pytest.mark.parametrize("vector", VECTORS["pack"])
def test_a_pack_is_read_from_the_specification(vector: dict[str, Any]) -> None:
    store, incarnation, blob, parent = raw(vector, "store", "incarnation", "blob", "parent")
    where = place(store, incarnation, vector["line"], vector["number"])
    payload = payload_of(blob, PACK, where)
    assert payload.hex() == vector["payload"]
    records = records_of(payload, incarnation, vector["line"], vector["number"])
    for record, expected in zip(records, vector["records"], strict=True):
        id_, session, hash_ = raw(expected, "id", "session", "hash")
        said, extra = expected["changes"], expected["extra"]
        assert record == Record(id_, expected["time_us"], session, said, extra, parent, hash_)
        parent = hash_


def test_the_vectors_hold_packs_of_every_kind() -> None:
    flags = [int(vector["blob"][12:16], 16) for vector in VECTORS["pack"]]
    assert flags == [0, 0x0100]
    usual = [record["canonical"][:2] == "95" for record in VECTORS["pack"][0]["records"]]
    assert usual == [True, True, False, True]


@pytest.mark.parametrize("vector", VECTORS["head"])
def test_a_head_is_read_from_the_specification(vector: dict[str, Any]) -> None:
    store, blob = raw(vector, "store", "blob")
    assert head_of(payload_of(blob, HEAD, place(store, vector["key"].encode()))) == vector["fields"]


@pytest.mark.parametrize("vector", VECTORS["idempotency"])
def test_an_idempotency_key_is_computed_from_the_specification(vector: dict[str, Any]) -> None:
    said = bytes.fromhex(vector["origin"]) + vector["key"].encode()
    found = blake2b(said, digest_size=16, person=b"perdure effect").hexdigest()
    assert found == vector["is"]
    assert vector["is"] in FORMAT or vector is not VECTORS["idempotency"][0]


def assert_as_expected(
    head: dict[str, Any], records: list[Record], expected: list[dict[str, Any]]
) -> None:
    check_chain(records, head)
    assert [record.hash.hex() for record in records] == [each["hash"] for each in expected]
    for state, each in zip(states_of(records), expected, strict=True):
        assert state == each["state"], each["number"]
    for record, each in zip(records, expected, strict=True):
        said = dict(record.extra["map"])
        assert (record.id.hex(), record.session.hex()) == (each["id"], each["session"])
        assert (said.get("label"), said.get("metadata")) == (each["label"], each["metadata"])


def test_a_golden_store_is_read_from_the_specification() -> None:
    assert_as_expected(*read_store(GOLDEN / "store.db", EXPECTED["key"]), EXPECTED["checkpoints"])


def test_a_golden_export_is_read_from_the_specification() -> None:
    key, head, records = read_export(GOLDEN / "state.perdure")
    assert key == EXPECTED["key"]
    assert_as_expected(head, records, EXPECTED["checkpoints"])


def test_a_deleted_and_a_second_life_are_read_from_the_specification() -> None:
    head, _ = read_store(GOLDEN / "store.db", "golden/deleted")
    assert head["gone"] is not None
    head, records = read_store(GOLDEN / "store.db", "golden/again")
    assert [former["gone"] is not None for former in head["former"]] == [True]
    assert list(states_of(records)) == [{"map": [["life", 2]]}]


# ---- the library ----------------------------------------------------------------------------


def test_what_the_library_writes_today_is_read_from_the_specification(tmp_path: Path) -> None:
    from tests.format.make_golden import write_store

    expected = json.loads(json.dumps(write_store(tmp_path)))
    key, checkpoints = expected["key"], expected["checkpoints"]
    assert_as_expected(*read_store(tmp_path / "store.db", key), checkpoints)
    found, head, records = read_export(tmp_path / "state.perdure")
    assert found == key
    assert_as_expected(head, records, checkpoints)
    assert [each["state"] for each in checkpoints] == (
        [each["state"] for each in EXPECTED["checkpoints"]]
    )


def test_the_library_writes_the_vectors() -> None:
    from tests.format.make_records import make_vectors

    # The bytes of a compressed body are the compressor's; that they are read is proved above.
    def without_compressed(vectors: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name: [vector for vector in vectors[name] if vector["blob"][12:16] == "0000"]
            for name in ("record", "pack")
        }
        return {**vectors, **kept}

    written = json.loads(json.dumps(make_vectors()))
    assert without_compressed(written) == without_compressed(VECTORS)


@pytest.mark.parametrize("vector", VECTORS["record"])
def test_the_library_reads_the_records(vector: dict[str, Any]) -> None:
    from perdure.core.record import open_record

    store, incarnation, blob = raw(vector, "store", "incarnation", "blob")
    where = {"line": vector["line"], "number": vector["number"]}
    record = open_record(blob, store=store, incarnation=incarnation, **where)
    assert record.canonical.hex() == vector["canonical"]
    assert (record.hash.hex(), record.parent.hex()) == (vector["hash"], vector["parent"])
    assert (record.id.hex(), record.salt.hex()) == (vector["id"], vector["salt"])


@pytest.mark.parametrize("vector", VECTORS["pack"])
def test_the_library_reads_the_packs(vector: dict[str, Any]) -> None:
    from perdure.core.pack import open_pack, pack_records

    store, incarnation, blob = raw(vector, "store", "incarnation", "blob")
    where = {"line": vector["line"], "number": vector["number"], "count": len(vector["records"])}
    records = open_pack(blob, store=store, incarnation=incarnation, **where)
    for record, expected in zip(records, vector["records"], strict=True):
        assert (record.number, record.canonical.hex()) == (
            expected["number"],
            expected["canonical"],
        )
        assert (record.hash.hex(), record.salt.hex()) == (expected["hash"], expected["salt"])
    assert pack_records(records).hex() == vector["payload"]


@pytest.mark.parametrize("vector", VECTORS["head"])
def test_the_library_reads_the_heads_and_writes_them_the_same(vector: dict[str, Any]) -> None:
    from perdure.core.head_bytes import open_head, seal_head

    store, blob = raw(vector, "store", "blob")
    head = open_head(blob, store=store, key=vector["key"])
    assert head.token.hex() == vector["fields"]["token"]
    assert seal_head(head, store=store, key=vector["key"]) == blob


@pytest.mark.parametrize("vector", VECTORS["changes"])
def test_the_library_reads_the_changes_and_writes_them_the_same(vector: dict[str, Any]) -> None:
    from perdure.core.changes import pack_changes, unpack_changes

    [packed] = raw(vector, "hex")
    assert pack_changes(unpack_changes(packed)) == packed


@pytest.mark.parametrize("vector", VECTORS["seal"])
def test_the_library_reads_the_blobs_and_writes_them_the_same(vector: dict[str, Any]) -> None:
    from perdure.core.seal import Kind, Place, seal, unseal

    store, owner, payload, blob = raw(vector, "store", "owner", "payload", "blob")
    where = Place(store, owner, vector["line"], vector["number"])
    assert seal(Kind(vector["kind"]), where, payload) == blob
    assert unseal(Kind(vector["kind"]), where, blob, 1 << 20) == payload


@pytest.mark.parametrize(("at", "byte"), [(4, 2), (6, 0x80)], ids=["format 2", "unknown flag"])
def test_a_newer_blob_is_refused_P10(at: int, byte: int) -> None:
    from perdure.core.seal import Kind, Place, unseal
    from perdure.errors import NewerFormat

    where = Place(bytes(16), b"key")
    header = bytearray(b"PERD\x00\x01\x00\x00")
    header[at] = byte
    signed = place(bytes(16), b"key") + bytes(header) + b"body"
    tag = blake2b(signed, digest_size=16, person=b"perdure.seal").digest()
    with pytest.raises(NewerFormat):
        unseal(Kind.HEAD, where, bytes(header) + b"body" + tag, 100)


def test_an_unknown_flag_that_is_not_required_is_ignored() -> None:
    from perdure.core.seal import Kind, Place, unseal

    header = b"PERD\x00\x01\x00\x80"
    signed = place(bytes(16), b"key") + header + b"body"
    tag = blake2b(signed, digest_size=16, person=b"perdure.seal").digest()
    assert unseal(Kind.HEAD, Place(bytes(16), b"key"), header + b"body" + tag, 100) == b"body"


def test_a_record_with_more_in_it_is_read_P10() -> None:
    from perdure.core.changes import pack_changes
    from perdure.core.record import Draft, open_record, seal_again, seal_draft

    where = {"store": bytes(16), "incarnation": bytes(range(16))}
    draft = Draft(bytes(16), 1, bytes(16), pack_changes([]), bytes(16), {"later": {"x": [1]}})
    blob = seal_draft(draft, **where, line=0, number=1, parent=ZERO).blob
    record = open_record(blob, **where, line=0, number=1)
    assert record.extra == {"later": {"x": [1]}}
    assert seal_again(record, **where, parent=ZERO).blob == blob


def test_the_reader_uses_nothing_of_the_library() -> None:
    source = (HERE / "plain_reader.py").read_text(encoding="utf-8")
    imported = re.findall(r"^ *(?:import|from) (\w+)", source, re.MULTILINE)
    assert "msgspec" in imported
    assert "perdure" not in imported
