"""A SQLite store among threads that commit, read and close, and over forks."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_sqlite_commit import MEGABYTE

from perdure.backends.memory import MemoryBackend
from perdure.backends.sqlite import SqliteBackend
from perdure.drive import Driver
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    ListHeads,
    ReadHead,
    ReadState,
    Steps,
)
from perdure.errors import (
    Forked,
    PerdureError,
    StoreClosed,
)
from perdure.group_commit import GroupCommit
from perdure.testing.contract_kit import Writer
from perdure.testing.powercut import PowerCut


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "a.db")
    backend.connect()
    yield backend
    backend.close()


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
