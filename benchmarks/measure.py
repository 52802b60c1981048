"""Timing: floor and figure turn by turn, so that a machine's moods reach both alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MICROSECONDS = 1e6
MILLISECONDS = 1e3
MEGABYTE = 1e6


@dataclass(slots=True)
class Run:
    """One run of the benchmarks: how large, and where."""

    quick: bool
    directory: Path
    """An empty directory for stores and floors, on the disk that is measured."""
    data: Path | None = None
    """Recorded conversations, if there are any."""
    _made: int = field(default=0)

    def size(self, full: int, quick: int) -> int:
        """How many of something: `quick` only proves that the benchmark runs."""
        return quick if self.quick else full

    def path(self, name: str) -> Path:
        """A file of its own for each store and each floor."""
        self._made += 1
        return self.directory / f"{self._made:02d}-{name}.db"


def percentile(times: Sequence[float], percent: float) -> float:
    """Nearest rank: a time that was really measured."""
    ordered = sorted(times)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def timed(action: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def interleaved(rounds: int, calls: int, *actions: Callable[[], object]) -> tuple[list[float], ...]:
    """Seconds of each call, per action: `calls` of one, then of the next, `rounds` times over.

    A first round warms up and is not counted.
    """
    times: tuple[list[float], ...] = tuple([] for _ in actions)
    for turn in range(rounds + 1):
        for action, mine in zip(actions, times):
            chunk = [timed(action) for _ in range(calls)]
            if turn:
                mine += chunk
    return times
