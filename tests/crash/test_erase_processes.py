"""Erasing under the hands of other processes, and erasers that are killed (P8)."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.errors import Erased, StateNotFound

KEY = "support/alice"
SPAWN = multiprocessing.get_context("spawn")


def written(path: Path, count: int = 20) -> None:
    with perdure.Store(path) as store, store.open(KEY) as session:
        for number in range(count):
            session.state.setdefault("messages", []).append(
                f"xMARKx {number} {os.urandom(9).hex()}"
            )
            session.save()


def marks_in(path: Path) -> bool:
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    return any(b"xMARKx" in each.read_bytes() for each in files)


def _session(path: Path, on_conflict: Any, line: Connection) -> None:
    """A session that is open while its state is erased."""
    with perdure.Store(path) as store:
        session = store.open(KEY, on_conflict=on_conflict)
        session.state["messages"].append("xMARKx of another process")
        line.send("open")
        line.recv()
        for end in (session.save, session.close):
            try:
                end()
                line.send("saved")
            except Erased:
                line.send("Erased")
            except BaseException as error:
                line.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("on_conflict", ["raise", "fork", "merge"])
def test_a_session_of_another_process_gets_erased(tmp_path: Path, on_conflict: str) -> None:
    path = tmp_path / "agents.db"
    written(path)
    line, other = SPAWN.Pipe()
    process = SPAWN.Process(target=_session, args=(path, on_conflict, other))
    process.start()
    try:
        assert line.recv() == "open"
        with perdure.Store(path) as store:
            store.erase(KEY)
            line.send("go on")
            assert [line.recv(), line.recv()] == ["Erased", "Erased"]
            assert store.states() == []
            with store.open(KEY) as session:
                session.state["plan"] = "anew"
            assert not marks_in(path)
    finally:
        process.join(30)
        if process.is_alive():
            process.kill()


def _eraser(path: Path, at: int) -> None:
    """Erase, and die before the storage operation with this number."""
    from perdure.backends.sqlite import SqliteBackend

    count = 0

    def dying(method: Any) -> Any:
        def called(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **options)

        return called

    for name in ("_begin", "_end", "_empty_log", "_checkpoint"):
        setattr(SqliteBackend, name, dying(getattr(SqliteBackend, name)))
    with perdure.Store(path) as store:
        store.erase(KEY)


def test_an_eraser_that_is_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    killed, before, after, at, ended = 0, 0, 0, 0, False
    for at in range(1, 20):
        path = tmp_path / str(at) / "agents.db"
        path.parent.mkdir()
        written(path)
        process = SPAWN.Process(target=_eraser, args=(path, at))
        process.start()
        process.join(60)
        assert process.exitcode is not None
        killed += process.exitcode == -signal.SIGKILL
        with perdure.Store(path) as store:
            try:
                number = store.info(KEY).number
            except StateNotFound:
                after += 1
                assert len(store.erasures(KEY)) == 1
            else:
                before += 1
                assert number == 20
                assert store.verify(KEY)[0].ok
                assert store.erasures() == []
            store.erase(KEY)
            assert store.states() == []
            assert len(store.erasures(KEY)) == 1
            assert not marks_in(path)
        if process.exitcode == 0:
            ended = True
            break
    assert ended
    assert killed == at - 1
    assert before >= 1
    assert after >= 2
