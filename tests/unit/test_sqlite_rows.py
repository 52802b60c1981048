"""Large rows and pages in a SQLite file: what reading touches, what the log and the file hold."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import apsw
import pytest

from perdure import limits
from perdure.backends import sqlite_log, sqlite_rows, sqlite_space
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import (
    Discard,
    ListPages,
    ListRows,
    ReadRecords,
    ReadState,
    RecordRow,
    Run,
    Stage,
)
from perdure.errors import Busy, ReadOnlyStore
from perdure.testing.contract_kit import LAST, Writer
from perdure.testing.powercut import PowerCut

PACK_BYTES = 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


@pytest.fixture
def backend(path: Path) -> Iterator[SqliteBackend]:
    with closing(SqliteBackend(path)) as backend:
        yield backend


@contextmanager
def database(path: Path) -> Iterator[apsw.Connection]:
    """The file past its backend, by the same library: another would drop our locks on it."""
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def packed(backend: SqliteBackend, packs: int) -> Writer:
    """A state of packs of ten records and a tail of five, with pages of the same size."""
    writer = Writer()
    rows = tuple(RecordRow(0, 10 * n, os.urandom(PACK_BYTES), 10) for n in range(1, packs + 1))
    writer.save(backend, rows=rows)
    writer.put(backend, *((b"%032d" % n, os.urandom(PACK_BYTES)) for n in range(packs)))
    writer.save(backend, *(b"r" * 600 for _ in range(5)), after=10 * packs)
    return writer


def pages_read(path: Path, read: object) -> int:
    """How many pages of the file SQLite reads for a request, with nothing in its cache."""
    with database(path) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        before = connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
        match read:
            case ReadState():
                assert sqlite_rows.read_state(connection, read)
            case ReadRecords():
                assert sqlite_rows.read_records(connection, read)
            case ListRows():
                assert sqlite_rows.list_rows(connection, read)
        return connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - before


def test_no_large_row_is_read_that_is_not_asked_for(path: Path, backend: SqliteBackend) -> None:
    packs = (60, 3, 3, 3, 3, 3)
    writers = [packed(backend, packs=count) for count in packs]
    for writer, count in zip(writers, packs):
        last = 10 * count
        assert pages_read(path, ReadState(writer.key)) < 10
        assert pages_read(path, ReadRecords(writer.incarnation, 0, last + 1, LAST, LAST)) < 10
        # One page for each row, and those of the trees above them.
        sizes = ListRows(writer.incarnation, 0, 0, LAST, 1000)
        assert pages_read(path, sizes) < count + 10


def test_records_beyond_those_asked_for_are_not_read(path: Path, backend: SqliteBackend) -> None:
    writer = Writer()
    writer.save(backend, *(b"r" * 600 for _ in range(1000)))
    for first in (1, 500):
        asked = ReadRecords(writer.incarnation, 0, first, first + 4, LAST)
        assert pages_read(path, asked) < 10


def test_a_read_of_records_is_one_range_of_the_index(backend: SqliteBackend, path: Path) -> None:
    backend.connect()
    with database(path) as connection:
        for sql in (sqlite_rows._RECORDS, sqlite_rows._RECORDS_NEWEST_FIRST, sqlite_rows._ROWS):
            asked = (b"", 0, 1, 9, 5)[: 5 if "?5" in sql else 4]
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", asked)]
            range_ = "(incarnation=? AND line=? AND number>? AND number<?)"
            assert plan[0].endswith(range_), plan
            assert not any("TEMP B-TREE" in step or "SCAN" in step for step in plan), plan


def test_the_log_stays_short_whatever_is_put(backend: SqliteBackend, path: Path) -> None:
    writer = Writer()
    writer.save(backend, b"one")
    longest = 0
    for number in range(120):
        writer.put(backend, (b"%d" % number, os.urandom(256 * 1024)))
        longest = max(longest, os.stat(f"{path}-wal").st_size)
    assert longest < 2 * limits.wal_checkpoint_bytes


def test_a_log_that_grows_while_it_is_moved_begins_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)
    monkeypatch.setattr(sqlite_log, "RESTART_BYTES", 128 * 1024)
    with PowerCut() as disk, closing(SqliteBackend(path, vfs=disk.name)) as backend:
        writer, longest = Writer(), 0
        writer.save(backend)
        with closing(SqliteBackend(path, busy_timeout=0)) as other:
            meanwhile = Writer()

            def save(operation: str) -> None:
                if operation == "syncing":
                    with suppress(Busy):
                        meanwhile.save(other, b"while the log is moved")

            for _ in range(60):
                writer.save(backend, os.urandom(10_000))
                disk.on_operation = save
                backend.after_commit()
                disk.on_operation = None
                longest = max(longest, os.stat(f"{path}-wal").st_size)
        assert meanwhile.rows
        assert longest < 256 * 1024


def test_who_writes_much_waits_for_the_log_and_who_saves_does_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)
    with closing(SqliteBackend(path)) as backend, ThreadPoolExecutor(1) as pool:
        writer, saver = Writer(), Writer()
        saver.save(backend)

        def put() -> None:
            for id_ in (b"1", b"2"):
                writer.put(backend, (id_, os.urandom(80_000)))

        with backend._moving:  # as if another thread moved it
            putting = pool.submit(put)
            while not writer.pages(backend, b"1"):
                continue
            saver.save(backend, b"one")
            backend.after_commit()
            wait((putting,), timeout=0.1)
            assert not writer.pages(backend, b"2")
        putting.result()
        assert writer.pages(backend, b"2")


# ---- space ----------------------------------------------------------------------------------


def test_space_is_given_back(backend: SqliteBackend, path: Path) -> None:
    writer = packed(backend, packs=40)
    kept = packed(backend, packs=2)
    ids = tuple(id_ for id_, _ in backend.perform(ListPages(writer.incarnation, None, 99)))
    pack = RecordRow(0, 400, b"all of it", 400)
    writer.save(backend, rows=(pack,), removed=(Run(0, 1, 400),), dropped=ids)
    told, longest = list[tuple[int, int]](), 0

    def progress(done: int, total: int) -> None:
        nonlocal longest
        longest = max(longest, os.stat(f"{path}-wal").st_size)
        told.append((done, total))
        kept.save(backend, b"a save between two steps")

    given_back = backend.compact(progress)
    assert given_back > 75 * PACK_BYTES
    assert len(told) > 10
    assert (told[-1][0], told[-1][1]) == (given_back, given_back)
    assert longest < 2 * limits.wal_checkpoint_bytes
    assert os.stat(path).st_size < 6 * PACK_BYTES  # two packs and two pages are left
    assert backend.size_bytes() < 7 * PACK_BYTES
    assert writer.read(backend)[0] == pack
    assert kept.read(backend) == tuple(kept.rows)
    with database(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_one_step_takes_a_bounded_number_of_pages(backend: SqliteBackend, path: Path) -> None:
    writer = packed(backend, packs=20)
    writer.save(backend, removed=(Run(0, 1, 200),))
    steps: list[int] = []
    backend.compact(lambda done, total: steps.append(done))
    sizes = [after - before for before, after in zip([0, *steps], steps)]
    assert max(sizes) <= sqlite_space.STEP_PAGES * 4096
    assert len(steps) >= 7


def test_a_file_that_has_no_map_of_its_pages_is_left_as_it_is(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        writer = packed(backend, packs=5)
        writer.save(backend, removed=(Run(0, 1, 50),))
    with database(path) as connection:
        connection.pragma("journal_mode", "delete")
        connection.pragma("auto_vacuum", "none")
        connection.execute("VACUUM")
    with closing(SqliteBackend(path)) as backend:
        writer.save(backend, b"more" * 5_000)
        writer.save(backend, removed=(Run(0, 1, LAST),))
        assert backend.compact() == 0


def test_a_reader_cannot_compact(path: Path) -> None:
    with closing(SqliteBackend(path)) as backend:
        Writer().save(backend, b"one")
    with closing(SqliteBackend(path, read_only=True)) as backend, pytest.raises(ReadOnlyStore):
        backend.compact()


def test_a_discarded_staging_leaves_nothing(backend: SqliteBackend, path: Path) -> None:
    writer = Writer()
    backend.perform(Stage(writer.incarnation, (RecordRow(0, 9, b"pack", 9),), 5))
    writer.put(backend, (b"page", b"page"))
    backend.perform(Discard(writer.incarnation))
    with database(path) as connection:
        for table in ("records", "pages", "staged", "heads"):
            assert connection.execute(f"SELECT count(*) FROM {table}").get == 0, table


# ---- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["'text'", "x'00ff'", "1.5", "-3", "9000"])
def test_a_damaged_count_keeps_nobody_from_reading_the_others(
    backend: SqliteBackend, path: Path, value: str
) -> None:
    writer = packed(backend, packs=3)
    with database(path) as connection:
        connection.execute(f"UPDATE records SET count = {value} WHERE number = 20")
    rows = writer.read(backend)
    assert {row.number for row in rows} >= {10, 30, 31, 35}
    assert all(type(row.count) is int for row in rows)
    assert backend.perform(ListRows(writer.incarnation, 0, 0, LAST, 99))
    assert backend.perform(ReadState(writer.key))


@pytest.mark.parametrize("value", ["'text'", "7", "1.5"])
def test_a_damaged_page_is_read_as_bytes(backend: SqliteBackend, path: Path, value: str) -> None:
    writer = Writer()
    writer.put(backend, (b"root", b"root"), (b"other", b"other"))
    writer.save(backend, page=b"root")
    with database(path) as connection:
        connection.execute(f"UPDATE pages SET blob = {value} WHERE id = CAST('root' AS BLOB)")
    assert type(writer.pages(backend, b"root")[b"root"]) is bytes
    assert writer.pages(backend, b"other") == {b"other": b"other"}
    assert type(backend.perform(ReadState(writer.key)).pages[0].blob) is bytes
    assert len(backend.perform(ListPages(writer.incarnation, None, 9))) == 2
    writer.put(backend, (b"root", b"root"))
    assert writer.pages(backend, b"root") == {b"root": b"root"}
