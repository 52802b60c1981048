"""Pages and snapshots, read by `plain_pages`, which knows nothing but docs/format.md (P6).

Below the line "the library" Perdure itself reads and writes the same.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.format.plain_pages import (
    BYTES,
    INNER,
    LEAVES,
    MAP,
    PAGE,
    TEXT,
    WHOLE,
    Tree,
    cut_hash,
    cuts,
    page_id,
    page_of,
    read_snapshots,
    rolled,
)
from tests.format.plain_reader import apply, check_chain, payload_of, place, states_of, value_of

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "format-1"
VECTORS = json.loads((HERE / "vectors" / "pages.json").read_text(encoding="ascii"))
MAINTAINED = json.loads((GOLDEN / "maintained.json").read_text(encoding="ascii"))


# ---- read from the specification alone ------------------------------------------------------


def raw(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("vector", VECTORS["page"], ids=lambda vector: vector["about"])
def test_a_page_is_read_from_the_specification(vector: dict[str, Any]) -> None:
    store, incarnation, secret, blob = raw(vector, "store", "incarnation", "secret", "blob")
    id_, payload = raw(vector, "id", "payload")
    assert payload_of(blob, PAGE, place(store, incarnation + id_)) == payload
    assert page_id(payload, secret) == id_
    with pytest.raises(AssertionError):
        payload_of(blob, PAGE, place(store, incarnation + bytes(32)))
    page = page_of(payload)
    if "body" in vector:
        assert value_of(page.body) == vector["body"]
    else:
        assert (page.level, page.body) == (2, b"\x90")
        assert [child[1:] for child in page.references] == [
            [10, 20_000, 1],
            [20, 40_000, 0],
            [30, 60_000, 1],
        ]


def test_the_vectors_hold_pages_of_every_shape() -> None:
    pages = [page_of(bytes.fromhex(vector["payload"])) for vector in VECTORS["page"]]
    assert {page.shape for page in pages} == {1, MAP, TEXT, BYTES, WHOLE}
    assert {int(vector["blob"][12:16], 16) for vector in VECTORS["page"]} == {0, 0x0100}
    assert sum(page.level == 0 and bool(page.references) for page in pages) == 2


@pytest.mark.parametrize("vector", VECTORS["cut"], ids=lambda vector: vector["letters"])
def test_cuts_are_decided_as_the_specification_says(vector: dict[str, Any]) -> None:
    [secret] = raw(vector, "secret")
    entry = b"\xda" + vector["letters"].to_bytes(2, "big") + b"x" * vector["letters"]
    assert f"{cut_hash(entry, secret):016x}" == vector["hash"]
    assert rolled(0, entry, secret, LEAVES[0]) == cut_hash(entry, secret)


@pytest.mark.parametrize("vector", VECTORS["cuts"], ids=lambda vector: vector["about"])
def test_lists_are_cut_where_the_specification_says(vector: dict[str, Any]) -> None:
    from tests.format.make_pages import CUT_LISTS

    [secret] = raw(vector, "secret")
    packed = [msgspec.msgpack.encode(value) for value in CUT_LISTS[vector["about"]]]
    assert cuts(packed, secret, LEAVES) == vector["ends"]
    assert len(vector["ends"]) > (vector["about"] != "one value")
    assert [8 * each for each in INNER] == list(LEAVES)


def test_a_tree_is_read_from_the_specification() -> None:
    vector = VECTORS["tree"]
    pages = {bytes.fromhex(id_): bytes.fromhex(page) for id_, page in vector["pages"].items()}
    [secret, root] = raw({"secret": vector["secret"], "root": vector["root"][1]}, "secret", "root")
    tree = Tree(secret, pages.__getitem__)
    reference = [vector["root"][0], root, *vector["root"][2:]]
    assert tree.value(reference) == vector["state"]
    assert tree.pages == len(pages)


def assert_rebuilt(path: Path, expected: dict[str, Any]) -> None:
    """That the newest snapshot and the tail make what all records make, and older ones too."""
    from tests.format.make_pages import digest_of

    stored = read_snapshots(path, expected["key"])
    check_chain(stored.records, stored.head)
    assert [record.hash.hex() for record in stored.records] == expected["hashes"]
    states = list(states_of(stored.records))
    found = [[number, reference[1].hex()] for number, reference in stored.kept()]
    assert found == expected["snapshots"]
    for number, state, _ in stored.snapshots:
        assert state == states[number - 1]
    number, state, _ = stored.snapshots[0]
    tail = stored.records[number:]
    assert tail
    for record in tail:
        for change in record.changes:
            apply(state, change)
    assert state == states[-1]
    for at, digest in expected["states"].items():
        assert digest_of(states[int(at) - 1]) == digest, at


def test_a_golden_store_is_rebuilt_from_its_newest_snapshot_and_the_tail_P6() -> None:
    assert_rebuilt(GOLDEN / "maintained.db", MAINTAINED)


def test_the_golden_store_holds_what_there_is_to_hold() -> None:
    stored = read_snapshots(GOLDEN / "maintained.db", MAINTAINED["key"])
    assert stored.packs > 0
    assert len(stored.snapshots) == 2
    shared = sum(pages for _, _, pages in stored.snapshots) - len(stored.pages)
    assert shared > 5, "snapshots share what did not change"
    assert stored.shapes == {(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0)}


def test_the_reader_uses_nothing_of_the_library() -> None:
    source = (HERE / "plain_pages.py").read_text(encoding="utf-8")
    imported = set(re.findall(r"^ *(?:import|from) ([\w.]+)", source, re.MULTILINE))
    assert "tests.format.plain_reader" in imported
    assert not [name for name in imported if name.startswith("perdure")]


# ---- the library ----------------------------------------------------------------------------


def test_what_the_library_writes_today_is_rebuilt_from_the_specification(tmp_path: Path) -> None:
    from tests.format.make_pages import write_maintained

    expected = json.loads(json.dumps(write_maintained(tmp_path)))
    assert_rebuilt(tmp_path / "maintained.db", expected)
    assert expected["states"] == MAINTAINED["states"]


def test_the_library_writes_the_vectors() -> None:
    from tests.format.make_pages import make_page_vectors

    # The bytes of a compressed body are the compressor's; that they are read is proved above.
    def without_compressed(vectors: dict[str, Any]) -> dict[str, Any]:
        kept = [
            {name: vector[name] for name in vector if name != "blob"}
            if vector["blob"][12:16] != "0000"
            else vector
            for vector in vectors["page"]
        ]
        return {**vectors, "page": kept}

    written = json.loads(json.dumps(make_page_vectors()))
    assert without_compressed(written) == without_compressed(VECTORS)


def test_the_library_cuts_pages_of_references_as_the_specification_says() -> None:
    from perdure.core.tree import build

    secret = bytes(32)
    items = [f"{number} " * 3_000 for number in range(1_200)]
    built = build({"items": items}, secret)
    tree = Tree(secret, built.pages.__getitem__)
    root = built.root
    reference = [int(root.shape), root.id, root.level, root.count, root.bytes, root.trees]
    assert tree.value(reference) == {"map": [["items", items]]}
    assert (1, 2) in tree.shapes


@pytest.mark.parametrize("vector", VECTORS["page"], ids=lambda vector: vector["about"])
def test_the_library_reads_the_pages(vector: dict[str, Any]) -> None:
    from perdure import limits
    from perdure.core.seal import Kind, Place, unseal

    store, incarnation, id_, blob = raw(vector, "store", "incarnation", "id", "blob")
    where = Place(store, incarnation, page=id_)
    found = unseal(Kind.PAGE, where, blob, limits.page_payload_bytes_max)
    assert found.hex() == vector["payload"]


def test_the_library_reads_the_tree() -> None:
    from tests.format.tagged import tagged

    from perdure.core.page import Ref, Shape
    from perdure.core.tree_read import read_value

    vector = VECTORS["tree"]
    shape, id_, *sums = vector["root"]
    reading = read_value(Ref(Shape(shape), bytes.fromhex(id_), *sums))
    pages = {bytes.fromhex(each): bytes.fromhex(page) for each, page in vector["pages"].items()}
    asked = next(reading)
    with pytest.raises(StopIteration) as stop:
        while True:
            asked = reading.send({each: pages[each] for each in asked})
    assert tagged(stop.value.value) == vector["state"]


def test_the_library_reads_the_maintained_store_and_goes_on(tmp_path: Path) -> None:
    from tests.format.make_pages import digest_of
    from tests.format.tagged import tagged

    import perdure

    shutil.copy(GOLDEN / "maintained.db", tmp_path)
    key = MAINTAINED["key"]
    with perdure.Store(tmp_path / "maintained.db", maintenance="off") as store:
        assert [each.hash for each in reversed(store.history(key))] == MAINTAINED["hashes"]
        for at, digest in MAINTAINED["states"].items():
            assert digest_of(tagged(store.at(key, int(at)).plain())) == digest, at
        with store.open(key) as session:
            session.state["more"] = True
        store.maintain(key)
        assert [each.problem for each in store.verify()] == [None]
        last = list(MAINTAINED["states"])[-1]
        assert digest_of(tagged(store.at(key, int(last)).plain())) == MAINTAINED["states"][last]
