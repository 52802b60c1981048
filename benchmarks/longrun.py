"""The slowest of very many saves, while the background sees to the state."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal

import perdure
from benchmarks.figure import Figure
from benchmarks.floor import Floor
from benchmarks.measure import MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import endless
from benchmarks.saves import FLOOR_FULL, FLOOR_NORMAL, Saver

CALLS = 100
RANKS = ((100, "worst"), (99.9, "p99.9"), (99, "p99"))


def worst_save(run: Run) -> list[Figure]:
    """100,000 saves one after another; fewer in FULL, where each waits for the disk."""
    return [
        *_worst(run, "process", run.size(100_000, 400)),
        *_worst(run, "power", run.size(20_000, 200)),
    ]


def _worst(run: Run, durability: Literal["power", "process"], count: int) -> list[Figure]:
    synchronous: Literal["FULL", "NORMAL"] = "FULL" if durability == "power" else "NORMAL"
    pool = endless()
    with (
        closing(Floor(run.path("floor"), synchronous)) as floor,
        perdure.Store(run.path("store"), durability=durability) as store,
        store.open("bench/worst") as session,
        _collections() as collections,
    ):
        saver = Saver(session, pool)
        insert = lambda: floor.insert(next(pool)[1])  # noqa: E731 - as short as what it times
        ours, bare = interleaved(count // CALLS - 1, CALLS, saver.save, insert)
        saver.check()
    note = f"while maintenance runs; Python's longest collection took {max(collections):.0f} ms"
    floor_is = FLOOR_FULL if synchronous == "FULL" else FLOOR_NORMAL
    return [
        Figure(
            f"{count:,} saves, {synchronous}: {name}",
            "ms",
            percentile(ours, percent) * MILLISECONDS,
            percentile(bare, percent) * MILLISECONDS,
            f"{floor_is}, as many",
            note=note,
        )
        for percent, name in RANKS
    ]


@contextmanager
def _collections() -> Iterator[list[float]]:
    """How long Python's own collections of garbage took meanwhile, each (milliseconds)."""
    took = [0.0]
    began = 0.0

    def told(phase: Literal["start", "stop"], _: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            took.append((time.perf_counter() - began) * MILLISECONDS)

    gc.callbacks.append(told)
    try:
        yield took
    finally:
        gc.callbacks.remove(told)
