"""Whole conversations, every message a checkpoint: time and disk."""

from __future__ import annotations

from contextlib import closing

import perdure
from benchmarks.figure import Figure
from benchmarks.floor import Floor, disk_bytes
from benchmarks.measure import MEGABYTE, MICROSECONDS, Run, percentile, timed
from benchmarks.messages import Message, conversations, packed
from benchmarks.saves import FLOOR_FULL


def trajectories(run: Run) -> list[Figure]:
    talks, source = conversations(run.data, run.size(1_000, 3))
    path = run.path("store")
    bare_path = run.path("floor")
    ours: list[float] = []
    bare: list[float] = []
    with closing(Floor(bare_path, "FULL")) as floor, perdure.Store(path) as store:
        for number, talk in enumerate(talks):
            ours += _save_talk(store, f"talk/{number}", talk)
            for message in talk:
                blob = packed(message)
                bare.append(timed(lambda blob=blob: floor.insert(blob)))  # type: ignore[misc]
    raw = sum(len(packed(message)) for talk in talks for message in talk)
    note = f"{source}: {len(talks)} states, {len(ours):,} checkpoints"
    return [
        *(
            Figure(
                f"conversations, save of each message: p{percent}",
                "µs",
                percentile(ours, percent) * MICROSECONDS,
                percentile(bare, percent) * MICROSECONDS,
                FLOOR_FULL,
                note=note,
            )
            for percent in (50, 99)
        ),
        Figure(
            "conversations, on disk (file + log, closed)",
            "MB",
            disk_bytes(path) / MEGABYTE,
            raw / MEGABYTE,
            "raw msgpack of the messages",
            note="not maintained: `disk` is",
        ),
    ]


def _save_talk(store: perdure.Store, key: str, talk: list[Message]) -> list[float]:
    times = []
    with store.open(key) as session:
        session.state["messages"] = []
        listed = session.state["messages"]
        for message in talk:

            def save(message: Message = message) -> None:
                listed.append(message)
                session.save()

            times.append(timed(save))
    return times
