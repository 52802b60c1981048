"""What a key costs: saves and loads of an encrypted store, beside those of one in the clear."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MICROSECONDS, MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import endless, messages
from benchmarks.saves import Saver

KEY = "bench/keyed"
ROOT = bytes(range(32))
PLAIN = "the same in the clear"


def keyed(run: Run) -> list[Figure]:
    """A save of one message, and a load of 10,000."""
    return [_save(run), _load(run)]


def _save(run: Run) -> Figure:
    with ExitStack() as stack:
        savers = []
        for name, key in (("keyed", ROOT), ("plain", None)):
            path = run.path(f"saved-{name}")
            store = stack.enter_context(
                perdure.Store(path, key=key, durability="process", maintenance="off")
            )
            savers.append(Saver(stack.enter_context(store.open(KEY)), endless()))
        ours, bare = interleaved(run.size(50, 1), 100, *(saver.save for saver in savers))
        for saver in savers:
            saver.check()
    added = percentile(ours, 50) - percentile(bare, 50)
    return Figure(
        "what a key adds to a save, NORMAL: p50",
        "µs",
        added * MICROSECONDS,
        percentile(bare, 50) * MICROSECONDS,
        f"a save {PLAIN}",
        Goal(value_max=10),
    )


def _load(run: Run) -> Figure:
    count = run.size(10_000, 200)
    many = messages(count)
    with ExitStack() as stack:
        loads: list[Callable[[], None]] = []
        for name, key in (("keyed", ROOT), ("plain", None)):
            path = run.path(f"loaded-{name}")
            store = stack.enter_context(
                perdure.Store(path, key=key, durability="process", maintenance="off", cache_bytes=0)
            )
            with store.open(KEY) as session:
                session.state["messages"] = many
            store.maintain()

            def load(store: perdure.Store = store) -> None:
                with store.open(KEY) as session:
                    assert len(session.state["messages"]) == count

            loads.append(load)
        ours, bare = interleaved(run.size(30, 1), 1, *loads)
    return Figure(
        f"load {count:,} messages with a key: p50",
        "ms",
        percentile(ours, 50) * MILLISECONDS,
        percentile(bare, 50) * MILLISECONDS,
        f"a load {PLAIN}",
        Goal(ratio_max=1.1),
    )
