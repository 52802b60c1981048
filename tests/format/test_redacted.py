"""What was redacted is read as docs/format.md says, without the library and by it (P5, P10)."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.format.plain_reader import (
    PACK,
    RECORD,
    REDACTED,
    check_chain,
    check_receipts,
    payload_of,
    place,
    read_export,
    read_store,
    record_of,
    records_of,
    states_of,
    told_in,
)
from tests.format.tagged import tagged

import perdure

GOLDEN = Path(__file__).parent / "redacted"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="ascii"))
VECTORS = EXPECTED["vectors"]
FORMAT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
KEY, MAIL = EXPECTED["key"], b"alice"


def test_a_redacted_store_is_read_from_the_specification() -> None:
    head, records = read_store(GOLDEN / "store.db", KEY)
    check_chain(records, head)
    assert [record.hash.hex() for record in records] == EXPECTED["hashes"]
    assert list(states_of(records)) == EXPECTED["states"]
    assert check_receipts(GOLDEN / "store.db", KEY) == EXPECTED["redacted"] == [4, 5, 6, 41, 80]


def test_a_redacted_export_is_read_from_the_specification() -> None:
    key, head, records = read_export(GOLDEN / "state.perdure")
    assert key == KEY
    check_chain(records, head)
    assert list(states_of(records)) == EXPECTED["states"]


def test_nothing_of_it_is_in_the_files_P8() -> None:
    for each in GOLDEN.iterdir():
        assert MAIL not in each.read_bytes()


def test_the_vectors_are_read_from_the_specification() -> None:
    store, incarnation, canonical = (
        bytes.fromhex(VECTORS[name]) for name in ("store", "incarnation", "canonical")
    )
    blob = bytes.fromhex(VECTORS["record"])
    assert int.from_bytes(blob[6:8], "big") & REDACTED
    payload = payload_of(blob, RECORD, place(store, incarnation, 0, 1))
    assert payload[48:] == canonical
    first = record_of(payload, incarnation, 0, 1)
    assert first.content is not None
    assert (first.hash.hex(), first.content.hex()) == (VECTORS["hashes"][0], VECTORS["content"])
    blob = bytes.fromhex(VECTORS["pack"])
    assert int.from_bytes(blob[6:8], "big") & REDACTED
    payload = payload_of(blob, PACK, place(store, incarnation, 0, 2))
    found = records_of(payload, incarnation, 0, 2)
    assert [each.hash.hex() for each in found] == VECTORS["hashes"]
    assert [each.content for each in found] == [first.content, None]
    assert told_in(VECTORS["receipt"]) == {(0, 1): first.content}


def test_the_library_reads_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    shutil.copy(GOLDEN / "store.db", file)
    with perdure.Store(file, read_only=True) as store:
        history = store.history(KEY)[::-1]
        assert [each.hash for each in history] == EXPECTED["hashes"]
        assert [each.number for each in history if each.redacted] == EXPECTED["redacted"]
        states = [tagged(store.at(KEY, each.number).plain()) for each in history]
        assert json.loads(json.dumps(states)) == EXPECTED["states"]
        assert [each.summary() for each in store.movements(KEY)] == EXPECTED["movements"]
        assert [each.problem for each in store.verify()] == [None]
    with perdure.Store("memory:") as other:
        other.import_(GOLDEN / "state.perdure")
        assert [each.hash for each in other.history(KEY)[::-1]] == EXPECTED["hashes"]
        assert [each.problem for each in other.verify()] == [None]


def test_the_library_writes_the_vectors() -> None:
    from tests.format.make_redacted import make_vectors

    assert json.loads(json.dumps(make_vectors())) == VECTORS


def test_the_specification_has_its_example() -> None:
    from perdure.core.redacted import with_leaf

    found = with_leaf(bytes.fromhex("950102039080"), bytes(range(32)))
    assert found.hex(" ").startswith("96 01 02 03 90 80 c4 20 00 01 02")
    assert "`96 01 02 03 90 80 c4 20 00 01 … 1f`" in FORMAT


def test_what_the_library_writes_today_is_read_from_the_specification(tmp_path: Path) -> None:
    from tests.format.make_redacted import write_redacted

    told = json.loads(json.dumps(write_redacted(tmp_path)))
    head, records = read_store(tmp_path / "store.db", KEY)
    check_chain(records, head)
    assert [record.hash.hex() for record in records] == told["hashes"]
    assert check_receipts(tmp_path / "store.db", KEY) == told["redacted"]
    assert read_export(tmp_path / "state.perdure")[0] == KEY
