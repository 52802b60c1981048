"""What type checkers make of a typed state."""

from dataclasses import dataclass, field
from typing import TypedDict, assert_type

import msgspec
from pydantic import BaseModel

import perdure
from perdure.state import Document
from perdure.state.typed import typed_state


@dataclass
class Step:
    title: str
    done: bool = False


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)
    by: dict[str, Step] = field(default_factory=dict)
    best: Step | None = None


class Notes(TypedDict):
    texts: list[str]


class Pet(msgspec.Struct):
    name: str


class User(BaseModel):
    name: str


state = Document({}).state
plan = typed_state(Plan, state)
assert_type(plan, Plan)
assert_type(plan.steps, list[Step])
assert_type(plan.steps[0].done, bool)
assert_type(plan.by["k"].title, str)
assert_type(plan.best, Step | None)
assert_type(perdure.materialize(plan), Plan)
assert_type(perdure.materialize(plan.steps), list[Step])
assert_type(typed_state(Notes, state)["texts"], list[str])
assert_type(typed_state(Pet, state).name, str)
assert_type(typed_state(User, state).name, str)

plan.steps[0].done = "yes"  # error
plan.steps.append("look")  # error
assert plan.title  # error
