"""Stores of every format ever frozen, and of the present one, are read as they were written (P10).

`make_golden.py` wrote them; `test_record_vectors.py` reads the same files without the library.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.format.tagged import tagged

import perdure
from perdure import limits
from perdure.core.codec import pack
from perdure.core.head import Head, Unknown
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.page import Shape
from perdure.core.seal import Kind, Place, seal
from perdure.engine.requests import Commit, HeadRow, ReadHead
from perdure.engine.save import tail_of
from perdure.errors import Damaged, NewerFormat

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path.name for path in GOLDEN.iterdir())


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one golden directory."""
    copied = tmp_path / "golden"
    shutil.copytree(GOLDEN / request.param, copied)
    for file in copied.glob("*.db"):
        with perdure.Store(file) as store:
            store.upgrade(backup=False)
    return copied


@pytest.fixture
def expected(golden: Path) -> dict[str, Any]:
    """What has to be read from it."""
    read: dict[str, Any] = json.loads((golden / "expected.json").read_text(encoding="ascii"))
    return read


def assert_as_expected(store: perdure.Store, key: str, expected: dict[str, Any]) -> None:
    history = store.history(key)
    assert [each.number for each in reversed(history)] == [
        each["number"] for each in expected["checkpoints"]
    ]
    for found, each in zip(reversed(history), expected["checkpoints"], strict=True):
        assert (found.id, found.hash, found.session) == (each["id"], each["hash"], each["session"])
        assert found.time.isoformat() == each["time"]
        assert (found.label, tagged(found.metadata)) == (each["label"], each["metadata"])
        assert list(found.sections) == each["sections"]
        assert tagged(store.at(key, found.number).plain()) == each["state"], found.number


def test_every_format_up_to_the_present_one_is_there() -> None:
    from perdure.core.seal import FORMAT

    assert [f"format-{number}" for number in range(FORMAT + 1)] == FORMATS


def test_a_golden_store_reads_as_it_was_written(golden: Path, expected: dict[str, Any]) -> None:
    with perdure.Store(golden / "store.db", read_only=True) as store:
        assert_as_expected(store, expected["key"], expected)
        states = [[each.key, each.number, each.summary] for each in store.states()]
        assert states == expected["states"]
        sessions = store.sessions(expected["key"])
        assert [[each.id, each.ended, each.first, each.last] for each in sessions] == (
            expected["sessions"]
        )
        deleted = [(each.key, each.life) for each in store.states(deleted=True)]
        lives = ["golden/again", *expected["deleted"]]  # of the first, a second one is live
        assert deleted == [(key, 1) for key in lives]


def test_a_golden_store_verifies(golden: Path, expected: dict[str, Any]) -> None:
    with perdure.Store(golden / "store.db", read_only=True) as store:
        found = store.verify()
    assert len(found) == len(expected["states"]) + len(expected["deleted"])
    assert [each for each in found if not each.ok] == []


def test_a_golden_state_is_resumed_and_saved_to(golden: Path, expected: dict[str, Any]) -> None:
    last = expected["checkpoints"][-1]
    with perdure.Store(golden / "store.db") as store:
        with store.open(expected["key"], must_exist=True) as session:
            assert tagged(dict(session.state)) == last["state"]
            assert session.resumed is not None
            assert session.resumed.checkpoint.hash == last["hash"]
            assert session.resumed.ended == "closed"
            session.state["values"]["more"] = [1]
        assert store.history(expected["key"])[0].number == last["number"] + 1
        assert store.at(expected["key"], last["number"] + 1)["values"]["more"] == [1]
        assert all(each.ok for each in store.verify())


def test_a_golden_store_keeps_what_it_had_when_it_is_saved_to(
    golden: Path, expected: dict[str, Any]
) -> None:
    with perdure.Store(golden / "store.db") as store:
        with store.open(expected["key"]) as session:
            session.state["more"] = 1
        count = len(expected["checkpoints"])
        for each in expected["checkpoints"]:
            assert tagged(store.at(expected["key"], each["number"]).plain()) == each["state"]
        assert store.info(expected["key"]).number == count + 1


def test_saving_keeps_what_a_newer_version_wrote_P10(
    golden: Path, expected: dict[str, Any]
) -> None:
    key = expected["key"]

    def head_in(file: Path) -> tuple[bytes, Head]:
        with closing(sqlite3.connect(file)) as database:
            [[store]] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'")
            [[blob]] = database.execute("SELECT head FROM heads WHERE key = ?", (key.encode(),))
        return store, open_head(blob, store=store, key=key)

    store_id, head = head_in(golden / "store.db")
    further: dict[Any, list[Any]] = {"main": [b"more"], head.marks[-1].id: ["more", None]}
    later = Unknown({"later": [1, {"more": b"bytes"}]}, further)
    blob = seal_head(replace(head, unknown=later), store=store_id, key=key)
    with closing(sqlite3.connect(golden / "store.db")) as database, database:
        database.execute("UPDATE heads SET head = ? WHERE key = ?", (blob, key.encode()))
    with perdure.Store(golden / "store.db") as store:
        with store.open(key) as session:
            session.state["more"] = 1
        store.delete(key)
        store.undelete(key)
    _, saved = head_in(golden / "store.db")
    assert saved.branches["main"].number == head.branches["main"].number + 1
    # The mark was of a session that ended, and the next that ends takes its place.
    assert saved.unknown == Unknown(later.keys, {"main": [b"more"]})


