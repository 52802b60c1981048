"""Typed states: views of each kind of model, and what they have."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.research import (
    Cat,
    Dog,
    LongStep,
    Mixed,
    Point,
    Research,
    Step,
    User,
    opened,
    research,
)

import perdure
from perdure.core.changes import Set
from perdure.errors import BadStored, Detached, WrongType
from perdure.state import Document, TrackedDict, TrackedList


def test_views_are_the_users_class_and_stay_the_same() -> None:
    _, state = research()
    step = state.plan.steps[0]
    assert state.plan is state["plan"] and state.plan.steps[0] is step
    assert (step.loud, step.size, step.limit) == ("LOOK", 4, 3)
    assert isinstance(state, Research) and isinstance(step, Step)
    assert type(step.named("x")) is Step
    assert type(state.plan.tags) is TrackedList


def test_super_without_arguments_works_in_a_view() -> None:
    document, state = research()
    state.plan.long = LongStep("far")
    document.capture()
    state.plan.long.finish()
    path = ("plan", "long")
    assert document.capture() == [Set((*path, "done"), True), Set((*path, "why"), "finished")]


def test_the_means_of_dataclasses_work_on_views() -> None:
    _, state = research()
    real = perdure.materialize(state)
    assert type(real) is Research and type(real.plan.steps[0]) is Step
    assert state == real and real == state and repr(state) == repr(real)
    assert dataclasses.asdict(state) == dataclasses.asdict(real)
    assert dataclasses.astuple(state.at) == (1, 0.0)
    assert dataclasses.replace(state.plan.steps[0], title="b") == Step("b")
    assert copy.deepcopy(state) == real and type(copy.copy(state)) is Research
    assert pickle.loads(pickle.dumps(state)) == real
    match state.plan.steps[0]:
        case Step(title=title):
            assert title == "look"
        case _:
            pytest.fail("no match")


def test_a_frozen_model_is_replaced_whole() -> None:
    document, state = research(at={"x": 1, "y": 2.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.at.x = 2
    state.at = Point(3, 4)
    assert document.plain()["at"] == {"x": 3, "y": 4}
    assert perdure.materialize(state.at) == Point(3, 4)


def test_a_default_is_read_without_being_written_and_takes_its_place_when_edited() -> None:
    document, state = opened(Research, topic="tea")
    plan = state.plan
    assert plan.tags == [] and plan.steps == [] and state.when is None
    assert document.capture() == []
    tags = plan.tags
    tags.append("a")
    assert state.plan is plan and state.plan.tags is tags
    assert document.plain()["plan"]["tags"] == ["a"]


def test_a_default_whose_place_was_taken_refuses_edits() -> None:
    _, state = opened(Research, topic="tea", plan={})
    tags = state.plan.tags
    state.plan.tags = ["other"]
    with pytest.raises(Detached):
        tags.append("lost")


def test_a_missing_required_field_is_no_attribute() -> None:
    _, state = opened(Research)
    assert not hasattr(state, "topic")
    with pytest.raises(BadStored) as missing:
        _ = state.topic
    assert missing.value.path == ("topic",)


@pytest.mark.parametrize(
    ("sections", "look", "path"),
    [
        ({"topic": 3}, lambda s: s.topic, ("topic",)),
        ({"plan": 3}, lambda s: s.plan, ("plan",)),
        ({"plan": {"tags": ["a", 1]}}, lambda s: s.plan.tags, ("plan", "tags", 1)),
        ({"plan": {"steps": [3]}}, lambda s: s.plan.steps[0], ("plan", "steps", 0)),
        (
            {"plan": {"steps": [{"title": "a", "colour": "green"}]}},
            lambda s: s.plan.steps[0].colour,
            ("plan", "steps", 0, "colour"),
        ),
    ],
    ids=["leaf", "model", "item of a plain list", "item of a typed list", "member of an Enum"],
)
def test_what_is_stored_and_does_not_fit_is_reported_where_it_is_read(
    sections: dict[str, Any], look: Callable[[Any], Any], path: Any
) -> None:
    document, state = opened(Research, **sections)
    with pytest.raises(BadStored) as bad:
        look(state)
    assert bad.value.path == path
    assert f'session.raw["{path[0]}"]' in str(bad.value)
    assert document.plain() == sections


def test_a_typed_dict_of_plain_fields_is_the_tracked_dict_itself() -> None:
    document, state = opened(Mixed, notes=[{"text": "a", "new": 1}])
    assert type(state["notes"][0]) is TrackedDict
    state["notes"][0]["size"] = 2
    assert document.capture() == [Set(("notes", 0, "size"), 2)]
    with pytest.raises(WrongType):
        state["notes"].append({"size": 1})


def test_the_tags_of_structs_are_stored_and_tell_them_apart() -> None:
    document, state = opened(Mixed)
    state["pets"] = [Dog("rex"), Cat("tom")]
    state["pets"][0].toys.append("ball")
    assert document.plain()["pets"] == [
        {"type": "dog", "name": "rex", "toys": ["ball"]},
        {"type": "cat", "name": "tom"},
    ]
    assert [type(pet) for pet in perdure.materialize(state["pets"])] == [Dog, Cat]
    assert state["pets"][1] == Cat("tom") and Cat("tom") == state["pets"][1]
    with pytest.raises(WrongType):
        del document.state["pets"][0]["type"]


def test_the_tag_of_a_struct_is_stored_in_an_untyped_state_too() -> None:
    document = Document({})
    document.state["pet"] = Cat("tom")
    assert document.plain() == {"pet": {"type": "cat", "name": "tom"}}


def test_pydantic_checks_what_is_assigned_to_its_models() -> None:
    document, state = opened(Mixed)
    state["user"] = User(name="ann", home="https://example.org/a")  # type: ignore[arg-type]
    user = state["user"]
    document.capture()
    user.name = " bob "
    assert document.capture() == [Set(("user", "name"), "bob")]
    with pytest.raises(WrongType) as refused:
        user.name = "b"
    assert refused.value.path == ("user", "name")
    assert user.greet() == "Hello bob"
    assert str(user.home) == "https://example.org/a"
    user.friends.append(User(name="cid"))
    assert user.model_dump() == perdure.materialize(user).model_dump()
    assert isinstance(user, User)
    assert user.model_dump_json() == perdure.materialize(user).model_dump_json()


def test_two_models_that_cannot_be_told_apart_are_refused_with_a_hint() -> None:
    _, state = opened(Ambiguous, one=None)
    state.one = First(1)
    with pytest.raises(WrongType, match=r'kind: Literal\["Second"\]'):
        state.one = Second(1)


@dataclass
class First:
    x: int


@dataclass
class Second:
    x: int


@dataclass
class Ambiguous:
    one: First | Second | None


def test_a_list_of_views_has_what_a_list_has() -> None:
    document, state = research()
    steps = state.plan.steps
    steps.extend([Step("b"), Step("a")])
    steps += [Step("c")]
    first = steps[0]
    steps.sort(key=lambda step: step.title)
    assert [step.title for step in steps] == ["a", "b", "c", "look"]
    assert steps[-1] is first and steps.index(first) == 3 and first in steps
    steps.reverse()
    assert steps[0] is first and steps.count(Step("b")) == 1
    assert [step.title for step in steps[1:3]] == ["c", "b"]
    steps[1:3] = [Step("x")]
    steps.remove(Step("a"))
    assert steps == [Step("look"), Step("x")] and steps * 2 == [*steps, *steps]
    assert isinstance(steps.pop(), Step) and len(steps) == 1
    assert document.plain()["plan"]["steps"] == [{"title": "look", "new": 1}]


def test_a_mapping_of_views_has_what_a_dict_has() -> None:
    document, state = research()
    by = state.plan.by
    by["a"] = Step("a")
    by |= {"b": Step("b")}
    assert by.setdefault("a", Step("z")) is by["a"]
    assert list(by) == ["a", "b"] and by.get("c") is None and "a" in by
    assert by == {"a": Step("a"), "b": Step("b")}
    assert by | {"c": 1} == {"a": Step("a"), "b": Step("b"), "c": 1}
    assert by.popitem() == ("b", Step("b")) and by.pop("q", 7) == 7
    by.clear()
    assert document.plain()["plan"]["by"] == {}


def test_an_aware_datetime_is_kept() -> None:
    document, state = research()
    state.when = datetime(2026, 1, 2, tzinfo=UTC)
    assert document.plain()["when"] == state.when == datetime(2026, 1, 2, tzinfo=UTC)
