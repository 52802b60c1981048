"""Does the cost of a save depend on the state? The same save on a large one and a small one."""

from __future__ import annotations

from typing import Any, Literal

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.measure import MICROSECONDS, Run, interleaved, percentile
from benchmarks.messages import endless, messages
from benchmarks.saves import Saver

FLAT = Goal(ratio_max=1.15)
TEXT = "x" * 1000


def state_size(run: Run) -> list[Figure]:
    """A state with 10 MB in another section, and one without."""
    count = run.size(10_000, 100)
    large = {"documents": [f"{number} {TEXT}" for number in range(count)]}
    return _flat(
        run, f"a state of {count / 1000:g} MB", large, "on a small state", {"documents": [TEXT]}
    )


def list_length(run: Run) -> list[Figure]:
    """A list of 100,000 messages, and one of 100."""
    count = run.size(100_000, 1_000)
    large, small = {"messages": messages(count)}, {"messages": messages(100)}
    return _flat(run, f"{count:,} messages", large, "at 100 messages", small)


def _flat(
    run: Run, what: str, large: dict[str, Any], floor_is: str, small: dict[str, Any]
) -> list[Figure]:
    durabilities: tuple[Literal["power", "process"], ...] = ("power", "process")
    figures = []
    for durability in durabilities:
        pool = endless()
        with (
            perdure.Store(run.path("store"), durability=durability) as store,
            store.open("large") as one,
            store.open("small") as other,
        ):
            one.state.update(large)
            other.state.update(small)
            for session in (one, other):  # the first snapshot of all is another matter
                session.save()
                session.save(label="a snapshot is of the newest checkpoint but one")
                store.maintain(session.key)
            savers = [Saver(session, pool) for session in (one, other)]
            big, little = interleaved(run.size(20, 2), 25, *(saver.save for saver in savers))
            for saver in savers:
                saver.check()
        synchronous = "FULL" if durability == "power" else "NORMAL"
        figures.append(
            Figure(
                f"save at {what}, {synchronous}: p50",
                "µs",
                percentile(big, 50) * MICROSECONDS,
                percentile(little, 50) * MICROSECONDS,
                f"the same save {floor_is}",
                FLAT,
            )
        )
    return figures
