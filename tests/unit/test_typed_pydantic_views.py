"""Views of pydantic models: given back to their fields, and made real objects."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

import perdure
from perdure.state import Document
from perdure.state.typed import install, typed_state


class Pet(BaseModel):
    age: int = 1


class Zoo(BaseModel):
    pets: list[Pet] = []
    pairs: list[tuple[Pet, int]] = []
    by_name: dict[str, Pet] = {}


class Crossed(BaseModel, populate_by_name=True):
    one: int = Field(0, alias="two")
    two: int = Field(0, alias="one")


class Root(BaseModel):
    zoo: Zoo = Zoo()
    crossed: Crossed = Crossed(one=0, two=0)


def opened(**sections: Any) -> tuple[Any, Any]:
    document = Document(sections)
    install(Root, document)
    return typed_state(Root, document.state), document.state


@pytest.mark.parametrize("new", [Pet(age=4), {"age": 4}, {"age": "4"}])
def test_items_given_back_with_new_ones_keep_fields_that_the_class_has_not(new: Any) -> None:
    pets = [{"age": 1, "mood": "newer"}, {"age": 2, "mood": "code"}]
    state, stored = opened(zoo={"pets": pets, "by_name": {"a": {"age": 3, "mood": "wrote"}}})
    state.zoo.pets = [*state.zoo.pets, new]
    state.zoo.by_name = {**state.zoo.by_name, "b": new}
    assert stored["zoo"]["pets"] == [*pets, {"age": 4}]
    assert stored["zoo"]["by_name"] == {"a": {"age": 3, "mood": "wrote"}, "b": {"age": 4}}


def test_a_tuple_of_a_view_keeps_fields_that_the_class_has_not() -> None:
    state, stored = opened(zoo={"pets": [{"age": 1, "mood": "newer"}]})
    state.zoo.pairs = [(state.zoo.pets[0], "7")]
    assert stored["zoo"]["pairs"] == [({"age": 1, "mood": "newer"}, 7)]


def test_a_real_object_has_each_value_in_its_field_whatever_the_aliases() -> None:
    state, _ = opened(crossed={"one": 1, "two": 2})
    real = perdure.materialize(state.crossed)
    assert (real.one, real.two) == (1, 2)
    assert real.model_dump() == {"one": 1, "two": 2}
    assert real.model_fields_set == {"one", "two"}
    assert state.crossed.model_dump() == {"one": 1, "two": 2}
