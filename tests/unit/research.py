"""A typed state with a model of each kind in it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic

from perdure.state import Document
from perdure.state.typed import install, typed_state


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Span(NamedTuple):
    start: int
    colour: Colour = Colour.RED


@dataclass
class Step:
    title: str
    done: bool = False
    colour: Colour = Colour.RED
    steps: "list[Step]" = field(default_factory=list)
    limit: ClassVar[int] = 3

    def finish(self) -> None:
        self.done = True

    @property
    def loud(self) -> str:
        return self.title.upper()

    @cached_property
    def size(self) -> int:
        return len(self.title)

    @classmethod
    def named(cls, title: str) -> "Step":
        return cls(title)


@dataclass
class LongStep(Step):
    why: str = ""

    def finish(self) -> None:
        super().finish()
        self.why = "finished"


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: float = 0.0


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    by: dict[str, Step] = field(default_factory=dict)
    span: Span = field(default=Span(1))
    long: LongStep | None = None


@dataclass
class Research:
    topic: str
    plan: Plan = field(default_factory=Plan)
    at: Point = Point(1)
    when: datetime | None = None


class Note(TypedDict):
    text: str
    size: NotRequired[int]


class Dog(msgspec.Struct, tag="dog"):
    name: str
    toys: list[str] = []


class Cat(msgspec.Struct, tag="cat"):
    name: str


class User(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2)
    home: pydantic.HttpUrl | None = None
    friends: "list[User]" = []

    @pydantic.field_validator("name")
    @classmethod
    def tidy(cls, name: str) -> str:
        return name.strip()

    def greet(self) -> str:
        return f"Hello {self.name}"


class Mixed(TypedDict, total=False):
    notes: list[Note]
    pets: list[Dog | Cat]
    user: User


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)


def research(**more: Any) -> tuple[Document, Any]:
    plan = {"steps": [{"title": "look", "new": 1}], "tags": ["a"], "by": {}, "newer": {"k": 1}}
    return opened(Research, topic="tea", plan=plan, unknown=[1], **more)
