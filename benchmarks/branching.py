"""What it costs to move a branch, to compare two points and to merge two branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile, timed
from benchmarks.messages import message, messages, packed

KEY = "bench/branches"
FLOOR_IS = "one SQLite insert of 600 bytes, FULL"
EDITS = 100
"""Edits on each of two branches that are merged."""
APART = 10
"""Changes between two points that are compared."""


def branches(run: Run) -> list[Figure]:
    """Fork, rollback, promote and undo, of a short conversation and of a long one."""
    figures: list[Figure] = []
    for size in (100, run.size(100_000, 1_000)):
        figures += _moved(run, size)
    return figures


def _kept(store: perdure.Store, size: int) -> None:
    """So many messages, in a snapshot, and a few more checkpoints."""
    with store.open(KEY) as session:
        session.state["messages"] = messages(size)
        for turn in range(3):
            session.state["turn"] = turn
            session.save()
    store.maintain(KEY)


def _moved(run: Run, size: int) -> Iterator[Figure]:
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("store"), maintenance="off") as store,
    ):
        _kept(store, size)
        blob, names = packed(message(1)), count()
        rounds = run.size(20, 1)

        store.fork(KEY, "ahead")
        actions: dict[str, Callable[[], object]] = {
            "fork": lambda: store.fork(KEY, f"b{next(names)}"),
            "rollback": lambda: store.rollback(KEY, "~1" if next(names) % 2 else "ahead"),
            "undo": lambda: store.undo(KEY),
        }
        for name, action in actions.items():
            ours, bare = interleaved(rounds, 5, action, lambda: floor.insert(blob))
            yield _figure(f"{name}, {size:,} messages", ours, bare)
        times, bare = list[float](), [timed(partial(floor.insert, blob)) for _ in range(rounds * 5)]
        for _ in range(rounds * 5):
            store.rollback(KEY, "ahead~1")
            times.append(timed(lambda: store.promote(KEY, "ahead")))
        yield _figure(f"promote, {size:,} messages", times, bare)


def _figure(what: str, ours: list[float], bare: list[float]) -> Figure:
    return Figure(
        f"{what}: p50",
        "µs",
        percentile(ours, 50) * MICROSECONDS,
        percentile(bare, 50) * MICROSECONDS,
        FLOOR_IS,
        Goal(value_max=500),
        f"p99 {percentile(ours, 99) * MICROSECONDS:,.0f} µs",
    )


def merge(run: Run) -> list[Figure]:
    """Two points compared, and two branches merged, of a long conversation."""
    size, rounds = run.size(100_000, 1_000), run.size(10, 1)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("store"), maintenance="off") as store,
    ):
        _kept(store, size)
        blob = packed(message(1))
        merged, compared, bare = [], [], []
        for turn in range(rounds):
            _edited(store, turn)
            store.maintain(KEY)  # as it would have been, beside an agent that takes its time
            newest = store.info(KEY).number
            bare.append(timed(partial(floor.insert, blob)))
            compared.append(timed(partial(store.diff, KEY, newest - APART, newest)))
            merged.append(timed(partial(store.merge, KEY, f"side-{turn}")))
    floor_ms = percentile(bare, 50) * MILLISECONDS
    return [
        Figure(what, "ms", percentile(times, 50) * MILLISECONDS, floor_ms, FLOOR_IS, goal)
        for what, times, goal in (
            (
                f"diff of points {APART} changes apart, {size:,} messages",
                compared,
                Goal(value_max=5),
            ),
            (f"merge, {EDITS} edits a side, {size:,} messages", merged, Goal(value_max=20)),
        )
    ]


def _edited(store: perdure.Store, turn: int) -> None:
    """Edits on a new branch and on `main`, in different places of one list; each one a save."""
    side = f"side-{turn}"
    store.fork(KEY, side)
    for branch, offset in ((side, 0), ("main", EDITS)):
        with store.open(KEY, branch=branch, windows={"messages": 2 * EDITS}) as session:
            window = session.state["messages"]
            for each in range(EDITS):
                window[offset + each]["content"] = f"edited on {branch} in turn {turn}"
                session.save(durability="process")
