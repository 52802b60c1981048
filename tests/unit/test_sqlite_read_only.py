"""Reading a SQLite store that may not be written to: all is left as it was."""

import os
from pathlib import Path

import apsw
import pytest
from tests.unit.sqlite_files import contents, filled, unprivileged

from perdure.backends import sqlite_open
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import ReadHead, ReadState
from perdure.errors import (
    PerdureError,
    ReadOnlyStore,
    StoreUnavailable,
)
from perdure.testing.contract_kit import Writer, must_be, opened


def test_read_only_reads_and_does_not_write(tmp_path: Path) -> None:
    writer = filled(tmp_path / "a.db")
    with opened(lambda: SqliteBackend(tmp_path / "a.db", read_only=True)) as backend:
        state = backend.perform(ReadState("agent"))
        assert (state.head.blob, state.records) == (b"head", tuple(writer.rows))
        with pytest.raises(ReadOnlyStore, match="read_only=True"):
            backend.perform(writer.commit(b"two"))


def test_read_only_leaves_everything_as_it_was(tmp_path: Path) -> None:
    writer = filled(tmp_path / "a.db")
    before, times = contents(tmp_path), (tmp_path / "a.db").stat()

    def make() -> SqliteBackend:
        return SqliteBackend(tmp_path / "a.db", read_only=True)

    for _ in range(2):
        with opened(make) as backend, opened(make) as another:
            must_be(writer.read(backend), writer.read(another), "records")
        assert contents(tmp_path) == before
    assert (tmp_path / "a.db").stat().st_mtime_ns == times.st_mtime_ns


def test_a_connection_to_read_with_refuses_to_write(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    connection = sqlite_open.reader(sqlite_open.Place(str(tmp_path / "a.db"), read_only=True))
    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("DELETE FROM heads")
    connection.close()


def test_read_only_leaves_the_log_of_a_writer_that_died(tmp_path: Path) -> None:
    """Moving it into the store is the next writer's; a reader only reads it."""
    there = tmp_path / "there"
    there.mkdir()
    writer = Writer("agent")
    with opened(lambda: SqliteBackend(tmp_path / "a.db")) as backend:
        writer.save(backend, b"one")
        for name in ("a.db", "a.db-wal"):
            (there / name).write_bytes((tmp_path / name).read_bytes())
    before = contents(there)
    with opened(lambda: SqliteBackend(there / "a.db", read_only=True)) as left:
        must_be(writer.read(left), tuple(writer.rows), "records")
    after = contents(there)
    assert {name: after[name] for name in before} == before


def test_read_only_beside_a_writer_takes_nothing_from_it(tmp_path: Path) -> None:
    writer = Writer("agent")
    with opened(lambda: SqliteBackend(tmp_path / "a.db")) as backend:
        with opened(lambda: SqliteBackend(tmp_path / "a.db", read_only=True)) as reader:
            writer.save(backend, b"one")
            must_be(writer.read(reader), tuple(writer.rows), "records")
        writer.save(backend, b"two")
        assert (tmp_path / "a.db-wal").stat().st_size
    with opened(lambda: SqliteBackend(tmp_path / "a.db", read_only=True)) as reader:
        must_be(writer.read(reader), tuple(writer.rows), "records")
    assert os.listdir(tmp_path) == ["a.db"]


def test_read_only_in_a_read_only_directory(open_to_all: Path) -> None:
    with unprivileged():
        writer = filled(open_to_all / "a.db")
        open_to_all.chmod(0o555)
        try:
            with opened(lambda: SqliteBackend(open_to_all / "a.db", read_only=True)) as backend:
                must_be(writer.read(backend), tuple(writer.rows), "records")
            with pytest.raises(PerdureError, match=f"may not write to {open_to_all}"):
                SqliteBackend(open_to_all / "a.db").connect()
            with pytest.raises(ReadOnlyStore, match="No permission to make"):
                SqliteBackend(open_to_all / "new.db").connect()
        finally:
            open_to_all.chmod(0o755)


def test_a_file_that_may_not_be_written(open_to_all: Path) -> None:
    with unprivileged():
        writer = filled(open_to_all / "a.db")
        (open_to_all / "a.db").chmod(0o400)
        with pytest.raises(ReadOnlyStore, match="read_only=True"):
            SqliteBackend(open_to_all / "a.db").connect()
        with opened(lambda: SqliteBackend(open_to_all / "a.db", read_only=True)) as backend:
            must_be(writer.read(backend), tuple(writer.rows), "records")
        (open_to_all / "a.db").chmod(0)
        with pytest.raises(StoreUnavailable, match="no permission to read"):
            SqliteBackend(open_to_all / "a.db", read_only=True).perform(ReadHead("agent"))
