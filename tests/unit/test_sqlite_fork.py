"""A fork waits for the threads that are inside SQLite, and no longer than it may."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import limits
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import ListHeads
from perdure.testing.contract_kit import Writer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

WAIT_S = 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "a.db")
    Writer("agent").save(backend, b"one")
    yield backend
    backend.close()


def _forked(in_child: Callable[[], object]) -> int:
    """Fork, and do something in the child; its exit code, 0 if it raised nothing."""
    child = os.fork()
    if not child:
        code = 1
        try:
            in_child()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _heads(store: SqliteBackend) -> list[str]:
    return [key for key, _ in store.perform(ListHeads("", None, 9))]


def _until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(WAIT_S * 1000):
        if true():
            return
        waiting.wait(0.001)
    raise AssertionError("it never came to be")


def test_a_fork_waits_for_a_thread_that_reads_and_keeps_the_next_out(store: SqliteBackend) -> None:
    log: list[str] = []
    inside = threading.Event()

    def slow(_connection: Any, _request: None) -> None:
        inside.set()
        _until(lambda: store._readers._holder is not None)
        log.append("out of SQLite")

    reader = threading.Thread(target=lambda: store._read(slow, None))
    reader.start()
    assert inside.wait(WAIT_S)
    assert _forked(lambda: Writer("child").save(store, b"one")) == 0
    assert log == ["out of SQLite"]
    reader.join()
    assert _heads(store) == ["agent", "child"]


def test_a_fork_in_the_middle_of_a_backup_waits_for_a_step(
    store: SqliteBackend, tmp_path: Path
) -> None:
    pages: list[int] = []

    def progress(done: int, _total: int) -> None:
        # In this thread, and in another, while the connection that is copied is out.
        if not pages:
            other = threading.Thread(target=lambda: codes.append(_forked(lambda: _heads(store))))
            other.start()
            other.join(WAIT_S)
            codes.append(_forked(lambda: _heads(store)))
        pages.append(done)

    codes: list[int] = []
    store.backup(tmp_path / "copy.db", progress)
    assert codes == [1, 1]  # both end, and learn that the store was in use
    assert pages
    assert _heads(store) == ["agent"]


def test_a_fork_waits_no_longer_than_it_may(
    store: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "fork_wait_s", 0.01)
    inside, leaves = threading.Event(), threading.Event()

    def stays(_connection: Any, _request: None) -> None:
        inside.set()
        assert leaves.wait(WAIT_S)

    reader = threading.Thread(target=lambda: store._read(stays, None))
    reader.start()
    assert inside.wait(WAIT_S)
    assert _forked(lambda: None) == 0
    leaves.set()
    reader.join()
    assert _heads(store) == ["agent"]


def test_a_thread_that_forks_inside_sqlite_does_not_wait_for_itself(store: SqliteBackend) -> None:
    codes = [store._read(lambda _connection, _request: _forked(lambda: _heads(store)), None)]
    with store._lock:
        codes.append(_forked(lambda: _heads(store)))
    assert codes == [1, 0]  # the first learns that the store was in use
    assert _heads(store) == ["agent"]
