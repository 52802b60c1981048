"""What `store.at` gives: the past, which is read like the present and cannot be edited."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest

import perdure
from perdure import errors

CONTENT: dict[str, Any] = {
    "list": [{"deep": [1, [2]]}, 3],
    "dict": {"a": {"b": 1}},
    "set": {1, 2},
    "tuple": (1, [2]),
    "text": "x",
}


@pytest.fixture
def view() -> Iterator[perdure.View]:
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state.update(CONTENT)
        yield store.at("a", 1)


EDITS: list[Callable[[Any], object]] = [
    lambda view: view["list"].append(9),
    lambda view: view["list"][0].update(x=1),
    lambda view: view["list"][0]["deep"][1].clear(),
    lambda view: view["dict"]["a"].pop("b"),
    lambda view: next(iter(view["dict"].values())).clear(),
    lambda view: view["set"].add(3),
    lambda view: view["tuple"][1].append(3),
    lambda view: [item.clear() for item in view["list"][:1]],
    lambda view: view.get("list").sort(),
    lambda view: dict(view)["dict"].clear(),
    lambda view: next(iter(view.values())).clear(),
]


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_nothing_in_it_can_be_edited(view: perdure.View, edit: Callable[[Any], object]) -> None:
    with pytest.raises(errors.Detached, match=r"past checkpoint.*Edit a copy, its \.plain\(\)"):
        edit(view)
    assert view.plain() == CONTENT


def test_it_reads_as_what_it_shows(view: perdure.View) -> None:
    assert dict(view) == CONTENT == view.plain()
    assert list(view) == list(CONTENT)
    assert len(view) == len(CONTENT)
    assert isinstance(view["list"], list)
    assert isinstance(view["dict"], dict)
    assert isinstance(view["set"], set)
    shown, content = view["list"], CONTENT["list"]
    assert json.loads(json.dumps(shown)) == content
    assert orjson.loads(orjson.dumps(shown)) == content
    assert msgspec.json.decode(msgspec.json.encode(shown)) == content
    with pytest.raises(KeyError):
        view["none"]


@pytest.mark.parametrize(
    "copied",
    [lambda v: v.plain(), copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],
    ids=["plain", "deepcopy", "pickle"],
)
def test_a_copy_is_plain_and_ones_own(
    view: perdure.View, copied: Callable[[Any], list[Any]]
) -> None:
    mine = copied(view["list"])
    mine[0]["deep"].append(9)
    assert type(mine) is list
    assert view.plain() == CONTENT


def test_what_it_shows_goes_into_a_session_as_a_copy(view: perdure.View) -> None:
    with perdure.Store("memory:") as store, store.open("b") as session:
        session.state["again"] = view["list"]
        session.state["again"][0]["deep"].append(9)
        session.save()
        assert store.at("b", 1)["again"] == [{"deep": [1, [2], 9]}, 3]
    assert view.plain() == CONTENT


def test_a_view_of_its_own_is_taken_apart_by_nobody() -> None:
    """Two views of one checkpoint share nothing."""
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state.update(CONTENT)
        one, two = store.at("a", 1), store.at("a", 1)
    list.append(one["list"], "behind its back")
    assert two.plain() == CONTENT
