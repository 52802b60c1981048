"""Typed states: models that are frozen refuse their fields, and are replaced whole."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import perdure
from perdure.core.changes import Set
from perdure.errors import WrongType
from perdure.state import Document
from perdure.state.typed import install, typed_state


def opened(cls: Any, **sections: Any) -> tuple[Document, Any]:
    document = Document(sections)
    install(cls, document)
    return document, typed_state(cls, document.state)


@dataclass(frozen=True)
class Still:
    title: str


class StillStruct(msgspec.Struct, frozen=True):
    title: str


@dataclass
class Stills:
    data: Still
    struct: StillStruct
    named: dict[str, Still] = field(default_factory=dict)


@pytest.mark.parametrize("name", ["data", "struct"])
def test_the_fields_of_a_frozen_model_refuse_as_its_own_class_does(name: str) -> None:
    document, state = opened(Stills, data={"title": "a"}, struct={"title": "a"})
    real: Any = {"data": Still("a"), "struct": StillStruct("a")}[name]
    edits: list[Callable[[Any], Any]] = [
        lambda each: setattr(each, "title", "b"),
        lambda each: delattr(each, "title"),
    ]
    for edit in edits:
        with pytest.raises(AttributeError):
            edit(real)
        with pytest.raises(AttributeError) as refused:
            edit(state[name])
        assert isinstance(refused.value, WrongType)
        assert refused.value.path == (name, "title") and f"{name}/title" in str(refused.value)
    assert document.capture() == []
    new = type(real)("b")
    state[name] = new
    assert document.capture() == [Set((name,), {"title": "b"})]
    assert hash(perdure.materialize(state[name])) == hash(new)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.data.title = "c"
