"""Version 1 of the agent: dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

import perdure

VERSION = 1
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Status(Enum):
    """How far the research is."""

    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class Mood(Enum):
    """How something was said."""

    CALM = "calm"
    EAGER = "eager"


@dataclass
class Message:
    """Something said."""

    role: str
    text: str
    at: datetime
    mood: Mood | None = None


@dataclass
class Task:
    """Something to do."""

    goal: str
    owner: str | None = None
    tags: list[str] = field(default_factory=list)
    due: datetime | None = None


@dataclass
class Step:
    """A step of the plan."""

    text: str
    done: bool = False


@dataclass
class Plan:
    """What is to come."""

    goal: str = ""
    steps: list[Step] = field(default_factory=list)


@perdure.schema("Research")
@dataclass
class Research:
    """The state of the agent."""

    topic: str = ""
    notes: str = ""
    status: Status = Status.OPEN
    user: str = ""
    estimate: str = "0"
    city: str = ""
    country: str | None = None
    started: datetime = BEGINNING
    deadline: datetime | None = None
    plan: Plan = field(default_factory=Plan)
    messages: list[Message] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
