"""Version 3 of the agent: pydantic; messages have parts, tasks one tag, and moods went."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum

from pydantic import BaseModel

import perdure
from perdure.lenses import (
    add,
    convert,
    in_items,
    map_values,
    merge,
    move,
    remove,
    rename,
    split,
    unwrap,
    wrap,
)

VERSION = 3
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Status(IntEnum):
    """How far the research is."""

    OPEN = 1
    WAITING = 2
    CLOSED = 3


class Message(BaseModel):
    """Something said, in one or more parts."""

    author: str
    parts: list[str]
    at: datetime
    tokens: int = 0


class Task(BaseModel):
    """Something to do."""

    aim: str
    owner: str | None = None
    tag: str | None = None
    due: datetime | None = None
    priority: int = 1


class Step(BaseModel):
    """A step of the plan."""

    title: str
    done: bool = False


class Plan(BaseModel):
    """What is to come."""

    steps: list[Step] = []
    deadline: datetime | None = None


@perdure.schema("Research", version=3)
class Research(BaseModel):
    """The state of the agent."""

    subject: str = ""
    goal: str = ""
    budget: int = 100
    rating: float = 0.0
    status: Status = Status.OPEN
    first: str = ""
    last: str | None = None
    estimate: int = 0
    place: str = ""
    started: str = BEGINNING.isoformat()
    plan: Plan = Plan()
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
perdure.migration(
    Research,
    2,
    3,
    [
        move("plan/goal", "goal"),
        add("rating", 0.0),
        merge(("city", "country"), into="place", by=", "),
        convert("started", "datetime->iso"),
        in_items("plan/steps", [rename("text", "title")]),
        in_items("messages", [wrap("text"), rename("text", "parts"), remove("mood", default=None)]),
        map_values("tasks", [unwrap("tags"), rename("tags", "tag")]),
    ],
)
