"""The marks of a list lead from its base to what it is, however many edits were joined."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import limits
from perdure.core.changes import apply
from perdure.state import Document
from perdure.state.edits import Edit, assigned

MOST = 8


@pytest.fixture(autouse=True, scope="module")
def few_edits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "list_edits_max", MOST)
        yield


steps = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["set", "insert", "delete", "replace"])),
    max_size=60,
)


@given(steps)
def test_joined_edits_lead_to_what_is_live(edits: list[tuple[int, str]]) -> None:
    base: dict[str, Any] = {"list": list(range(120))}
    document = Document({"list": list(range(120))})
    items = document.state["list"]
    for count, (position, kind) in enumerate(edits):
        if kind == "insert":
            items.insert(position, -count)
        elif position < len(items):
            if kind == "set":
                items[position] = -count
            elif kind == "delete":
                del items[position]
            else:
                items[position : position + 3] = [-count, -count]
    changes = document.capture()
    assert len(changes) <= MOST
    apply(base, changes)
    assert base["list"] == items.plain()


@given(st.sets(st.integers(0, 10_000), min_size=MOST + 1, max_size=MOST + 1))
def test_the_nearest_edits_are_joined(positions: set[int]) -> None:
    edits: list[Edit] = []
    for position in positions:
        assigned(edits, position, 0)
    inside = [count for _, count, _, _ in edits]
    assert sum(inside) - len(positions) <= joined_at_best(sorted(positions), len(edits))


def joined_at_best(positions: list[int], parts: int) -> int:
    """Items between the positions that the cheapest way of making so many parts takes in."""
    gaps = sorted(after - before - 1 for before, after in pairwise(positions))
    return sum(gaps[: len(positions) - parts])
