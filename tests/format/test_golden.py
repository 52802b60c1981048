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
from msgspec.structs import replace
from tests.format.make_golden import tagged

import perdure
from perdure.core.head import Head, open_head, seal_head

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path.name for path in GOLDEN.iterdir())


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one golden directory."""
    copied = tmp_path / "golden"
    shutil.copytree(GOLDEN / request.param, copied)
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
        assert [each.key for each in store.states(deleted=True)] == expected["deleted"]


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
    key, later = expected["key"], {"later": [1, {"more": b"bytes"}]}

    def head_in(file: Path) -> tuple[bytes, Head]:
        with closing(sqlite3.connect(file)) as database:
            [[store]] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'")
            [[blob]] = database.execute("SELECT head FROM heads WHERE key = ?", (key.encode(),))
        return store, open_head(blob, store=store, key=key)

    store_id, head = head_in(golden / "store.db")
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
    assert saved.unknown == later


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


def test_a_golden_store_is_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < 200_000
