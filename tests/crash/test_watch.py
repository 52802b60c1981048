"""A watcher in a process of its own, killed again and again while another process saves."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from perdure import Store

SAVES = 200
KEYS = ("agent/1", "agent/2", "agent/3")
KILLS = 8
MORE_MAX = 15
"""The most checkpoints that a watcher waits for until it is killed."""
PATIENCE_S = 120.0

_spawned: Any = multiprocessing.get_context("spawn")


def write(path: str) -> None:
    """Save to all states in turn; the moments at which a branch moves are the same every time."""
    with Store(path) as store:
        sessions = {key: store.open(key) for key in KEYS}
        for step in range(SAVES):
            key = KEYS[step % len(KEYS)]
            sessions[key].state.setdefault("steps", []).append(step)
            sessions[key].save()
            if step % 40 == 39:
                store.rollback(key, to=2)
                sessions[key] = store.open(key)
            time.sleep(0.01)  # so that it is still at work when watchers are killed


def handle(path: str, log: str) -> None:
    """Note each checkpoint and the cursor after it in one line, which is written whole or not."""
    lines = Path(log).read_text(encoding="utf-8").splitlines()
    cursor = lines[-1].split("\t")[1] if lines else None
    watch = Store(path, read_only=True).watch(
        "agent/*", cursor=cursor, since="start", interval=0.01, timeout=PATIENCE_S
    )
    with open(log, "ab", buffering=0) as file:
        for landed in watch:
            line = f"{landed.checkpoint.key} {landed.checkpoint.id}\t{landed.cursor}\n"
            os.write(file.fileno(), line.encode())


def handled(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def watch_until(path: str, log: Path, count: int) -> None:
    """Have a process handle checkpoints, and kill it when so many were handled in all."""
    watcher = _spawned.Process(target=handle, args=(path, str(log)))
    watcher.start()
    until = time.monotonic() + PATIENCE_S
    while handled(log) < count and watcher.is_alive() and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(watcher.pid, signal.SIGKILL)
    watcher.join()
    assert handled(log) >= count, "the watcher ended, or missed something"


def test_a_watcher_that_is_killed_misses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    path, log = str(tmp_path / "agents.db"), tmp_path / "log"
    log.touch()
    chance = random.Random(11)
    writer = _spawned.Process(target=write, args=(path,))
    writer.start()
    for _ in range(KILLS):
        watch_until(path, log, min(handled(log) + chance.randint(1, MORE_MAX), SAVES))
    writer.join(PATIENCE_S)
    assert writer.exitcode == 0
    watch_until(path, log, SAVES)
    found = [line.split("\t")[0].split(" ") for line in log.read_text().splitlines()]
    assert found_by_key(found) == saved_by_key(path)
    assert len(found) == SAVES


def found_by_key(found: list[list[str]]) -> dict[str, list[str]]:
    return {key: [id_ for each, id_ in found if each == key] for key in KEYS}


def saved_by_key(path: str) -> dict[str, list[str]]:
    """Every checkpoint that was ever saved, in the order of time."""
    with Store(path) as store:
        return {
            key: [
                each.id
                for each in sorted(
                    store.history(key, every=True), key=lambda each: (each.time, each.number)
                )
            ]
            for key in KEYS
        }
