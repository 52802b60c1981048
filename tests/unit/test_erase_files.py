"""Nothing of what was erased is in the store's files, nor in a backup made afterwards (P8)."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure
from perdure.errors import Busy, KeyMissing

MARKS = ("NAME", "VALUE", "LABEL", "META", "SECTION", "SUMMARY", "CLAIM", "RESULT", "BRANCH")
KEY = "support/xNAMEx"


def written(store: perdure.Store, key: str = KEY) -> None:
    """A state with a marker wherever a text can be, saved often, so that pages were split."""
    with store.open(key) as session:
        session.state["xSECTIONx"] = []
        session.summary = "xSUMMARYx"
        for number in range(60):
            session.state["xSECTIONx"].append(
                {"n": number, "text": "xVALUEx" + os.urandom(20).hex()}
            )
            session.save(label="xLABELx", metadata={"m": "xMETAx"})
        with session.task("xCLAIMx") as task:
            task.step("xCLAIMx", lambda: "xRESULTx")
    store.fork(key, "xBRANCHx", at=20)
    store.maintain(key)


def others(store: perdure.Store) -> None:
    """States that stay, among whose rows the others were."""
    for number in range(20):
        with store.open(f"other/{number}") as session:
            session.state["text"] = os.urandom(500).hex()


def found_in(path: Path) -> set[str]:
    """The markers in all files of a directory that begin as the store's name does."""
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    data = b"".join(each.read_bytes() for each in files)
    return {mark for mark in MARKS if f"x{mark}x".encode() in data}


@pytest.mark.parametrize("keyed", [False, True])
def test_no_marker_is_left_in_any_file_P8(tmp_path: Path, keyed: bool) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path, key=bytes(32) if keyed else None) as store:
        others(store)
        written(store)
        others(store)
        # An encrypted store has the name in the clear: the search is known to find what is there.
        assert found_in(path) >= {"NAME"}
        assert keyed or found_in(path) >= {"NAME", "VALUE", "LABEL", "META", "SUMMARY", "BRANCH"}
        store.erase(KEY)
        assert found_in(path) == set()
        store.backup(tmp_path / "backup.db")
        assert found_in(tmp_path / "backup.db") == set()
        assert all(each.ok for each in store.verify())
        assert len(store.states("other/")) == 20
    assert found_in(path) == set()


def test_without_the_wipe_markers_are_left_and_compact_removes_them(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store:
        written(store)
        store.erase(KEY, wipe=False)
        assert found_in(path) != set()  # in the log at least
    with perdure.Store(path) as store:
        store.compact()
        assert found_in(path) == set()
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM perdure WHERE name = 'unwiped'").fetchall()


def test_without_the_wipe_most_of_what_was_there_is_overwritten(
    tmp_path: Path,
) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store, store.open(KEY) as session:
        session.state["raw"] = [b"xVALUEx" + os.urandom(2_000) for _ in range(20)]
    assert path.read_bytes().count(b"xVALUEx") == 20
    with perdure.Store(path) as store:
        store.erase(KEY, wipe=False)
    assert path.read_bytes().count(b"xVALUEx") < 5


def test_what_was_pruned_or_deleted_before_goes_too(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store:
        written(store)
        store.prune(perdure.Retention(keep_last=2, keep_labels=False), KEY)
        store.maintain(KEY)
        store.delete(KEY)
        written(store)
        store.erase(KEY)
        assert found_in(path) == set()
        assert store.unreferenced() == []


def test_a_reader_of_the_log_is_waited_for_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path, busy_timeout=0.2) as store:
        written(store)
        # By the same library: to another in this process, the locks of this one are its own.
        with closing(apsw.Connection(str(path))) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM records").fetchall()
            with pytest.raises(Busy, match=r"is erased.*still in.*perdure compact"):
                store.erase(KEY)
            assert store.states() == []
            reader.execute("COMMIT")
        assert store.erase(KEY).was_erased  # ends it
        assert found_in(path) == set()


def test_with_keys_apart_no_backup_can_be_decrypted(tmp_path: Path) -> None:
    options: dict[str, Any] = {"key": bytes(32), "keys_url": str(tmp_path / "keys.db")}
    with perdure.Store(tmp_path / "agents.db", **options) as store:
        written(store)
        store.backup(tmp_path / "backup.db")
        (life,) = store.erase(KEY).lives
        owner = bytes.fromhex(life.incarnation)
    for name in ("keys.db", "agents.db"):
        data = b"".join(
            each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith(name)
        )
        assert (owner in data) == (name == "agents.db")  # there in the receipt's row
    with perdure.Store(tmp_path / "backup.db", **options) as backup, pytest.raises(KeyMissing):
        backup.at(KEY, 1)


def test_a_store_that_is_encrypted_later_has_its_receipts_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store:
        written(store)
        others(store)
        store.erase(KEY, keep_name=True, reason="xVALUEx")
        assert found_in(path) == {"NAME", "VALUE"}
    with perdure.Store(path, key=bytes(32)) as store:
        assert store.encrypt().problems == ()
        assert found_in(path) == set()
        assert [each.key for each in store.erasures()] == [KEY]
        store.rewrap(deep=True)
        assert [each.reason for each in store.erasures(KEY)] == ["xVALUEx"]
        assert store.key_info().states == 20


def test_compact_removes_the_keys_apart_of_what_was_erased_without_a_wipe_P8(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys.db"
    with perdure.Store(tmp_path / "a.db", key=bytes(32), keys_url=str(keys)) as store:
        written(store)
        others(store)
        with apsw.Connection(str(keys)) as before:
            rows = dict(before.execute("SELECT owner, blob FROM keys"))
        store.erase(KEY, wipe=False)
        with apsw.Connection(str(keys)) as after:
            stay = {owner for (owner,) in after.execute("SELECT owner FROM keys")}
        (gone,) = (blob for owner, blob in rows.items() if owner not in stay)
        store.compact()
        data = b"".join(each.read_bytes() for each in tmp_path.glob("keys.db*"))
        assert gone not in data


def test_compact_ends_the_writing_anew_that_a_reader_broke_off_P8(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, busy_timeout=0.1, maintenance="off") as store:
        for number in range(20):
            with store.open("a") as session:
                session.state[f"v{number}"] = "MARKER" + "y" * 500
        with closing(apsw.Connection(str(path))) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM heads").fetchall()
            told = store.redact("a", match="MARKER")
            assert any("compact" in each for each in told.warnings)
        assert any(b"MARKER" in each.read_bytes() for each in tmp_path.glob("a.db*"))
        store.compact()
        assert not any(b"MARKER" in each.read_bytes() for each in tmp_path.glob("a.db*"))
