"""Opening and reading: a state again and again, and a long conversation once."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing

import perdure
from benchmarks.blob import reading
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import Message, messages, packed
from benchmarks.saves import save_each
from perdure import limits

KEY = "bench/read"
TAIL_SAVES = limits.tail_records_max * limits.tail_excess_max - 2
"""After the one that a snapshot leaves; one more, and the writer takes a step itself (saves)."""
TAIL_BYTES = limits.tail_bytes_max * limits.tail_excess_max
OVERHEAD_BYTES = 480
"""What a record takes over half a byte for each hex digit of its text."""


def open_small(run: Run) -> list[Figure]:
    ten = messages(10)
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(run.path("store")) as store,
    ):
        floor.insert(packed(ten))
        save_each(store, KEY, ten)

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
    """A whole conversation, as maintenance leaves it, and where its tail is at the limit."""
    many = messages(run.size(10_000, 400))
    return [
        _loaded(run, "saved one by one", many, len(many)),
        _loaded(run, "saved at once", many, 0),
        _loaded(run, f"tail of {TAIL_SAVES + 1} records", many, TAIL_SAVES, at_limit=True),
        _loaded(
            run,
            f"tail of {TAIL_SAVES + 1} records and {TAIL_BYTES // 1024:,} KiB",
            with_large_tail(many),
            TAIL_SAVES,
            at_limit=True,
        ),
    ]


def _loaded(
    run: Run, how: str, many: list[Message], singly: int, *, at_limit: bool = False
) -> Figure:
    """`many`, of which the last `singly` were saved one by one, beside one blob of the same."""
    with (
        closing(Floor(run.path("floor"), "FULL")) as floor,
        perdure.Store(
            run.path("store"), durability="process", maintenance="off", cache_bytes=0
        ) as store,
    ):
        before = _keep_together(store, many[: len(many) - singly])
        save_each(store, KEY, many[len(many) - singly :])
        tail_bytes = store.stats(KEY).stored["records"] - before
        if not at_limit:
            store.maintain(KEY)
        bare = reading(floor, many, compressed=True)
        times, floor_times = interleaved(run.size(9, 1), 1, _loading(store, len(many)), bare)
        tail = store.stats(KEY).tail
    return Figure(
        f"load {len(many):,} messages, {how}: p50",
        "ms",
        percentile(times, 50) * MILLISECONDS,
        percentile(floor_times, 50) * MILLISECONDS,
        "read one zstd blob and msgspec-decode it",
        None if at_limit else Goal(ratio_max=1.5),
        f"{tail} records, {tail_bytes / 1024:,.0f} KiB after the snapshot" if at_limit else "",
    )


def _keep_together(store: perdure.Store, many: list[Message]) -> int:
    """Save messages in one checkpoint, with a snapshot; what single records take then (bytes)."""
    if not many:
        return 0
    with store.open(KEY) as session:
        session.state["messages"] = many
        session.save()
        session.state["note"] = "a snapshot is of the newest checkpoint but one"
    store.maintain(KEY)
    return store.stats(KEY).stored["records"]


def with_large_tail(many: list[Message]) -> list[Message]:
    """`many`, its last messages so large that their records come to just under four limits."""
    chars = 2 * (TAIL_BYTES // TAIL_SAVES - OVERHEAD_BYTES)
    tail = [
        {**message, "content": random.Random(number).randbytes(chars // 2).hex()}
        for number, message in enumerate(many[-TAIL_SAVES:])
    ]
    return [*many[:-TAIL_SAVES], *tail]


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
