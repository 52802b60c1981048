"""Two versions of one schema, as old and new code have them: classes of their own each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import perdure
from perdure.core.versions import SECTION
from perdure.lenses import add, convert, in_items, remove, rename


@dataclass
class Message:
    role: str
    content: str


@dataclass
class Newer:
    author: str
    content: str


@dataclass
class Inner:
    goal: str = ""


def make_first() -> type[Any]:
    @perdure.schema("Research")
    @dataclass
    class Research:
        topic: str = ""
        notes: str = ""
        status: str = "open"
        messages: list[Message] = field(default_factory=list)

    return Research


def make_second(*, lenses: Any = None) -> type[Any]:
    @perdure.schema("Research", version=2)
    @dataclass
    class Research:
        subject: str = ""
        budget: int = 0
        status: int = 1
        messages: list[Newer] = field(default_factory=list)

    perdure.migration(
        Research,
        1,
        2,
        [
            rename("topic", "subject"),
            add("budget", 5),
            remove("notes", default=""),
            convert("status", {"open": 1, "closed": 2}),
            in_items("messages", [rename("role", "author"), add("tokens", 0)]),
        ]
        if lenses is None
        else lenses,
    )
    return Research


@perdure.schema("Newest")
@dataclass
class Newest:
    """For commands that take a schema."""

    n: Any = None


def newest(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    return store.at(key, store.history(key)[0].number).plain()


def version(store: perdure.Store) -> int:
    found: int = newest(store)[SECTION]["Research"]["version"]
    return found