def test_saving_keeps_what_a_newer_version_wrote_of_a_former_life_P10() -> None:
    store = perdure.Store("memory:")
    with store.open("a") as session:
        session.state["life"] = 1
    store.delete("a")
    with store.open("a") as session:
        session.state["life"] = 2
    backend = store._driver.backend
    store_id, row = backend.connect().store_id, backend.perform(ReadHead("a"))
    head = open_head(row.blob, store=store_id, key="a")
    later = Unknown({"later": 1}, {"main": ["more"], head.former[0].marks[0].id: ["more"]})
    newer = replace(head, token=bytes(16), former=(replace(head.former[0], unknown=later),))
    blob = seal_head(newer, store=store_id, key="a")
    backend.perform(Commit("a", row.token, HeadRow(newer.token, blob), tail_of(newer)))
    with store.open("a") as session:
        session.state["life"] = 3
    store.delete("a")
    store.undelete("a", life=1)
    saved = open_head(backend.perform(ReadHead("a")).blob, store=store_id, key="a")
    assert (saved.unknown, saved.former[0].unknown) == (later, UNSET)
    assert store.copy("a", "b").number == 1
    copied = open_head(backend.perform(ReadHead("b")).blob, store=store_id, key="b")
    assert copied.unknown == Unknown({"later": 1}, {})


def head_in(store: perdure.Store, key: str) -> tuple[Head, bytes]:
    backend = store._driver.backend
    row = backend.perform(ReadHead(key))
    return open_head(row.blob, store=backend.connect().store_id, key=key), row.token


def test_saving_keeps_what_a_newer_version_wrote_of_a_snapshot_P10(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "tail_records_max", 2)
    store = perdure.Store("memory:", maintenance="off")
    for number in range(9):
        with store.open("a") as session:
            session.state["n"] = number
        store.maintain("a")
    backend = store._driver.backend
    head, token = head_in(store, "a")
    old, older, *_ = head.branches["main"].snapshots or ()
    later = Unknown(
        {},
        {},
        {
            ("main", old.number, old.root.id): (["more"], []),
            ("main", older.number, older.root.id): ([], [b"of the reference", None]),
        },
    )
    newer = replace(head, token=bytes(16), unknown=later)
    blob = seal_head(newer, store=backend.connect().store_id, key="a")
    backend.perform(Commit("a", token, HeadRow(newer.token, blob), tail_of(newer)))
    with store.open("a") as session:
        for session.state["n"] in range(4):
            session.save()
    store.maintain("a")
    saved, _ = head_in(store, "a")
    assert (saved.branches["main"].snapshots or ())[1:3] == (old, older)
    assert saved.unknown == later
    assert head_in(store, store.copy("a", "b").key)[0].unknown == UNSET


@pytest.mark.parametrize("is_former", [False, True])
def test_a_tree_of_a_newer_shape_is_of_a_newer_format_P10(is_former: bool) -> None:
    root = [len(Shape) + 1, bytes(32), 0, 0, 0, 0]
    branch = [0, 3, bytes(16), bytes(32), 1, [[2, root]]]
    life = {"inc": bytes(16), "made": 1, "at": 1, "token": bytes(16), "branches": {"main": branch}}
    wire = {**life, "branches": {}, "former": [life]} if is_former else life
    blob = seal(Kind.HEAD, Place(bytes(16), b"a"), pack(wire))
    with pytest.raises(NewerFormat, match="pip install --upgrade perdure"):
        open_head(blob, store=bytes(16), key="a")
    for root[0] in (0, "6", None):
        blob = seal(Kind.HEAD, Place(bytes(16), b"a"), pack(wire))
        with pytest.raises(Damaged):
            open_head(blob, store=bytes(16), key="a")


@pytest.mark.parametrize("is_kept", [False, True])
def test_claims_in_a_tree_of_a_newer_shape_are_of_a_newer_format_P10(is_kept: bool) -> None:
    root = [len(Shape) + 1, bytes(32), 0, 0, 0, 0]
    claim = [bytes(16), bytes(16), ["", 1, "", ""], 1, "", 2, None, root]
    claims = {"claims": {"k": claim}} if is_kept else {"claimed": root}
    wire = {"inc": bytes(16), "made": 1, "at": 1, "token": bytes(16), **claims}
    blob = seal(Kind.HEAD, Place(bytes(16), b"a"), pack(wire))
    with pytest.raises(NewerFormat, match="pip install --upgrade perdure"):
        open_head(blob, store=bytes(16), key="a")
    root[0] = "6"
    blob = seal(Kind.HEAD, Place(bytes(16), b"a"), pack(wire))
    with pytest.raises(Damaged):
        open_head(blob, store=bytes(16), key="a")


def test_a_golden_deleted_state_comes_back(golden: Path, expected: dict[str, Any]) -> None:
    with perdure.Store(golden / "store.db") as store:
        for key in expected["deleted"]:
            assert store.undelete(key).key == key
            assert store.open(key).state["life"] == 1


def test_a_golden_export_is_imported_with_its_hashes(
    golden: Path, expected: dict[str, Any]
) -> None:
    with perdure.Store(golden.parent / "new.db") as store:
        assert store.import_(golden / "state.perdure").key == expected["key"]
        assert_as_expected(store, expected["key"], expected)
        assert all(each.ok for each in store.verify())


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_store_is_small(name: str) -> None:
    assert sum(path.stat().st_size for path in (GOLDEN / name).rglob("*")) < 400_000
