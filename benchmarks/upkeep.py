"""Does anybody feel maintenance? Saves as fast as they go, beside it and without it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import perdure
from benchmarks.asyncio_saves import turns_while
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MILLISECONDS, Run, percentile, timed
from benchmarks.messages import endless, messages
from benchmarks.saves import Saver
from perdure.core import compress
from perdure.upkeep import Job, Maintenance

KEY = "bench/upkeep"
WAYS: tuple[Maintenance, Maintenance] = ("background", "off")
SAVES = 500
"""Without a pause, in one go."""

OFF = 'the same with maintenance="off"'


def upkeep(run: Run) -> list[Figure]:
    """Saves, an event loop, and how long maintenance computes in one go."""
    count = run.size(20_000, 400)
    return [
        *_saves(run, count, "power", rounds=run.size(6, 1)),
        *_saves(run, count, "process", rounds=run.size(6, 1)),
        *asyncio.run(_loop(run, count)),
        *_computing(run, count),
    ]


def _prepared(path: Path, count: int) -> Path:
    """A store with a state of so many messages, whose maintenance is done."""
    with perdure.Store(path, maintenance="off", durability="process") as store:
        with store.open(KEY) as session:
            session.state["messages"] = []
            for start in range(0, count, 200):
                session.state["messages"].extend(messages(min(200, count - start), start))
                session.save()
        store.maintain(KEY)
    return path


def _saves(
    run: Run, count: int, durability: Literal["power", "process"], rounds: int
) -> Iterator[Figure]:
    paths = [_prepared(run.path(way), count) for way in WAYS]
    pool = endless()
    ours, bare = list[float](), list[float]()
    for _ in range(rounds):
        # One after the other: what works in the background of one would be felt by the other.
        for path, way, times in zip(paths, WAYS, (ours, bare), strict=True):
            gc.collect()  # what the one before left is not to be cleared away meanwhile
            with (
                perdure.Store(path, maintenance=way, durability=durability) as store,
                store.open(KEY, windows={"messages": 10}) as session,
            ):
                saver = Saver(session, pool)
                times += [timed(saver.save) for _ in range(SAVES)]
                saver.check()
    with perdure.Store(paths[0], maintenance="off") as store:
        tail = f"{store.stats(KEY).tail} records in the tail after {len(ours):,} saves"
    what = f"save beside maintenance, {'FULL' if durability == 'power' else 'NORMAL'}"
    for name, percent, goal in (
        ("p50", 50, None),
        ("p99", 99, Goal(over_floor_max=2)),
        ("max", 100, None),
    ):
        yield _milliseconds(
            f"{what}: {name}", ours, bare, percent, OFF, goal, tail if name == "max" else ""
        )


async def _loop(run: Run, count: int) -> list[Figure]:
    turns: list[list[float]] = []
    for way in WAYS:
        path = _prepared(run.path(way), count)
        gc.collect()
        async with (
            perdure.AsyncStore(path, maintenance=way) as store,
            store.open(KEY, windows={"messages": 10}) as session,
        ):
            turns.append(await turns_while(lambda: _save_many(session, run.size(1_500, 150))))
    beside, alone = turns
    return [
        _milliseconds(f"turn of a loop beside maintenance: {name}", beside, alone, percent, OFF)
        for name, percent in (("p99", 99), ("max", 100))
    ]


async def _save_many(session: perdure.AsyncSession, count: int) -> None:
    pool = endless()
    for _ in range(count):
        session.state["messages"].append(next(pool)[0])
        await session.save()


def _computing(run: Run, count: int) -> Iterator[Figure]:
    """How long maintenance computes between two moments at which it rests."""
    path = _prepared(run.path("computing"), count)
    pool = endless()
    gc.collect()
    with perdure.Store(path, maintenance="off", durability="process") as store:
        spans: list[float] = []
        for _ in range(run.size(10, 2)):
            with store.open(KEY, windows={"messages": 0}) as session:
                for _ in range(70):
                    session.state["messages"].append(next(pool)[0])
                    session.save()
            spans += _spans_of(Job(store._driver, store._site(KEY)))
    total = [sum(spans)]
    for name, percent, goal in (("p99", 99, None), ("max", 100, Goal(value_max=1))):
        yield _milliseconds(
            f"computing of maintenance in one go: {name}",
            spans,
            total,
            percent,
            "all of it",
            goal,
            "processor time, without zstd, which lets others have the interpreter",
        )


def _spans_of(job: Job) -> list[float]:
    """Processor time of each piece of a job, and of what it asks for (seconds)."""
    spans: list[float] = []
    with _noted() as outside:
        while not job.ended.is_set():
            outside.clear()
            began = time.thread_time()
            job.work(0)
            spans.append(time.thread_time() - began - sum(outside))
    return spans


@contextmanager
def _noted() -> Iterator[list[float]]:
    """Processor time spent in zstd meanwhile, call by call (seconds)."""
    times: list[float] = []

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*args, **options)
            finally:
                times.append(time.thread_time() - began)

        return noted

    kept = compress.compress, compress.decompress
    compress.compress, compress.decompress = noting(kept[0]), noting(kept[1])
    try:
        yield times
    finally:
        compress.compress, compress.decompress = kept


def _milliseconds(
    what: str,
    ours: list[float],
    bare: list[float],
    percent: float,
    floor_is: str,
    goal: Goal | None = None,
    note: str = "",
) -> Figure:
    value, floor = (percentile(times, percent) * MILLISECONDS for times in (ours, bare))
    return Figure(what, "ms", value, floor, floor_is, goal, note)
