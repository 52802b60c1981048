"""Typed states: every kind of model is set, read, edited, refused, reported and read again."""

from __future__ import annotations

import copy
import pickle
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic import BaseModel

import perdure
from perdure.core.changes import Set, Splice
from perdure.errors import BadStored, UsageError, WrongType
from perdure.schemas.annotations import kind_of
from perdure.state import Document
from perdure.state.typed import install, typed_state

T = TypeVar("T")


@dataclass
class Data:
    title: str
    size: int = 0
    kids: list[Data] = field(default_factory=list)
    by: dict[str, list[Data]] = field(default_factory=dict)
    best: Data | None = None


@dataclass(slots=True, kw_only=True)
class Slotted:
    title: str
    size: int = 0
    kids: list[Slotted] = field(default_factory=list)
    by: dict[str, list[Slotted]] = field(default_factory=dict)
    best: Slotted | None = None


@dataclass
class Base:
    title: str
    size: int = 0


@dataclass
class Derived(Base):
    kids: list[Derived] = field(default_factory=list)
    by: dict[str, list[Derived]] = field(default_factory=dict)
    best: Derived | None = None


@dataclass
class Box(Generic[T]):
    title: str
    size: int = 0
    kids: list[T] = field(default_factory=list)
    by: dict[str, list[T]] = field(default_factory=dict)
    best: T | None = None


@dataclass
class DataBox(Box[Data]):
    pass


class Struct(msgspec.Struct):
    title: str
    size: int = 0
    kids: list[Struct] = []
    by: dict[str, list[Struct]] = {}
    best: Struct | None = None


class Tagged(msgspec.Struct, tag=True, kw_only=True):
    title: str
    size: int = 0
    kids: list[Tagged] = []
    by: dict[str, list[Tagged]] = {}
    best: Tagged | None = None


class Model(BaseModel):
    title: str
    size: int = 0
    kids: list[Model] = []
    by: dict[str, list[Model]] = {}
    best: Model | None = None


class Shallow(BaseModel):
    title: str
    size: int = 0


class Deeper(Shallow):
    kids: list[Deeper] = []
    by: dict[str, list[Deeper]] = {}
    best: Deeper | None = None


@pydantic.dataclasses.dataclass
class Checked:
    title: str
    size: int = 0
    kids: list[Checked] = field(default_factory=list)
    by: dict[str, list[Checked]] = field(default_factory=dict)
    best: Checked | None = None


class Plain(typing.TypedDict):
    title: str
    size: typing.NotRequired[int]
    kids: typing.NotRequired[list[Plain]]
    by: typing.NotRequired[dict[str, list[Plain]]]
    best: typing.NotRequired[Plain | None]


class Extended(typing_extensions.TypedDict, total=False):
    title: typing_extensions.Required[str]
    size: int
    kids: list[Extended]
    by: dict[str, list[Extended]]
    best: Extended | None
    data: Data  # so that it is not plain


MODELS: list[Any] = [
    *(Data, Slotted, Derived, DataBox, Struct, Tagged, Model, Deeper, Checked, Plain, Extended)
]
every = pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)


def inner(cls: Any) -> Any:
    """The class of the items of a model."""
    return Data if cls is DataBox else cls


def stored(cls: Any, title: str, **more: Any) -> dict[str, Any]:
    tag = {"type": "Tagged"} if cls is Tagged else {}
    return {**tag, "title": title, **more}


def item(cls: Any, title: str) -> Any:
    return inner(cls)(title=title)


def opened(cls: Any) -> tuple[Document, Any]:
    kids = [stored(cls, "first", newer=[1]), stored(cls, "second")]
    top = stored(cls, "top", kids=kids, by={"k": [stored(cls, "in", newer=1)]}, newer={"a": 1})
    document = Document(top)
    install(cls, document)
    return document, typed_state(cls, document.state)


