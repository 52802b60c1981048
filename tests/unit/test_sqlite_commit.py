"""A SQLite store at work: waiting, failing, the log's size, forks, backups."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from perdure import limits
from perdure.backends.sqlite import SqliteBackend
from perdure.backends.sqlite_open import Place, patiently
from perdure.engine.requests import (
    Committed,
    Moved,
    ReadHead,
    ReadState,
)
from perdure.errors import (
    Busy,
    CommitUnknown,
    StorageFull,
    StoreUnavailable,
)
from perdure.testing.contract_kit import Writer
from perdure.testing.powercut import PowerCut

MEGABYTE = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "a.db")
    backend.connect()
    yield backend
    backend.close()


def wal_bytes(backend: SqliteBackend) -> int:
    return os.path.getsize(f"{backend.path}-wal")


# ---- others in the way ----------------------------------------------------------------------


def test_busy_names_the_file_and_how_long(store: SqliteBackend) -> None:
    other = apsw.Connection(store.path)
    other.execute("BEGIN IMMEDIATE")
    impatient = SqliteBackend(store.path, busy_timeout=0.05)
    writer = Writer("agent")
    commit = writer.commit(b"one")
    with pytest.raises(Busy, match=r"a\.db for more than 0\.05 s") as caught:
        impatient.perform(commit)
    assert "locked" not in str(caught.value)
    other.execute("ROLLBACK")
    assert impatient.perform(commit) == Committed()
    impatient.close()
    other.close()


def test_who_waited_behind_another_commit_does_not_wait_as_long_once_more(
    tmp_path: Path,
) -> None:
    """An hour, that is: with another one to wait, this test would not end."""
    patient = SqliteBackend(tmp_path / "a.db", busy_timeout=3600)
    writer = Writer("agent")
    writer.save(patient, b"one")
    other = apsw.Connection(patient.path)
    other.execute("BEGIN IMMEDIATE")
    patient.wait_from(time.monotonic() - 3600)
    with pytest.raises(Busy):
        patient.commit((writer.commit(b"two"),))
    other.execute("ROLLBACK")
    other.close()
    assert patient.perform(writer.commit(b"two")) == Committed()
    assert patient._wait_ms == 3_600_000
    patient.close()


def test_the_wait_for_a_file_to_open_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again waits inside SQLite only for what is left."""
    now = [100.0]
    waits: list[float] = []

    def work(place: Place) -> None:
        waits.append(place.busy_timeout)
        now[0] += 3.0
        raise apsw.BusyError("busy")

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(Busy, match=r"for more than 5 s"):
        patiently(Place("agents.db", busy_timeout=5.0), work)
    assert waits == [5.0, 2.0]


def test_a_connection_that_took_time_to_open_waits_as_long_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apsw.Connection.set_busy_timeout
    told: list[int] = []

    class Noted(apsw.Connection):
        def set_busy_timeout(self, milliseconds: int) -> None:
            told.append(milliseconds)
            real(self, milliseconds)

    monkeypatch.setattr(apsw, "Connection", Noted)
    backend = SqliteBackend(tmp_path / "a.db", busy_timeout=5.0)
    backend.connect()
    assert told[-1] == 5000
    backend.perform(ReadHead("agent"))
    assert told[-1] == 5000
    backend.close()


def test_reading_goes_on_while_another_writes(store: SqliteBackend) -> None:
    writer = Writer("agent")
    head = writer.save(store, b"one").head
    other = apsw.Connection(store.path)
    other.execute("BEGIN IMMEDIATE; DELETE FROM heads")
    assert store.perform(ReadHead("agent")) == head
    other.execute("ROLLBACK")
    other.close()


CHILD = """
import sys
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import *
path, own, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
backend = SqliteBackend(path)
backend.connect()
print("ready", flush=True)
sys.stdin.readline()
for key, label in ((own, own), ("shared", own)):
    for turn in range(count):
        while True:
            head = backend.perform(ReadHead(key))
            number = int(head.blob) + 1 if head else 1
            new = HeadRow(f"{label}{turn}".encode(), str(number).encode())
            row = RecordRow(0, number, f"{label} {turn}".encode())
            tail = Tail(key.encode(), 0, 0)
            commit = Commit(key, head and head.token, new, tail, (row,), "process")
            if isinstance(backend.perform(commit), Committed):
                break
        backend.after_commit()
backend.close()
"""


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    """P3: on keys of their own and on the same key; `Busy` never comes up."""
    path, count = tmp_path / "a.db", 60
    names = ("left", "right")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), name, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        assert child.stdin
    for child in children:
        child.stdin.write("\n")  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert errors == ["", ""]
    assert [child.returncode for child in children] == [0, 0]
    backend = SqliteBackend(path)
    for key in names:
        state = backend.perform(ReadState(key))
        assert [row.blob.decode() for row in state.records] == [f"{key} {n}" for n in range(count)]
    rows = [row.blob.decode() for row in backend.perform(ReadState("shared")).records]
    for name in names:
        assert [row for row in rows if row.startswith(name)] == [
            f"{name} {n}" for n in range(count)
        ]
    assert len(rows) == 2 * count
    backend.close()


# ---- failures -------------------------------------------------------------------------------


