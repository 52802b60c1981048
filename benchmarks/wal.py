"""How long the write-ahead log gets while others read."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor, wal_bytes
from benchmarks.measure import Run
from benchmarks.messages import endless
from benchmarks.saves import Saver

MEGABYTE = 1024 * 1024
KEY = "bench/wal"


def wal(run: Run) -> list[Figure]:
    path, bare_path = run.path("store"), run.path("floor")
    pool = endless()
    count = run.size(5_000, 100)
    largest = bare_largest = 0
    opened: list[int] = []
    done = threading.Event()
    with (
        closing(Floor(bare_path, "FULL")) as floor,
        perdure.Store(path) as store,
        store.open(KEY) as session,
    ):
        saver = Saver(session, pool)
        saver.save()
        reader = threading.Thread(target=_read_now_and_then, args=(path, opened, done))
        reader.start()
        try:
            for _ in range(count):
                saver.save()
                largest = max(largest, wal_bytes(path))
                floor.insert(next(pool)[1])
                bare_largest = max(bare_largest, wal_bytes(bare_path))
        finally:
            done.set()
            reader.join()
        saver.check()
    return [
        Figure(
            f"largest log over {count:,} saves",
            "MB",
            largest / MEGABYTE,
            bare_largest / MEGABYTE,
            "bare inserts, SQLite's own checkpoints, no reader",
            Goal(value_max=8),
            f"while a reader opened the state {len(opened)} times",
        )
    ]


def _read_now_and_then(path: Path, opened: list[int], done: threading.Event) -> None:
    with perdure.Store(path, read_only=True) as store:
        while not done.wait(0.25):
            with store.open(KEY) as session:
                opened.append(len(session.state["messages"]))
