"""One message appended and saved, beside a bare insert and commit of the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Literal

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import Floor
from benchmarks.measure import MICROSECONDS, Run, interleaved, percentile
from benchmarks.messages import Message, endless

FLOOR_FULL = "insert + commit, synchronous=FULL"
FLOOR_NORMAL = "insert + commit, synchronous=NORMAL"


class Saver:
    """An open session that appends one message after another and saves each."""

    def __init__(self, session: perdure.Session, pool: Iterator[tuple[Message, bytes]]) -> None:
        session.state.setdefault("messages", [])
        self._messages = session.state["messages"]
        self._session = session
        self._pool = pool
        self._saves = 0

    def save(self) -> None:
        self._messages.append(next(self._pool)[0])
        self._session.save()
        self._saves += 1

    def check(self) -> None:
        """That what was measured were saves."""
        checkpoint = self._session.checkpoint
        number = checkpoint.number if checkpoint is not None else 0
        if number < self._saves:
            raise RuntimeError(f"{self._saves} saves made {number} checkpoints")


def save_each(store: perdure.Store, key: str, many: Sequence[Message]) -> None:
    """A conversation, every message of which is a checkpoint."""
    with store.open(key) as session:
        listed = session.state.setdefault("messages", [])
        for message in many:
            listed.append(message)
            session.save()


def save_full(run: Run) -> list[Figure]:
    return _beside_floor(
        run,
        durability="power",
        calls=25,
        rounds=run.size(40, 2),
        goals=(Goal(ratio_max=1.4), Goal(ratio_max=2)),
    )


def save_normal(run: Run) -> list[Figure]:
    return _beside_floor(
        run,
        durability="process",
        calls=100,
        rounds=run.size(50, 1),
        goals=(Goal(ratio_max=5, value_max=50), None),
    )


def _beside_floor(
    run: Run,
    *,
    durability: Literal["power", "process"],
    calls: int,
    rounds: int,
    goals: tuple[Goal | None, Goal | None],
) -> list[Figure]:
    synchronous: Literal["FULL", "NORMAL"] = "FULL" if durability == "power" else "NORMAL"
    pool = endless()
    with (
        closing(Floor(run.path("floor"), synchronous)) as floor,
        perdure.Store(run.path("store"), durability=durability) as store,
        store.open("bench/save") as session,
    ):
        saver = Saver(session, pool)
        ours, bare = interleaved(rounds, calls, saver.save, lambda: floor.insert(next(pool)[1]))
        saver.check()
    floor_is = FLOOR_FULL if synchronous == "FULL" else FLOOR_NORMAL
    return [
        Figure(
            f"save, {synchronous}: p{percent}",
            "µs",
            percentile(ours, percent) * MICROSECONDS,
            percentile(bare, percent) * MICROSECONDS,
            floor_is,
            goal,
        )
        for percent, goal in zip((50, 99), goals)
    ]
