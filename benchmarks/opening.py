"""Opening a long conversation at its end, beside the same of a short one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MILLISECONDS, Run, interleaved, percentile
from benchmarks.messages import messages
from benchmarks.saves import save_each

KEY = "bench/open"
LAST = 20
AT_ONCE = 500
"""Messages saved together, but for the last ones: only these are read again."""
ONE_BY_ONE = 100
PLAN = {"goal": "book a flight to Lisbon", "step": 3, "done": ["search", "compare"]}


def open_long(run: Run) -> list[Figure]:
    paths = [
        kept(run.path(f"{count}-messages"), count)
        for count in (run.size(100_000, 500), run.size(1_000, 200))
    ]
    rounds = run.size(20, 2)
    with ExitStack() as stack:
        open_stores = [stack.enter_context(perdure.Store(path)) for path in paths]
        again = interleaved(rounds, 10, *(opening(store) for store in open_stores))
    fresh = interleaved(rounds, 5, *(_with_a_new_store(path) for path in paths))
    goal = Goal(ratio_max=1.5, value_max=1.5)
    length = f"{run.size(100_000, 500):,} messages"
    return [
        Figure(
            f"open, one section and the last {LAST} of {length}, {how}: p{percent}",
            "ms",
            percentile(long, percent) * MILLISECONDS,
            percentile(short, percent) * MILLISECONDS,
            f"the same of {run.size(1_000, 200):,} messages",
            judged,
        )
        for how, (long, short), percent, judged in (
            ("again", again, 50, goal),
            ("again", again, 99, None),
            ("a new Store each time", fresh, 50, None),
        )
    ]


def kept(path: Path, count: int) -> Path:
    """A store with a state of `count` messages and a plan, as maintenance leaves it."""
    together = count - ONE_BY_ONE
    with perdure.Store(path, durability="process") as store:
        with store.open(KEY) as session:
            session.state.update({"plan": PLAN, "messages": []})
            listed = session.state["messages"]
            for first in range(0, together, AT_ONCE):
                listed.extend(messages(min(AT_ONCE, together - first), first))
                session.save()
        save_each(store, KEY, messages(ONE_BY_ONE, together))
        store.maintain(KEY)
    return path


def opening(store: perdure.Store) -> Callable[[], None]:
    """Opens a state, reads its plan and its last messages, and closes it."""

    def open_and_read() -> None:
        with store.open(KEY, windows={"messages": LAST}) as session:
            assert session.state["plan"]["step"] == PLAN["step"]
            assert len(session.state["messages"]) == LAST

    return open_and_read


def _with_a_new_store(path: Path) -> Callable[[], None]:
    def open_and_read() -> None:
        with perdure.Store(path) as store:
            opening(store)()

    return open_and_read
