"""Version 2 of the agent: msgspec; names are clearer, a budget came, notes went."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, IntEnum

import msgspec

import perdure
from perdure.lenses import add, convert, in_items, map_values, move, remove, rename, split

VERSION = 2
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Status(IntEnum):
    """How far the research is."""

    OPEN = 1
    WAITING = 2
    CLOSED = 3


class Mood(Enum):
    """How something was said."""

    CALM = "calm"
    EAGER = "eager"


class Message(msgspec.Struct):
    """Something said."""

    author: str
    text: str
    at: datetime
    tokens: int = 0
    mood: Mood | None = None


class Task(msgspec.Struct):
    """Something to do."""

    aim: str
    owner: str | None = None
    tags: list[str] = []
    due: datetime | None = None
    priority: int = 1


class Step(msgspec.Struct):
    """A step of the plan."""

    text: str
    done: bool = False


class Plan(msgspec.Struct):
    """What is to come."""

    goal: str = ""
    steps: list[Step] = []
    deadline: datetime | None = None


@perdure.schema("Research", version=2)
class Research(msgspec.Struct):
    """The state of the agent."""

    subject: str = ""
    budget: int = 100
    status: Status = Status.OPEN
    first: str = ""
    last: str | None = None
    estimate: int = 0
    city: str = ""
    country: str | None = None
    started: datetime = BEGINNING
    plan: Plan = msgspec.field(default_factory=Plan)
    messages: list[Message] = []
    tasks: dict[str, Task] = {}
    log: list[str] = []
    counts: dict[str, int] = {}


perdure.migration(
    Research,
    1,
    2,
    [
        rename("topic", "subject"),
        remove("notes", default=""),
        add("budget", 100),
        convert("status", {"open": 1, "waiting": 2, "closed": 3}),
        split("user", into=("first", "last")),
        convert("estimate", "str->int"),
        move("deadline", "plan/deadline"),
        in_items("messages", [rename("role", "author"), add("tokens", 0)]),
        map_values("tasks", [rename("goal", "aim"), add("priority", 1)]),
    ],
)
