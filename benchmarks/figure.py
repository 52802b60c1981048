"""A measured figure, its floor and its goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is judged by; every bound that is given must hold."""

    ratio_max: float | None = None
    ratio_min: float | None = None
    value_max: float | None = None
    over_floor_max: float | None = None

    def is_met(self, value: float, floor: float) -> bool:
        return not (
            (self.value_max is not None and value > self.value_max)
            or (self.ratio_max is not None and value > self.ratio_max * floor)
            or (self.ratio_min is not None and value < self.ratio_min * floor)
            or (self.over_floor_max is not None and value - floor > self.over_floor_max)
        )

    def text(self, unit: str) -> str:
        bounds = []
        if self.ratio_max is not None:
            bounds.append(f"≤ {self.ratio_max:g} × floor")
        if self.ratio_min is not None:
            bounds.append(f"≥ {self.ratio_min:g} × floor")
        if self.over_floor_max is not None:
            bounds.append(f"≤ floor + {self.over_floor_max:g} {unit}")
        if self.value_max is not None:
            bounds.append(f"≤ {self.value_max:g} {unit}")
        return " and ".join(bounds)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    unit: str
    value: float
    floor: float
    floor_is: str
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.value / self.floor

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None if there is none here."""
        return self.goal.is_met(self.value, self.floor) if self.goal else None

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "unit": self.unit,
            "value": self.value,
            "floor": self.floor,
            "floor_is": self.floor_is,
            "ratio": self.ratio,
            "goal": self.goal.text(self.unit) if self.goal else None,
            "met": self.met,
            "note": self.note,
        }
