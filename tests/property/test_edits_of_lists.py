"""Edits of a list, told in the positions of the base, are those of a plain list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core import list_edits
from perdure.core.delta import Put
from perdure.core.list_edits import Hunk, Items

SIZE = 9
"""Items of the base."""

splices = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 1, 2, 9]), st.integers(0, 3)), max_size=40
)
"""Where, round and round the list, how many go, and how many come."""


def applied(base: list[Any], hunks: list[Hunk]) -> list[Any]:
    for hunk in reversed(hunks):
        base[hunk.start : hunk.end] = hunk.items
    return base


@given(splices, st.sets(st.integers(0, SIZE - 1)), st.integers(2, 8), st.booleans())
def test_edits_are_those_of_a_plain_list(
    edits: list[tuple[int, int, int]], edited: set[int], runs_max: int, is_begun_anew: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_edits, "BLOCK_RUNS_MAX", runs_max)
        plain: list[Any] = list(range(SIZE))
        items = Items(edits={at: Put("edited") for at in edited})
        for number, (at, removed, come) in enumerate(edits):
            start = at % (len(plain) + 1)
            removed = min(removed, len(plain) - start)
            new = [f"new {number}.{each}" for each in range(come)]
            plain[start : start + removed] = new
            items.splice(start, removed, new)
            if is_begun_anew:
                items = Items(items.hunks(), items.edits)
            assert max(map(len, items._blocks)) <= runs_max + 2
        for at, item in enumerate(plain):
            found, where = items.find(at)
            assert item == (where if found is None else found[where])
        assert applied(list(range(SIZE)), items.hunks()) == plain
        assert set(items.edits) == edited.intersection(plain)


def test_where_hunks_touch_they_are_one() -> None:
    items = Items()
    items.splice(3, 1, ["a"])
    items.splice(4, 1, ["b"])
    items.splice(9, 0, ["c"])
    assert [(each.start, each.removed, each.items) for each in items.hunks()] == [
        (3, 2, ["a", "b"]),
        (9, 0, ["c"]),
    ]


def test_many_edits_are_kept_in_blocks_however_they_come() -> None:
    """So each looks through few of those before it."""
    inside, scattered = Items(), Items()
    inside.splice(0, 0, [None] * 3000)
    for number in range(1000):
        inside.splice(3 * number + 1, 0, ["x"])
        scattered.splice(3 * (1000 - number), 0, ["x"])
    for items in (inside, scattered):
        assert max(map(len, items._blocks)) <= list_edits.BLOCK_RUNS_MAX + 2
        assert len(items._blocks) <= 2 * 2000 / (list_edits.BLOCK_RUNS_MAX / 2) + 1
    assert len(scattered.hunks()) == 1000
