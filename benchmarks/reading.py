"""Opening and reading: a small state again and again, and a long conversation once."""

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
        )
        for percent, goal in ((50, Goal(value_max=500)), (99, None))
    ]


def load(run: Run) -> list[Figure]:
    many = messages(run.size(10_000, 200))
    blob = zstd.compress(packed(many), 3)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("each"), durability="process") as each,
        perdure.Store(run.path("once"), durability="process") as once,
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
            note="loaded whole",
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


def _loading(store: perdure.Store, count: int) -> Callable[[], None]:
    def load() -> None:
        with store.open(KEY) as session:
            assert len(session.state["messages"]) == count

    return load
