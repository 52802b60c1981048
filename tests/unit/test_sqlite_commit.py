"""A SQLite store at work: waiting, failing, the log's size, forks, backups."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.sqlite import SqliteBackend
from perdure.backends.sqlite_open import Place, patiently
from perdure.drive import Driver, GroupCommit
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    ListHeads,
    Moved,
    ReadHead,
    ReadState,
    Steps,
)
from perdure.errors import (
    Busy,
    CommitUnknown,
    Forked,
    PerdureError,
    StorageFull,
    StoreClosed,
    StoreUnavailable,
    UsageError,
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


# ---- threads and forks ----------------------------------------------------------------------


def test_closing_while_threads_read(store: SqliteBackend) -> None:
    Writer("agent").save(store, os.urandom(MEGABYTE))
    reading = threading.Barrier(5)
    ended = []

    def read() -> None:
        reading.wait()
        try:
            while True:
                store.perform(ReadState("agent"))
        except StoreClosed:
            ended.append(True)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    reading.wait()
    store.close()
    for thread in threads:
        thread.join(30)
    assert len(ended) == 4
    assert not os.path.exists(f"{store.path}-wal")


class WatchedDisk(PowerCut):
    """A disk that does something the moment before the next sync."""

    def __init__(self) -> None:
        super().__init__(self.watch)
        self.before_sync: Callable[[], None] | None = None

    def watch(self, operation: str) -> None:
        if operation == "syncing" and self.before_sync:
            act, self.before_sync = self.before_sync, None
            act()


@pytest.fixture
def disk() -> Iterator[WatchedDisk]:
    with WatchedDisk() as disk:
        yield disk


def test_reading_does_not_wait_for_a_commit_of_another_thread(
    tmp_path: Path, disk: WatchedDisk
) -> None:
    backend = SqliteBackend(tmp_path / "a.db", vfs=disk.name)
    writer = Writer("agent")
    before = writer.save(backend, b"one", durability="power")
    found: list[object] = []

    def read() -> None:
        reader = threading.Thread(target=lambda: found.append(backend.perform(ReadHead("agent"))))
        reader.start()
        reader.join(20)

    disk.before_sync = read
    writer.save(backend, b"two", durability="power")
    assert found == [before.head]
    backend.close()


@pytest.mark.parametrize("through", ["backend", "driver"])
def test_closing_during_a_commit_waits_for_its_acknowledgement_P1(
    tmp_path: Path, disk: WatchedDisk, through: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = SqliteBackend(tmp_path / "a.db", vfs=disk.name)
    driver = Driver(backend)
    writer = Writer("agent")
    writer.save(backend, b"one", durability="power")
    close = backend.close if through == "backend" else driver.close
    closing = threading.Thread(target=close)
    disk.before_sync = closing.start
    commit = writer.commit(b"two", durability="power")
    done = backend.perform(commit) if through == "backend" else driver.run(asking(commit))
    closing.join(20)
    assert not closing.is_alive()
    assert done == Committed()
    writer.took(commit)
    for ask in (lambda: backend.perform(writer.commit(b"three")), lambda: writer.read(backend)):
        with pytest.raises(StoreClosed):
            ask()
    assert caplog.records == []
    left = SqliteBackend(tmp_path / "a.db", create=False)
    assert writer.read(left) == tuple(writer.rows)
    left.close()


def asking(request: Commit) -> Steps[object]:
    return (yield request)


def test_a_store_closed_right_after_a_commit_makes_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Closing(MemoryBackend):
        def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
            outcomes = super().commit(batch)
            self.close()
            return outcomes

    group = GroupCommit(Closing())
    assert group.commit(Writer("agent").commit(b"one")) == Committed()
    with pytest.raises(StoreClosed):
        group.commit(Writer("agent").commit(b"two"))
    assert caplog.records == []


def test_closing_while_threads_commit_leaves_what_was_acknowledged_and_no_more(
    store: SqliteBackend,
) -> None:
    """Each thread commits until it is told that the store was closed, and by nothing else."""
    group = GroupCommit(store)
    writers = [Writer(f"agent{n}") for n in range(6)]
    begun = threading.Barrier(len(writers) + 1)
    ended: list[BaseException] = []

    def commit(writer: Writer) -> None:
        begun.wait()
        try:
            while True:
                request = writer.commit(b"%d" % writer.number)
                assert group.commit(request) == Committed()
                writer.took(request)
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=commit, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    begun.wait()
    while not all(writer.number for writer in writers):
        assert not ended
    store.close()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in ended] == [StoreClosed] * len(writers)
    left = SqliteBackend(store.path, create=False)
    for writer in writers:
        assert writer.read(left) == tuple(writer.rows)
    left.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork_both_go_on(store: SqliteBackend) -> None:
    ours, theirs = Writer("parent"), Writer("child")
    ours.save(store, b"before")
    child = os.fork()
    if not child:
        code = 1
        try:
            for number in range(20):
                theirs.save(store, b"%d" % number)
            code = 0 if ours.read(store)[0].blob == b"before" else 2
            store.close()
        finally:
            os._exit(code)
    for number in range(20):
        ours.save(store, b"%d" % number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [key for key, _ in store.perform(ListHeads("", None, 9))] == ["child", "parent"]
    assert len(ours.read(store)) == 21
    assert len(store.perform(ReadState("child")).records) == 20


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_never_closes_the_parents_connections(store: SqliteBackend) -> None:
    Writer("agent").save(store, b"one")

    def fork(_connection: Any, _request: None) -> int:
        inherited = [weakref.ref(connection) for connection in store._open]
        assert len(inherited) == 2
        child = os.fork()  # in the middle of reading: they cannot be closed before
        if not child:
            try:
                with pytest.raises(Forked, match="in use in the parent"):
                    store.perform(ReadHead("agent"))
                store.close()
                gc.collect()
                is_untouched = all(each() for each in inherited)
            except BaseException:
                os._exit(2)
            os._exit(0 if is_untouched else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert store._read(fork, None) == 0
    assert store.perform(ReadHead("agent")) is not None


def test_a_child_that_ends_leaves_the_parents_transaction(store: SqliteBackend) -> None:
    writer = Writer("agent")
    writer.save(store, b"one")
    script = (
        "import os, sys\n"
        "from perdure.backends.sqlite import SqliteBackend\n"
        "from perdure.testing.contract_kit import Writer\n"
        "backend = SqliteBackend(sys.argv[1])\n"
        "backend.connect()\n"
        "backend._begin('FULL').execute('DELETE FROM heads')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    del backend\n"
        "    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "backend._roll_back(backend._writer)\n"
        "Writer('parent').save(backend, b'one')\n"
        "backend.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, store.path], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert [key for key, _ in store.perform(ListHeads("", None, 9))] == ["agent", "parent"]


# ---- backup ---------------------------------------------------------------------------------


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
