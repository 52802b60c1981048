"""Stamps that nobody wrote: read for what they are, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest

import perdure
from perdure.core.lens import Add
from perdure.core.lens_reach import reach
from perdure.core.versions import SECTION
from perdure.errors import Malformed
from perdure.schemas.declare import shortest
from perdure.schemas.stamp import stamps_in


def stamped(store: perdure.Store, section: Any) -> None:
    with store.open("a") as session:
        session.state["topic"] = "owls"
        session._document.write_reserved(SECTION, section)


def step(lenses: Any, touches: Any = None) -> dict[str, Any]:
    return {"Research": {"version": 2, "steps": [[1, 2, lenses, touches]]}}


@pytest.mark.parametrize(
    "section",
    [
        {"Research": {"version": 2, "steps": 5}},
        {"Research": {"version": 2, "steps": None}},
        {"Research": {"version": 2, "steps": "steps"}},
        step(None, touches=5),
        step(None, touches=[["topic"]]),
        step(None, touches=[1]),
        step([["split", ["topic"], ["one", "two"], ""]]),
        step([["merge", [["one"], ["two"]], "topic", "", ""]]),
    ],
)
def test_what_is_no_stamp_is_refused(
    store: perdure.Store, v1: type[Any], section: dict[str, Any]
) -> None:
    stamped(store, section)
    with pytest.raises(Malformed):
        store.open("a", schema=v1)
    with store.open("a") as session:
        assert session.state["topic"] == "owls"


def test_a_chain_of_very_many_steps_is_found() -> None:
    steps = [(at, at + 1) for at in range(100_000)]
    assert shortest(steps, 0, 100_000) == tuple(steps)
    assert shortest(steps, 1, 0) is None
    assert shortest(steps, 3, 3) == ()


def test_what_very_many_lenses_reach_is_found() -> None:
    names = [f"field {at}" for at in range(50_000)]
    assert reach(tuple(Add((name,), 0) for name in names)).newer == frozenset(names)


def test_a_message_does_not_show_a_whole_stamp() -> None:
    with pytest.raises(Malformed) as refused:
        stamps_in({"Research": ["x" * 1_000] * 1_000})
    assert len(str(refused.value)) < 1_000
