"""What the simulator tells: how much was run, and what broke in which schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from perdure.testing.sim_world import World


class Found(AssertionError):
    """A schedule that breaks a promise: which, how to run it again, and what happened."""


@dataclass(slots=True)
class Report:
    """What an exploration went through."""

    schedules: int = 0
    steps: int = 0
    pruned: int = 0
    """Schedules cut short, because they had come to where an earlier one was."""
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """Count a schedule."""
        self.schedules += 1
        self.steps += world.step
        self.faults.update(world.faults)

    def __str__(self) -> str:
        """As printed."""
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        cut = f" ({self.pruned} of them up to a known point)" if self.pruned else ""
        return f"{self.schedules} schedules{cut}, {self.steps} steps; faults: {faults or 'none'}"


Progress: TypeAlias = Callable[[Report], object]


def quiet(_report: Report) -> None:
    """Tell nothing of what was gone through so far."""


def account(world: World, error: BaseException, again: str) -> str:
    """What broke, in which schedule, and how to run that again."""
    lines = "\n".join(world.trace)
    return f"{error}\n\non the {world.face} face; run it again: {again}\n\n{lines}"