class FailingDisk(PowerCut):
    """A disk that fails the next operation of a kind."""

    def __init__(self) -> None:
        super().__init__(self.perhaps_fail)
        self.failing = ""
        self.error: type[Exception] = apsw.IOError

    def perhaps_fail(self, operation: str) -> None:
        if operation == self.failing:
            self.failing = ""
            raise self.error("planted")


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[FailingDisk, SqliteBackend]]:
    with FailingDisk() as disk:
        backend = SqliteBackend(tmp_path / "a.db", vfs=disk.name)
        backend.connect()
        yield disk, backend
        backend.close()


def test_a_commit_whose_sync_failed_is_unknown(failing: tuple[FailingDisk, SqliteBackend]) -> None:
    """P4: and sending it again settles it."""
    disk, backend = failing
    writer = Writer("agent")
    writer.save(backend, b"one", durability="power")
    disk.failing = "syncing"
    commit = writer.commit(b"two", durability="power")
    with pytest.raises(CommitUnknown, match=r"a\.db .* may have taken effect"):
        backend.perform(commit)
    again = backend.perform(commit)
    assert again == Committed() or again == Moved(commit.head)
    writer.took(commit)
    assert writer.read(backend) == tuple(writer.rows)
    writer.save(backend, b"three", durability="power")


def test_a_full_disk_is_told_and_nothing_is_written(
    failing: tuple[FailingDisk, SqliteBackend],
) -> None:
    disk, backend = failing
    writer = Writer("agent")
    writer.save(backend, b"one")
    disk.failing, disk.error = "write", apsw.FullError
    commit = writer.commit(b"two" * 10_000)
    with pytest.raises(StorageFull, match="No room left"):
        backend.perform(commit)
    assert writer.read(backend) == tuple(writer.rows)
    assert backend.perform(commit) == Committed()


def removed(path: Path) -> None:
    path.unlink()


def moved_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replaced_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


@pytest.mark.parametrize(
    "lose", [removed, moved_away, replaced_by_a_copy], ids=lambda function: function.__name__
)
def test_nothing_is_acknowledged_that_goes_to_a_file_without_its_name_P1(
    tmp_path: Path, store: SqliteBackend, lose: Callable[[Path], None]
) -> None:
    writer = Writer("agent")
    writer.save(store, b"one", durability="power")
    lose(tmp_path / "a.db")
    with pytest.raises(StoreUnavailable, match=r"a\.db was removed, moved or replaced"):
        store.perform(writer.commit(b"two", durability="power"))
    if lose is moved_away:
        (tmp_path / "elsewhere.db").rename(tmp_path / "a.db")
        writer.save(store, b"two", durability="power")


def test_a_link_to_a_store_may_be_led_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    store, writer = SqliteBackend(tmp_path / "link.db"), Writer("agent")
    (tmp_path / "real.db").touch()
    writer.save(store, b"one", durability="power")
    (tmp_path / "link.db").unlink()
    (tmp_path / "link.db").symlink_to(tmp_path / "other.db")
    writer.save(store, b"two", durability="power")
    store.close()
    real = SqliteBackend(tmp_path / "real.db", create=False)
    assert writer.read(real) == tuple(writer.rows)
    real.close()


# ---- the log --------------------------------------------------------------------------------


def test_the_log_stays_small(store: SqliteBackend) -> None:
    writer = Writer("agent")
    largest = 0
    for _ in range(120):
        writer.save(store, os.urandom(200_000))
        store.after_commit()
        largest = max(largest, wal_bytes(store))
    assert limits.wal_checkpoint_bytes / 2 < largest < 8 * MEGABYTE


def test_the_log_stays_small_though_a_reader_was_in_the_way(store: SqliteBackend) -> None:
    writer = Writer("agent")
    writer.save(store, b"one")
    other = apsw.Connection(store.path)
    other.execute("BEGIN; SELECT * FROM heads").fetchall()
    while wal_bytes(store) < 6 * MEGABYTE:
        writer.save(store, os.urandom(200_000))
        store.after_commit()
    other.execute("COMMIT")
    for _ in range(60):
        writer.save(store, os.urandom(200_000))
        store.after_commit()
        assert wal_bytes(store) < 8 * MEGABYTE
    other.close()


def test_one_large_commit_does_not_leave_a_large_log(store: SqliteBackend) -> None:
    writer = Writer("agent")
    writer.save(store, os.urandom(20 * MEGABYTE))
    store.after_commit()
    writer.save(store, b"small")
    assert wal_bytes(store) <= 8 * MEGABYTE


def test_a_commit_does_not_checkpoint(store: SqliteBackend) -> None:
    writer = Writer("agent")
    size = os.path.getsize(store.path)
    for _ in range(30):
        writer.save(store, os.urandom(200_000))
    assert os.path.getsize(store.path) == size
    store.after_commit()
    assert os.path.getsize(store.path) > 30 * 200_000


def test_every_file_counts(store: SqliteBackend) -> None:
    Writer("agent").save(store, b"one")
    sizes = [os.path.getsize(store.path + suffix) for suffix in ("", "-wal", "-shm")]
    assert all(sizes)
    assert store.size_bytes() == sum(sizes)
