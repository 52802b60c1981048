"""What conversations take on disk, every message a checkpoint, once maintenance is through."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import disk_bytes
from benchmarks.measure import MEGABYTE, Run
from benchmarks.messages import Message, conversations, messages, packed
from benchmarks.saves import save_each

RAW = "raw msgpack of the messages"


def disk(run: Run) -> list[Figure]:
    talks, source = conversations(run.data, run.size(1_000, 3))
    joined = [[message for talk in talks for message in talk]]
    # The goals are about what agents really say: made-up text is harder to compress.
    own, one = (0.75, 0.45) if run.data is not None else (None, None)
    count = run.size(200, 20)
    made_up = [messages(count, number * count) for number in range(run.size(50, 2))]
    return [
        _measured(run.path("own"), talks, "each conversation a state", own, source),
        _measured(run.path("joined"), joined, "all of them one state", one, source),
        _measured(run.path("made-up"), made_up, "made-up messages", None, "synthetic messages"),
    ]


def _measured(
    path: Path, talks: list[list[Message]], what: str, ratio_max: float | None, source: str
) -> Figure:
    with perdure.Store(path, durability="process") as store:
        for number, talk in enumerate(talks):
            save_each(store, f"talk/{number}", talk)
        store.maintain()
        store.compact()
        note = f"{source}, {len(talks)} states; {_by_kind(store, len(talks))}"
    return Figure(
        f"on disk, maintained: {what}",
        "MB",
        disk_bytes(path) / MEGABYTE,
        raw_bytes(talks) / MEGABYTE,
        RAW,
        Goal(ratio_max=ratio_max) if ratio_max is not None else None,
        note,
    )


def raw_bytes(talks: Iterable[list[Message]]) -> int:
    return sum(len(packed(message)) for talk in talks for message in talk)


def _by_kind(store: perdure.Store, states: int) -> str:
    """Where the bytes are, in words; the rest is heads, indexes and what pages of SQLite leave."""
    found: dict[str, int] = {}
    for number in range(states):
        for kind, size in store.stats(f"talk/{number}").stored.items():
            found[kind] = found.get(kind, 0) + size
    parts = (f"{size / MEGABYTE:.3f} MB of {kind}" for kind, size in found.items())
    return ", ".join(parts)
