"""Opening and reading: a state again and again, and a long conversation once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import messages, packed
from perdure import limits

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = "bench/read"


def open_small(run: Run) -> list[Figure]:
    ten = messages(10)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("store")) as store,
    ):
        floor.insert(packed(ten))
        _save_each(store, ten)

        def ours() -> None:
            with store.open(KEY) as session:
                assert session.state["messages"][-1]["turn"] == 9

        opening, bare = interleaved(run.size(20, 2), 25, ours, lambda: floor.read(1))
    return [
        Figure(
            f"open and read a state of 10 messages: p{percent}",
            "µs",
            percentile(opening, percent) * MICROSECONDS,
            percentile(bare, percent) * MICROSECONDS,
            "read one row on an open connection",
            goal,
            "opened before by the same store",
        )
        for percent, goal in ((50, Goal(value_max=500)), (99, None))
    ]


def reopen(run: Run) -> list[Figure]:
    """A long state whose tail is at its limit; of what was read, some stores keep nothing."""
    path, count = run.path("store"), run.size(10_000, 200)
    with perdure.Store(path, durability="process", maintenance="off") as store:
        _save_with_tail(store, count)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(path, maintenance="off", cache_bytes=0) as cold,
        perdure.Store(path, maintenance="off") as hot,
    ):
        floor.insert(packed(messages(1)))
        actions = (_touching(cold), _touching(hot), lambda: floor.read(1))
        cold_times, hot_times, floor_times = interleaved(run.size(20, 2), 10, *actions)
    return [
        Figure(
            f"open at {count:,} messages, {how}: p50",
            "µs",
            percentile(times, 50) * MICROSECONDS,
            percentile(floor_times, 50) * MICROSECONDS,
            "read one row on an open connection",
            note=f"{limits.tail_records_max} checkpoints after the snapshot; a small section read",
        )
        for how, times in (("nothing kept in memory", cold_times), ("opened before", hot_times))
    ]


def load(run: Run) -> list[Figure]:
    many = messages(run.size(10_000, 200))
    blob = zstd.compress(packed(many), 3)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("each"), durability="process", cache_bytes=0) as each,
        perdure.Store(run.path("once"), durability="process", cache_bytes=0) as once,
    ):
        floor.insert(blob)
        _save_each(each, many)
        with once.open(KEY) as session:
            session.state["messages"] = many

        def bare() -> list[Any]:
            decoded: list[Any] = msgspec.msgpack.decode(zstd.decompress(floor.read(1)))
            return decoded

        assert bare() == many
        actions = (_loading(each, len(many)), _loading(once, len(many)), bare)
        by_one, at_once, floor_times = interleaved(run.size(5, 1), 1, *actions)
    return [
        Figure(
            f"load {len(many):,} messages saved {how}: p50",
            "ms",
            percentile(times, 50) * MILLISECONDS,
            percentile(floor_times, 50) * MILLISECONDS,
            "read one zstd blob and msgspec-decode it",
            note="loaded whole, nothing kept in memory",
        )
        for how, times in (("one by one", by_one), ("in one checkpoint", at_once))
    ]


def _save_each(store: perdure.Store, many: list[dict[str, Any]]) -> None:
    with store.open(KEY) as session:
        session.state["messages"] = []
        listed = session.state["messages"]
        for message in many:
            listed.append(message)
            session.save()


def _save_with_tail(store: perdure.Store, count: int) -> None:
    """So many messages and a small section in a snapshot, and a tail at its limit."""
    with store.open(KEY) as session:
        session.state.update({"messages": messages(count), "plan": {"goal": "refund order 17"}})
        for said in messages(limits.tail_records_max + 1):
            session.state["messages"].append(said)
            session.save()
    store.maintain(KEY)
    with store.open(KEY) as session:
        for said in messages(limits.tail_records_max - 1):
            session.state["messages"].append(said)
            session.save()


def _touching(store: perdure.Store) -> Callable[[], None]:
    def touch() -> None:
        with store.open(KEY) as session:
            assert session.state["plan"]["goal"] == "refund order 17"

    return touch


def _loading(store: perdure.Store, count: int) -> Callable[[], None]:
    def load() -> None:
        with store.open(KEY) as session:
            assert len(session.state["messages"]) == count

    return load
