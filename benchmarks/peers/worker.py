"""One process of a trial: `python -m benchmarks.peers.worker save|load MODULE:CLASS DIR COUNT`.

What it measured goes to `RESULT` in the directory, because libraries print what they like.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, MILLISECONDS, percentile, timed
from benchmarks.messages import message, messages, packed
from benchmarks.peers.peer import Before, Peer, sqlite_mode

WARM, KEPT, RESULT = "warm", "kept", "result.json"
FLOOR = "floor.db"
TAIL_SAVES_MAX = 200
TURN_INSERTS = 25
AGE_INSERTS = 1_500


class Turns:
    """Bare synced inserts that take turns with the last saves.

    Rows are measured minutes apart. So each carries what the floor took in the same moments.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._floor = Floor(path, "NORMAL")
        self._first = max(count - TAIL_SAVES_MAX, 0)
        self._blob = packed(message(0))
        self.times: list[float] = []
        # Syncing a log that still grows takes twice as long as one that is written over again, as
        # a library's is by its last saves.
        for _ in range(AGE_INSERTS):
            self._insert()
        self._floor.pragma("synchronous", "FULL")

    def before(self, number: int) -> None:
        """A turn of the floor, if it is time for one before save `number`."""
        if number >= self._first and (number - self._first) % TURN_INSERTS == 0:
            self.times += [timed(self._insert) for _ in range(TURN_INSERTS)]

    def _insert(self) -> None:
        self._floor.insert(self._blob)

    def mode(self) -> str:
        pragma = self._floor.pragma
        return sqlite_mode(pragma("journal_mode"), pragma("synchronous"))

    def close(self) -> None:
        self._floor.close()


def save(kind: type[Peer], directory: Path, count: int) -> dict[str, Any]:
    """Keep a conversation of `count` messages; times of its last saves.

    One of a single message comes first. There a process that loads can import what its library
    imports late, before it is measured.
    """
    turns = Turns(directory / FLOOR, count)
    _keep(kind, directory / WARM, 1, lambda _: None)
    times, mode = _keep(kind, directory / KEPT, count, turns.before)
    turns.close()
    tail = times[-TAIL_SAVES_MAX:]
    return {
        "save_p50_us": percentile(tail, 50) * MICROSECONDS,
        "save_p99_us": percentile(tail, 99) * MICROSECONDS,
        "saves_timed": len(tail),
        "floor_p50_us": percentile(turns.times, 50) * MICROSECONDS,
        "mode": mode,
    }


def _keep(kind: type[Peer], directory: Path, count: int, before: Before) -> tuple[list[float], str]:
    directory.mkdir()
    peer = kind()
    peer.open(directory)
    times = peer.save_each(messages(count), before)
    mode = peer.mode()
    peer.close()
    return times, mode


def load(kind: type[Peer], directory: Path, count: int) -> dict[str, Any]:
    """Milliseconds to open and read it all, imports apart.

    Raises:
        RuntimeError: not every message came back.
    """
    _loaded(kind, directory / WARM)
    took, read = _loaded(kind, directory / KEPT)
    if read != count:
        raise RuntimeError(f"{read} of {count} messages came back")
    return {"load_ms": took * MILLISECONDS}


def _loaded(kind: type[Peer], directory: Path) -> tuple[float, int]:
    peer = kind()
    began = time.perf_counter()
    peer.open(directory)
    read = peer.load()
    took = time.perf_counter() - began
    peer.close()
    return took, read


def main(task: str, where: str, directory: str, count: str) -> None:
    module, _, name = where.partition(":")
    kind = getattr(import_module(module), name)
    work = {"save": save, "load": load}[task]
    result = work(kind, Path(directory), int(count))
    (Path(directory) / RESULT).write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
