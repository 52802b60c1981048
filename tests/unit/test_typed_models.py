"""Typed states: views of each kind of model, and what they write."""

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest

import perdure
from perdure.core.changes import Set, Splice
from perdure.errors import BadStored, Detached, WrongType
from perdure.state import Document, TrackedDict, TrackedList
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


EDITS: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (lambda s: setattr(s, "topic", "cha"), [Set(("topic",), "cha")]),
    (lambda s: s.plan.steps[0].finish(), [Set(("plan", "steps", 0, "done"), True)]),
    (lambda s: s.plan.tags.append("b"), [Splice(("plan", "tags"), 1, 0, ["b"])]),
    (
        lambda s: setattr(s.plan.steps[0], "colour", Colour.BLUE),
        [Set(("plan", "steps", 0, "colour"), "blue")],
    ),
    (lambda s: setattr(s.plan, "span", Span(2)), [Set(("plan", "span"), (2, "red"))]),
    (
        lambda s: s.plan.steps[0].steps.append(Step("in")),
        [
            Set(
                ("plan", "steps", 0, "steps"),
                [{"title": "in", "done": False, "colour": "red", "steps": []}],
            )
        ],
    ),
    (lambda s: s["plan"]["steps"].pop(), [Splice(("plan", "steps"), 0, 1, [])]),
    (lambda s: s.plan.by.update(k={"title": "t"}), [Set(("plan", "by", "k"), {"title": "t"})]),
]


@pytest.mark.parametrize(("edit", "changes"), EDITS, ids=map(str, range(len(EDITS))))
def test_an_edit_writes_only_what_changed(edit: Callable[[Any], Any], changes: list[Any]) -> None:
    document, state = research()
    edit(state)
    assert document.capture() == changes


@pytest.mark.parametrize(("edit", "changes"), EDITS, ids=map(str, range(len(EDITS))))
def test_an_edit_is_undone_with_its_block(edit: Callable[[Any], Any], changes: list[Any]) -> None:
    document, state = research()
    before = document.plain()
    with pytest.raises(KeyError), document.block():
        edit(state)
        raise KeyError
    assert document.plain() == before
    assert document.capture() == []


REFUSED: list[tuple[Callable[[Any], Any], tuple[str | int, ...], str]] = [
    (lambda s: setattr(s, "topic", 1), ("topic",), "expected str, got int (1)"),
    (
        lambda s: setattr(s.plan.steps[0], "done", "yes"),
        ("plan", "steps", 0, "done"),
        "plan/steps/0/done: expected bool, got str ('yes')",
    ),
    (lambda s: s.plan.tags.append(1), ("plan", "tags", 1), "expected str"),
    (lambda s: s.plan.tags.extend(["x", 1]), ("plan", "tags", 2), "expected str"),
    (lambda s: s.plan.tags.insert(0, None), ("plan", "tags", 0), "expected str, got None"),
    (lambda s: s.plan.tags.__setitem__(slice(0, 1), [2]), ("plan", "tags", 0), "expected str"),
    (lambda s: s.plan.steps.append({}), ("plan", "steps", 1, "title"), "got nothing"),
    (lambda s: s.plan.by.setdefault("k", 3), ("plan", "by", "k"), "expected Step, got int"),
    (lambda s: s.plan.by.update(a=Step("a"), k=3), ("plan", "by", "k"), "expected Step"),
    (lambda s: delattr(s, "topic"), ("topic",), "cannot be deleted"),
    (lambda s: delattr(s.plan.steps[0], "title"), ("plan", "steps", 0, "title"), "Step needs"),
    (lambda s: setattr(s.plan, "span", (1, "green")), ("plan", "span"), "'green'"),
    (lambda s: setattr(s, "plan", [1]), ("plan",), "expected Plan, got list"),
]


@pytest.mark.parametrize(("edit", "path", "said"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_a_bad_value_is_refused_with_its_path_and_nothing_changes(
    edit: Callable[[Any], Any], path: Any, said: str
) -> None:
    document, state = research()
    before = document.plain()
    with pytest.raises(WrongType) as refused:
        edit(state)
    assert refused.value.path == path
    assert said in str(refused.value)
    assert document.plain() == before
    assert document.capture() == []


def test_raw_edits_pass_the_door_too() -> None:
    document, _ = research()
    with pytest.raises(WrongType):
        document.state["plan"]["steps"][0]["done"] = 1
    with pytest.raises(WrongType):
        document.state["plan"]["steps"][0].clear()
    document.state["plan"]["newer"]["k"] = "anything"
    with pytest.raises(WrongType):
        document.state.clear()
    assert "unknown" in document.state


def test_unknown_fields_survive_at_every_depth() -> None:
    document, state = research()
    state.plan.steps[0].finish()
    state.plan.steps.insert(0, Step("first"))
    assert document.plain()["plan"]["newer"] == {"k": 1}
    assert document.plain()["plan"]["steps"][1]["new"] == 1
    assert state["unknown"] == [1]


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


class Locked(Exception):
    pass


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["plan"]["tags"].append("x"),
        lambda s: s["plan"].update(a=1),
        lambda s: s.__setitem__("plan", {}),
        lambda s: s.pop("plan"),
        lambda s: s.__delitem__("plan"),
        lambda s: s.update(topic="x", plan={}),
        lambda s: s.clear(),
    ],
    ids=["append", "update within", "assign", "pop", "delete", "update", "clear"],
)
def test_a_locked_section_is_not_edited(edit: Callable[[Any], Any]) -> None:
    document = Document({"topic": "a", "plan": {"tags": []}})
    document._tracker.locked = {"plan": Locked}
    document._tracker.guard()
    with pytest.raises(Locked):
        edit(document.state)
    assert document.capture() == []
    document.state["topic"] = "b"
    document.apply([Set(("plan", "tags"), ["theirs"])])
    assert document.plain() == {"topic": "b", "plan": {"tags": ["theirs"]}}


def test_what_others_saved_comes_in_unchecked() -> None:
    document, state = research()
    document.apply([Set(("plan", "steps", 0, "done"), "theirs")])
    with pytest.raises(BadStored):
        _ = state.plan.steps[0].done


def test_a_default_that_an_undone_block_edited_can_still_be_edited() -> None:
    document, state = opened(Research, topic="tea")
    tags = state.plan.tags
    with pytest.raises(KeyError), document.block():
        tags.append("a")
        raise KeyError
    assert document.capture() == [] and state.plan.tags == []
    tags.append("b")
    assert document.plain()["plan"]["tags"] == ["b"] and state.plan.tags is tags


def test_an_item_that_was_taken_out_is_still_checked() -> None:
    _, state = research()
    step = state.plan.steps.pop()
    with pytest.raises(WrongType):
        step.title = 1
    step.title = "free"
    state.plan.steps.append(step)
    assert state.plan.steps[0] is step
