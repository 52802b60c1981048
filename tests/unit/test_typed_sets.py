"""Typed states: sets whose members have another stored form, frozen sets and plain ones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

import perdure
from perdure.core.changes import Members
from perdure.errors import BadStored, WrongType
from perdure.state import Document, TrackedSet
from perdure.state.typed import install, typed_state


class Colour(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Shape(Enum):
    """Of another class, with a value that is the same."""

    RED = "red"


@dataclass
class Parts:
    colours: set[Colour] = field(default_factory=set)
    names: frozenset[str] = frozenset({"a"})
    tags: set[str] = field(default_factory=set)


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)


SETS: list[tuple[Callable[[Any], Any], set[Colour]]] = [
    (lambda s: s.add(Colour.GREEN), {Colour.RED, Colour.BLUE, Colour.GREEN}),
    (lambda s: s.discard(Colour.GREEN), {Colour.RED, Colour.BLUE}),
    (lambda s: s.discard("red"), {Colour.RED, Colour.BLUE}),
    (lambda s: s.discard(Shape.RED), {Colour.RED, Colour.BLUE}),
    (lambda s: s.remove(Colour.RED), {Colour.BLUE}),
    (lambda s: s.clear(), set()),
    (lambda s: s.update([Colour.GREEN], {Colour.RED}), set(Colour)),
    (lambda s: s.difference_update({Colour.RED}), {Colour.BLUE}),
    (lambda s: s.intersection_update({Colour.RED, Colour.GREEN}), {Colour.RED}),
    (lambda s: s.symmetric_difference_update({Colour.RED, Colour.GREEN}), {*Colour} - {Colour.RED}),
    (lambda s: s.__ior__({Colour.GREEN}), set(Colour)),
    (lambda s: s.__isub__({Colour.RED}), {Colour.BLUE}),
    (lambda s: s.__iand__({Colour.RED}), {Colour.RED}),
    (lambda s: s.__ixor__({Colour.RED}), {Colour.BLUE}),
]


@pytest.mark.parametrize(("edit", "after"), SETS, ids=map(str, range(len(SETS))))
def test_a_set_of_members_is_edited_in_place(edit: Any, after: set[Colour]) -> None:
    document, state = opened(Parts, colours={"red", "blue"})
    real = {Colour.RED, Colour.BLUE}
    colours = state.colours
    edit(colours)
    edit(real)
    assert colours == real == after and state.colours is colours
    assert document.plain()["colours"] == {each.value for each in after}
    assert all(change.path == ("colours",) for change in document.capture())


def test_a_member_of_another_class_is_refused_with_its_place() -> None:
    document, state = opened(Parts, colours={"red"})
    with pytest.raises(WrongType, match=r"^colours: expected Colour, got <Shape\.RED"):
        state.colours.add(Shape.RED)
    with pytest.raises(WrongType, match=r"^colours: expected Colour, got <Shape\.RED"):
        state.colours |= {Colour.BLUE, Shape.RED}
    with pytest.raises(WrongType, match=r"^colours: expected Colour, got <Shape\.RED"):
        state.colours ^= {Colour.RED, Colour.BLUE, Shape.RED}
    assert document.plain() == {"colours": {"red"}} and document.capture() == []


def test_a_set_of_members_reads_as_a_set() -> None:
    document, state = opened(Parts, colours={"red", "blue"})
    colours: Any = state.colours
    assert isinstance(colours, set) and Colour.RED in colours and "red" not in colours
    assert Colour.GREEN not in colours and Shape.RED not in colours
    assert colours | {Colour.GREEN} == set(Colour) and type(colours | {Colour.GREEN}) is set
    assert colours & {Colour.RED} == {Colour.RED} and colours - {Colour.RED} == {Colour.BLUE}
    assert colours.union([Colour.GREEN]) == set(Colour) and colours.issubset(Colour)
    assert colours.issuperset({Colour.RED}) and colours.isdisjoint({Colour.GREEN})
    assert colours.intersection({Colour.RED}) == {Colour.RED} and len(colours) == 2
    assert state.colours.plain() == {"red", "blue"} and repr(colours.copy()) == repr(set(colours))
    assert type(perdure.materialize(state).colours) is set
    with pytest.raises(KeyError):
        colours.remove(Colour.GREEN)
    assert colours.pop() in {Colour.RED, Colour.BLUE} and len(document.plain()["colours"]) == 1


def test_a_wrong_member_is_refused_and_a_stored_one_reported() -> None:
    document, state = opened(Parts, colours={"red"})
    edits: list[Callable[[], Any]] = [
        lambda: state.colours.add("pink"),
        lambda: state.colours.update({Colour.BLUE, "pink"}),
        lambda: document.state["colours"].add("pink"),
    ]
    for edit in edits:
        with pytest.raises(WrongType) as refused:
            edit()
        assert refused.value.path == ("colours",)
    assert document.capture() == []
    document.apply([Members(("colours",), [], ["pink"])])
    assert repr(state.colours) == "<bad-stored>"
    with pytest.raises(BadStored) as reported:
        list(state.colours)
    assert reported.value.path == ("colours",)


def test_a_frozen_set_cannot_be_edited() -> None:
    document, state = opened(Parts, names={"b"})
    assert type(state.names) is frozenset and state.names == {"b"}
    assert not hasattr(state.names, "add")
    state.names = frozenset({"c"})
    assert document.plain()["names"] == frozenset({"c"}) and type(state.names) is frozenset
    del state.names
    assert state.names == frozenset({"a"})
    assert type(state.tags) is TrackedSet