@every
def test_the_changed_field_alone_is_written(cls: Any) -> None:
    document, state = opened(cls)
    assert state["kids"][0]["title"] == "first" and state["by"]["k"][0]["title"] == "in"
    state["kids"][1]["size"] = 3
    assert document.capture() == [Set(("kids", 1, "size"), 3)]
    state["by"]["k"][0]["title"] = "new"
    assert document.capture() == [Set(("by", "k", 0, "title"), "new")]
    del state["kids"][0]
    assert document.capture() == [Splice(("kids",), 0, 1, [])]
    assert document.plain()["newer"] == {"a": 1}
    assert document.plain()["by"]["k"][0] == stored(cls, "new", newer=1)


@every
def test_objects_are_put_in_and_edited_there(cls: Any) -> None:
    document, state = opened(cls)
    state["best"] = item(cls, "best")
    state["best"]["title"] = "better"
    state["kids"].append(item(cls, "third"))
    state["kids"][2]["size"] = 7
    state["by"]["new"] = [item(cls, "n")]
    state["by"]["new"][0]["size"] = 8
    plain = document.plain()
    assert plain["best"]["title"] == "better" and plain["kids"][2]["size"] == 7
    assert plain["by"]["new"][0]["size"] == 8 and plain["kids"][0]["newer"] == [1]
    state["best"] = None
    assert document.plain()["best"] is None


BAD: list[tuple[typing.Callable[[Any], Any], tuple[str | int, ...]]] = [
    (lambda s: s["kids"][0].__setitem__("title", None), ("kids", 0, "title")),
    (lambda s: s["kids"].append({"size": 1}), ("kids", 2, "title")),
    (lambda s: s["kids"].extend([{"title": "a"}, {"title": None}]), ("kids", 3, "title")),
    (lambda s: s["by"].__setitem__("x", [{"title": None}]), ("by", "x", 0, "title")),
    (lambda s: s["by"]["k"].insert(0, 3), ("by", "k", 0)),
    (lambda s: s["by"].update(a=[], b=3), ("by", "b")),
    (lambda s: s.__delitem__("title"), ("title",)),
]


@every
@pytest.mark.parametrize(("edit", "path"), BAD, ids=map(str, range(len(BAD))))
def test_a_wrong_value_is_refused_with_its_path(cls: Any, edit: Any, path: Any) -> None:
    document, state = opened(cls)
    before = document.plain()
    with pytest.raises(WrongType) as refused:
        edit(state)
    if cls is Tagged and "'Tagged'" in str(refused.value):  # the tag is missed first
        assert refused.value.path[-1] == "type" and refused.value.path[0] == path[0]
    else:
        assert refused.value.path == path
    assert document.plain() == before and document.capture() == []


@every
def test_what_is_stored_and_does_not_fit_is_reported_and_can_be_mended(cls: Any) -> None:
    document, state = opened(cls)
    document.apply([Set(("kids", 0, "size"), "big"), Set(("by", "k"), 3)])
    with pytest.raises(BadStored) as reported:
        state["kids"][0]["size"]
    assert reported.value.path == ("kids", 0, "size")
    with pytest.raises(BadStored) as reported:
        state["by"]["k"]
    assert reported.value.path == ("by", "k")
    assert "first" in repr(state) or cls is Plain
    assert document.state["kids"][0]["size"] == "big"
    document.state["kids"][0]["size"] = 1
    document.state["by"]["k"] = []
    assert state["kids"][0]["size"] == 1 and state["by"]["k"] == []
    assert document.plain()["kids"][0]["newer"] == [1]


@every
def test_a_state_is_read_again_as_it_was(cls: Any, tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "agents.db") as store:
        with store.open("key", schema=cls) as session:
            top: Any = session.state
            top["title"] = "top"
            top["kids"] = [item(cls, "a"), item(cls, "b")]
            top["kids"][0]["size"] = 3
            top["by"] = {"k": [item(cls, "c")]}
        with store.open("key", schema=cls) as session:
            again: Any = session.state
            assert [kid["title"] for kid in again["kids"]] == ["a", "b"]
            assert again["kids"][0]["size"] == 3
            assert again["by"]["k"] == [item(cls, "c")]
            assert session.raw.plain()["kids"][0]["size"] == 3


