"""One conversation that grows, saved message by message, measured on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import perdure
from benchmarks.blob import reading
from benchmarks.floor import Floor, disk_bytes
from benchmarks.measure import MEGABYTE, MICROSECONDS, Run, interleaved, timed
from benchmarks.messages import Message, messages, packed
from benchmarks.svg import short, time_text

KEY = "bench/growth"
COUNTS, COUNTS_QUICK = (100, 1_000, 10_000, 100_000), (20, 80)
LAST = 20
TIMED_SAVES_MAX = 500
TURN_SAVES = 25
"""Saves in a row, then as many bare inserts."""


@dataclass(frozen=True, slots=True)
class Series:
    """A figure that is measured at each number of messages."""

    name: str
    title: str
    floor_is: str
    text: Callable[[float], str]


def _megabytes(size: float) -> str:
    return f"{short(size / MEGABYTE)} MB"


SAVE, OPEN, LOAD, DISK = ALL = (
    Series(
        "save",
        "one save, NORMAL, p50",
        "insert + commit, synchronous=NORMAL",
        time_text,
    ),
    Series(
        "open", f"open with the last {LAST}, p50", f"read {LAST} messages as one row", time_text
    ),
    Series("load", "load everything, p50", "read one zstd blob and decode it", time_text),
    Series("disk", "on disk, maintained", "raw msgpack of the messages", _megabytes),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A figure and its floor at one number of messages; times in microseconds, sizes in bytes."""

    series: Series
    messages: int
    value: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.value / self.floor

    def as_json(self) -> dict[str, Any]:
        return {
            "series": self.series.name,
            "messages": self.messages,
            "value": self.value,
            "floor": self.floor,
            "ratio": self.ratio,
        }


def grown(run: Run) -> list[Point]:
    """All series, from the fewest messages to the most."""
    store, floor = run.path("store"), run.path("floor")
    points: list[Point] = []
    done = 0
    for count in COUNTS_QUICK if run.quick else COUNTS:
        points.append(_saved(store, floor, messages(count - done, done), count))
        points += _read(store, run.path("blobs"), messages(count), run.size(9, 1))
        done = count
    return points


def _saved(path: Path, floor_path: Path, more: list[Message], count: int) -> Point:
    """Save more messages one by one; the last saves take turns with bare inserts."""
    singly = min(len(more), TIMED_SAVES_MAX)
    times: list[float] = []
    bare: list[float] = []
    with closing(Floor(floor_path, "NORMAL")) as floor, _store(path) as store:
        with store.open(KEY) as session:
            listed = session.state.setdefault("messages", [])

            def save(message: Message) -> None:
                listed.append(message)
                session.save()

            for message in more[: len(more) - singly]:
                save(message)
            for turn in _turns(more[len(more) - singly :]):
                times += [_timed(save, message) for message in turn]
                bare += [_timed(floor.insert, packed(message)) for message in turn]
        store.maintain(KEY)
        store.compact()
    return _point(SAVE, count, times, bare)


def _store(path: Path) -> perdure.Store:
    """A store that keeps nothing in memory of what it read: the floor does not either."""
    return perdure.Store(path, durability="process", cache_bytes=0)


def _turns(many: list[Message]) -> Sequence[list[Message]]:
    return [many[start : start + TURN_SAVES] for start in range(0, len(many), TURN_SAVES)]


def _timed(work: Callable[[Any], None], what: Any) -> float:
    return timed(lambda: work(what))


def _read(path: Path, blobs_path: Path, all_of_them: list[Message], rounds: int) -> list[Point]:
    count = len(all_of_them)
    raw = sum(len(packed(message)) for message in all_of_them)
    on_disk = disk_bytes(path)
    with closing(Floor(blobs_path, "NORMAL")) as floor, _store(path) as store:
        last = reading(floor, all_of_them[-LAST:], compressed=False)
        whole = reading(floor, all_of_them, compressed=True)
        opened = interleaved(rounds, 10, _opening(store), last)
        loaded = interleaved(rounds, 1, _loading(store, count), whole)
    return [
        _point(OPEN, count, *opened),
        _point(LOAD, count, *loaded),
        Point(DISK, count, on_disk, raw),
    ]


def _point(series: Series, count: int, times: list[float], bare: list[float]) -> Point:
    return Point(series, count, median(times) * MICROSECONDS, median(bare) * MICROSECONDS)


def _opening(store: perdure.Store) -> Callable[[], None]:
    def opening() -> None:
        with store.open(KEY, windows={"messages": LAST}) as session:
            assert len(session.state["messages"]) == LAST

    return opening


def _loading(store: perdure.Store, count: int) -> Callable[[], None]:
    def loading() -> None:
        with store.open(KEY) as session:
            assert len(session.state["messages"]) == count

    return loading
