"""Saving under asyncio: how long it takes, and how long it holds the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, percentile, timed
from benchmarks.messages import endless
from benchmarks.saves import FLOOR_FULL

CALLS = 25
LAG_MAX_S = 1e-3


def save_async(run: Run) -> list[Figure]:
    return asyncio.run(_measured(run))


async def _measured(run: Run) -> list[Figure]:
    pool = endless()
    ours: list[float] = []
    bare: list[float] = []
    busy: list[float] = []
    idle: list[float] = []
    with closing(Floor(run.path("floor"), "FULL")) as floor:
        async with (
            perdure.AsyncStore(run.path("store")) as store,
            store.open("bench/save") as session,
        ):
            session.state["messages"] = []
            listed = session.state["messages"]

            async def save_some() -> list[float]:
                times = []
                for _ in range(CALLS):
                    began = time.perf_counter()
                    listed.append(next(pool)[0])
                    await session.save()
                    times.append(time.perf_counter() - began)
                return times

            await save_some()
            for _ in range(run.size(30, 2)):
                bare += [timed(lambda: floor.insert(next(pool)[1])) for _ in range(CALLS)]
                ours += await save_some()
            for _ in range(run.size(20, 2)):
                busy += await turns_while(save_some)
                idle += await turns_while(lambda: asyncio.sleep(0.01))
    return [*_latency(ours, bare), *_lag(busy, idle)]


async def turns_while(work: Callable[[], Coroutine[Any, Any, object]]) -> list[float]:
    """Seconds from turn to turn of a task that wants every turn of the loop, during `work`."""
    task = asyncio.create_task(work())
    turns = []
    last = time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        turns.append(now - last)
        last = now
    await task
    return turns


def _latency(ours: list[float], bare: list[float]) -> list[Figure]:
    return [
        Figure(
            f"await save, FULL: p{percent}",
            "µs",
            percentile(ours, percent) * MICROSECONDS,
            percentile(bare, percent) * MICROSECONDS,
            FLOOR_FULL,
            goal,
        )
        for percent, goal in ((50, Goal(over_floor_max=150)), (99, None))
    ]


def _lag(busy: list[float], idle: list[float]) -> list[Figure]:
    over = [sum(turn > LAG_MAX_S for turn in turns) for turns in (busy, idle)]
    note = f"{over[0]} of {len(busy):,} turns over 1 ms; idle: {over[1]} of {len(idle):,}"
    return [
        Figure(
            f"event loop held by saves: {name}",
            "ms",
            percentile(busy, percent) * MILLISECONDS,
            percentile(idle, percent) * MILLISECONDS,
            "the same loop without saves",
            goal,
            note if goal else "",
        )
        for name, percent, goal in (("p99", 99, None), ("max", 100, Goal(value_max=1)))
    ]