@every
def test_what_is_raw_and_free_is_checked_where_it_is_put(cls: Any) -> None:
    document, _ = opened(cls)
    free = document.state["kids"].pop()
    free["size"] = "big"
    with pytest.raises(WrongType) as refused:
        document.state["kids"].append(free)
    assert refused.value.path == ("kids", 1, "size")
    free["size"] = 1
    document.state["kids"].append(free)
    assert document.state["kids"][1] is free


@every
def test_real_objects_are_copies(cls: Any) -> None:
    document, state = opened(cls)
    real = perdure.materialize(state)
    for each in (real, copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        kids = each["kids"] if isinstance(each, dict) else each.kids
        kids.append(item(cls, "lost"))
    assert len(state["kids"]) == 2 and document.capture() == []
    assert type(perdure.materialize(state["kids"][0])) is dict or type(
        perdure.materialize(state["kids"][0])
    ) is inner(cls)


@every
def test_the_tools_of_an_editor_do_not_stop_at_a_bad_field(cls: Any) -> None:
    document, state = opened(cls)
    document.apply([Set(("size",), "big"), Set(("extra",), [1])])
    assert "top" in repr(state) and "top" in str(state)
    assert state["extra"] == [1]
    if isinstance(state, dict):
        assert "title" in state and "nothing" not in state
        return
    assert {"title", "size", "kids"} <= set(dir(state))
    assert state.title == "top" and not hasattr(state, "nothing")
    if getattr(cls, "__dictoffset__", 0):
        assert "title" in vars(state) and "size" not in vars(state)
    document.apply([Set(("title",), 3)])
    with pytest.raises(BadStored):
        hasattr(state, "title")


class Page(msgspec.Struct, Generic[T]):
    items: list[T] = []
    inner: Box[list[T]] | None = None


class Named(Page[int], Generic[T]):
    name: T | None = None


class Listed(typing.TypedDict, Generic[T]):
    items: list[T]


def _listed() -> Listed[Data]:
    return {"items": []}


@dataclass
class Generics:
    box: Box[Data] = field(default_factory=lambda: Box("b"))
    named: Named[str] = field(default_factory=Named)
    listed: Listed[Data] = field(default_factory=_listed)


def test_a_type_variable_is_what_it_is_where_it_is_used() -> None:
    document = Document({})
    install(Generics, document)
    view = typed_state(Generics, document.state)
    view.box.kids.append(Data("a"))
    view.box.kids[0].size = 2
    view.named.items.append(1)
    view.named.name = "n"
    view.named.inner = Box("l", kids=[[1]])
    view.listed["items"].append(Data("c"))
    view.listed["items"][0].title = "d"
    bad: list[typing.Callable[[], Any]] = [
        lambda: view.named.items.append("x"),  # type: ignore[arg-type]
        lambda: setattr(view.named, "name", 1),
        lambda: view.box.kids.append({"size": 1}),  # type: ignore[arg-type]
        lambda: view.named.inner.kids[0].append("x"),  # type: ignore[union-attr, arg-type]
        lambda: view.listed["items"].append("x"),  # type: ignore[arg-type]
    ]
    for edit in bad:
        with pytest.raises(WrongType):
            edit()
    plain = document.plain()
    assert plain["box"]["kids"][0]["size"] == 2 and plain["named"]["items"] == [1]
    assert plain["listed"]["items"][0]["title"] == "d"


def test_a_class_of_a_function_can_name_itself_but_no_other() -> None:
    @dataclass
    class Node:
        title: str
        kids: list[Node] = field(default_factory=list)

    document = Document({"title": "a", "kids": [{"title": "b"}]})
    install(Node, document)
    view = typed_state(Node, document.state)
    view.kids[0].kids.append(Node("c"))
    assert document.plain()["kids"][0]["kids"] == [{"title": "c", "kids": []}]

    @dataclass
    class Other:
        node: Node

    with pytest.raises(UsageError, match=r"'Node'.*at the top of a module"):
        kind_of(Other)

    class Local(msgspec.Struct):
        node: Node

    with pytest.raises(UsageError, match=r"'Node'.*at the top of a module"):
        kind_of(Local)
