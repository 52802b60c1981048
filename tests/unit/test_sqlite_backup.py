"""Backups of a SQLite store: whole while others write, in the place of nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import (
    ReadState,
)
from perdure.errors import (
    StoreUnavailable,
    UsageError,
)
from perdure.testing.contract_kit import Writer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "a.db")
    backend.connect()
    yield backend
    backend.close()


def test_a_backup_is_whole_while_others_write(store: SqliteBackend, tmp_path: Path) -> None:
    writer = Writer("agent")
    for number in range(40):
        writer.save(store, os.urandom(100_000), head=b"%d" % (number + 1))
    steps: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        steps.append((done, total))
        writer.save(store, b"meanwhile", head=b"%d" % (writer.number + 1))

    store.backup(tmp_path / "copy.db", progress)
    assert len(steps) > 2
    assert steps[-1][0] == steps[-1][1]
    copy = SqliteBackend(tmp_path / "copy.db", create=False)
    state = copy.perform(ReadState("agent"))
    assert len(state.records) == int(state.head.blob) == 40
    assert copy.connect() == store.connect()
    copy.close()
    assert sorted(os.listdir(tmp_path)) == ["a.db", "a.db-shm", "a.db-wal", "copy.db"]


def test_a_backup_replaces_nothing(store: SqliteBackend, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_bytes(b"mine")
    with pytest.raises(UsageError, match="replaces nothing"):
        store.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"mine"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("through", ["", "link"])
def test_a_backup_has_no_name_of_the_stores_own_files(
    tmp_path: Path, suffix: str, through: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with perdure.Store(tmp_path / "a.db") as store, store.open("a") as session:
        session.state["n"] = 1
    with perdure.Store(tmp_path / through / "a.db") as store:
        target = tmp_path / f"a.db{suffix}"
        # By the links that lead there, too; one that is in use exists, and so is refused anyway.
        with pytest.raises(UsageError, match="name another"):
            store.backup(target)
        with store.open("a") as session:
            assert session.state["n"] == 1


def test_a_backup_replaces_nothing_that_was_made_meanwhile(
    store: SqliteBackend, tmp_path: Path
) -> None:
    def progress(done: int, total: int) -> None:
        (tmp_path / "copy.db").write_bytes(b"theirs")

    with pytest.raises(UsageError, match="replaces nothing"):
        store.backup(tmp_path / "copy.db", progress)
    assert (tmp_path / "copy.db").read_bytes() == b"theirs"
    assert sorted(os.listdir(tmp_path)) == ["a.db", "a.db-shm", "a.db-wal", "copy.db"]


def test_a_backup_that_fails_leaves_nothing(store: SqliteBackend, tmp_path: Path) -> None:
    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.backup(tmp_path / "copy.db", progress)
    with pytest.raises(StoreUnavailable, match="make the directory"):
        store.backup(tmp_path / "no" / "copy.db")
    assert "copy.db" not in {name.split(".partial")[0][:7] for name in os.listdir(tmp_path)}
    Writer("agent").save(store, b"still at work")
