"""Ten thousand small states migrated in one process, each in a commit of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, Run, timed
from benchmarks.messages import message
from perdure import limits
from perdure.schemas.declare import migration, schema

BLOB_BYTES = 500
"""About what a migrated small state writes: its record and its head."""


@schema("BenchResearch", version=2)
@dataclass
class Research:
    subject: str = ""
    budget: int = 0


migration(
    Research, 0, 2, [perdure.lenses.rename("topic", "subject"), perdure.lenses.add("budget", 0)]
)


def fleet(run: Run) -> list[Figure]:
    """Migrated with the look at all states before, and without it; surviving a power cut."""
    count = run.size(10_000, 70)
    floor = _floor(run.path("floor"), count)
    figures = []
    for what, first, goal in (
        ("looked at first", True, Goal(value_max=1000)),
        ("not looked at first", False, None),
    ):
        path = run.path("store")
        _made(path, count)
        with perdure.Store(path, maintenance="off") as store:
            found = store.migrate("", Research, verify_first=first)
        if found.counts != {"migrated": count}:
            raise RuntimeError(found.summary())
        figures.append(
            Figure(
                f"{count:,} small states migrated, {what}",
                "µs a state",
                MICROSECONDS * found.seconds / count,
                floor,
                f"bare inserts in FULL, {limits.batch_commits_max} in a transaction",
                goal,
            )
        )
    return figures


def _made(path: Path, count: int) -> None:
    with perdure.Store(path, maintenance="off", durability="process") as store:
        for at in range(count):
            with store.open(f"bench/{at:06}") as session:
                session.state["topic"] = f"topic {at}"
                session.state["messages"] = [message(at)]


def _floor(path: Path, count: int) -> float:
    """How long a row takes (microseconds)."""
    floor, blob = Floor(path, "FULL"), bytes(BLOB_BYTES)

    def insert() -> None:
        for start in range(0, count, limits.batch_commits_max):
            with floor.transaction():
                for _ in range(start, min(start + limits.batch_commits_max, count)):
                    floor.insert(blob)

    seconds = timed(insert)
    floor.close()
    return MICROSECONDS * seconds / count
