"""Typed states: what a model that is replaced leaves of the stored one (P10)."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure import AsyncStore, Store
from perdure.errors import SectionNotLoaded, WrongType
from perdure.state import Document
from perdure.state.typed import install, typed_state

NEW = {"new": {"deep": [1, {"x": 2}]}}
"""What newer code added."""


@dataclass(frozen=True)
class Frozen:
    a: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    id: str | None = None


@dataclass
class Loose:
    a: int
    id: str | None = None


class Struct(msgspec.Struct, frozen=True):
    a: int
    id: str | None = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    a: int
    id: str | None = None


@dataclass(frozen=True)
class Other:
    b: str


WAYS: dict[type, Callable[..., Any]] = {
    Frozen: dataclasses.replace,
    Slotted: dataclasses.replace,
    Loose: dataclasses.replace,
    Struct: lambda each, **changes: msgspec.structs.replace(perdure.materialize(each), **changes),
    Model: lambda each, **changes: each.model_copy(update=changes),
}
CLASSES = list(WAYS)


def stored_in(cls: type, **sections: Any) -> tuple[Document, Any]:
    """A state of every way to hold a model of a class, as it stands with what newer code added."""
    old = dataclasses.make_dataclass("Inner", [("it", cls)], frozen=True)
    root = dataclasses.make_dataclass(
        "Root",
        [
            ("one", cls),
            ("maybe", cls | None, field(default=None)),
            ("either", cls | Other | None, field(default=None)),
            ("inner", old | None, field(default=None)),
            ("items", list[cls], field(default_factory=list)),  # type: ignore[valid-type]
            ("named", dict[str, cls], field(default_factory=dict)),  # type: ignore[valid-type]
            ("lists", dict[str, list[cls]], field(default_factory=dict)),  # type: ignore[valid-type]
        ],
    )
    document = Document({"one": {"a": 0}, **sections})
    install(root, document)
    return document, typed_state(root, document.state)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_newer_code_added_stays_when_a_model_is_replaced(cls: type) -> None:
    document, state = stored_in(
        cls, one={"a": 1, **NEW}, maybe={"a": 2, **NEW}, either={"a": 3, **NEW}
    )
    for name in ("one", "maybe", "either"):
        state[name] = WAYS[cls](state[name], a=9)
    state.one = cls(a=8)
    found = document.state.plain()
    assert found["one"] == {"a": 8, "id": None, **NEW}
    assert found["maybe"] == found["either"] == {"a": 9, "id": None, **NEW}


@pytest.mark.parametrize("cls", CLASSES)
def test_also_within_another_and_in_lists_and_dicts(cls: type) -> None:
    replace = WAYS[cls]
    item = {"a": 1, **NEW}
    document, state = stored_in(
        cls,
        inner={"it": item, **NEW},
        items=[item, item],
        named={"x": item},
        lists={"x": [item]},
    )
    state.inner = dataclasses.replace(state.inner, it=replace(state.inner.it, a=2))
    state["items"][0] = replace(state["items"][0], a=2)
    state["items"][-1] = replace(state["items"][-1], a=3)
    state.named["x"] = replace(state.named["x"], a=2)
    state.named.update(y=cls(a=1))
    state.lists = {"x": [replace(each, a=2) for each in state.lists["x"]]}
    found = document.state.plain()
    assert found["inner"] == {"it": {"a": 2, "id": None, **NEW}, **NEW}
    assert [each["a"] for each in found["items"]] == [2, 3]
    assert all(each["new"] == NEW["new"] for each in found["items"])
    assert found["named"] == {"x": {"a": 2, "id": None, **NEW}, "y": {"a": 1, "id": None}}
    assert found["lists"] == {"x": [{"a": 2, "id": None, **NEW}]}


@pytest.mark.parametrize("cls", CLASSES)
def test_a_list_made_anew_knows_its_items_by_id_or_place(cls: type) -> None:
    replace = WAYS[cls]
    items = [{"a": at, "id": f"i{at}", "new": at} for at in range(4)]
    document, state = stored_in(cls, items=items)
    state["items"] = [
        replace(each, a=each.a + 10) for each in reversed(state["items"]) if each.a != 2
    ]
    found = document.state.plain()["items"]
    assert [(each["a"], each["new"]) for each in found] == [(13, 3), (11, 1), (10, 0)]
    document, state = stored_in(cls, items=[{"a": 1, "new": 1}, {"a": 2, "new": 2}])
    state["items"][:] = [replace(each, a=each.a + 10) for each in state["items"]]
    assert [each.get("new") for each in document.state.plain()["items"]] == [1, 2]
    state["items"][1:] = [replace(state["items"][1], a=7), cls(a=8)]
    found = document.state.plain()["items"]
    assert [(each["a"], each.get("new")) for each in found] == [(11, 1), (7, None), (8, None)]


def test_items_that_are_new_take_nothing_over() -> None:
    document, state = stored_in(Frozen, items=[{"a": 1, "new": 1}])
    state["items"].insert(0, Frozen(0))
    state["items"].append(Frozen(2))
    state["items"].extend([Frozen(3)])
    found = [each.get("new") for each in document.state.plain()["items"]]
    assert found == [None, 1, None, None]


def test_views_of_others_go_with_what_they_have() -> None:
    document, state = stored_in(Frozen, items=[{"a": 2, "new": 2}, {"a": 1, "new": 1}])
    state["items"] = sorted(state["items"], key=lambda each: each.a)
    assert [each["new"] for each in document.state.plain()["items"]] == [1, 2]
    state.maybe = state["items"][0]
    assert document.state.plain()["maybe"]["new"] == 1


def test_another_class_takes_nothing_over_and_raw_and_dicts_are_as_given() -> None:
    document, state = stored_in(Frozen, either={"a": 1, **NEW}, maybe={"a": 1, **NEW})
    state.either = Other("b")
    state.maybe = {"a": 2}
    assert document.state.plain()["either"] == {"b": "b"}
    assert document.state.plain()["maybe"] == {"a": 2}
    document.state["one"] = {"a": 5}
    assert document.state.plain()["one"] == {"a": 5}


def test_what_is_refused_changes_nothing() -> None:
    document, state = stored_in(Frozen, one={"a": 1, **NEW}, items=[{"a": 1, **NEW}])
    for assign in (
        lambda: setattr(state, "one", Frozen("x")),  # type: ignore[arg-type]
        lambda: setattr(state, "items", [Frozen("x")]),  # type: ignore[arg-type]
        lambda: state["items"].__setitem__(slice(None), [Frozen("x")]),  # type: ignore[arg-type]
    ):
        with pytest.raises(WrongType, match=r"/a: expected int"):
            assign()
    assert document.capture() == []


@dataclass
class Root:
    one: Frozen
    items: list[Frozen] = field(default_factory=list)


def test_a_section_that_is_not_loaded_loads_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        with store.open("a") as session:
            session.state["one"] = {"a": 1, "new": random.Random(1).randbytes(200_000)}
            session.state["items"] = [{"a": 1, **NEW}] * 2_000
        store.maintain("a")
        with store.open("a", schema=Root) as typed:
            typed.state.one = Frozen(2)
            typed.state.items = []
        found = store.at("a", 2).plain()
        assert (found["one"], found["items"]) == ({**found["one"], "a": 2, "id": None}, [])
        assert len(found["one"]["new"]) == 200_000
        store.maintain("a")

    async def run() -> None:
        async with AsyncStore(path) as store:
            async with store.open("a", schema=Root, sections=["items"]) as session:
                with pytest.raises(SectionNotLoaded, match="one"):
                    session.state.one = Frozen(3)
                await session.load("one")
                session.state.one = Frozen(3)
            assert len((await store.at("a", 3)).plain()["one"]["new"]) == 200_000

    asyncio.run(run())


KNOWN = st.fixed_dictionaries({"a": st.integers(-3, 3)})
EXTRA = st.dictionaries(st.sampled_from(["new", "newer", "x"]), st.integers(0, 3), max_size=2)


@given(
    st.sampled_from(CLASSES),
    st.lists(st.tuples(KNOWN, EXTRA), min_size=1, max_size=5),
    st.data(),
)
def test_no_field_is_lost_however_items_are_replaced(
    cls: type, items: list[tuple[dict[str, Any], dict[str, Any]]], data: st.DataObject
) -> None:
    """Against a plain model: dicts of which only the known fields are edited."""
    stored = [{**known, "id": f"i{at}", **extra} for at, (known, extra) in enumerate(items)]
    document, state = stored_in(cls, items=stored)
    expected = {each["id"]: dict(each) for each in stored}
    order = data.draw(st.permutations(list(range(len(items)))))
    edited = []
    for at in order:
        each, number = state["items"][at], data.draw(st.integers(-3, 3))
        if data.draw(st.booleans()):
            expected[f"i{at}"]["a"] = number
            each = WAYS[cls](each, a=number)
        edited.append(each)
    if data.draw(st.booleans()):
        state["items"] = edited
    else:
        state["items"][:] = edited
    assert document.state.plain()["items"] == [expected[f"i{at}"] for at in order]
