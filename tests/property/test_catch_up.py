"""What brings ours up to the merged state makes just that, with keys in the same order (P13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_delta import answered
from tests.property.test_merge import (
    Document,
    applied,
    documents,
    edits,
    edits_of_items,
    items_with_ids,
)

from perdure.core.catch_up import CatchUp, catch_up
from perdure.core.changes import Change
from perdure.core.codec import pack
from perdure.core.merge import merge
from perdure.testing.strategies import changes_for, sections
from perdure.types import Strategy

NAMES: list[Strategy] = ["error", "ours", "theirs", "append", "set"]


def caught_up(base: Document, here: Sequence[Change], there: Sequence[Change]) -> Document:
    """The state that `here` makes of the base, brought to what `there` makes of it."""
    before = pack(base), pack(applied(base, here)), pack(applied(base, there))
    found: CatchUp = answered(catch_up(here, there), base)
    assert (pack(base), pack(applied(base, here)), pack(applied(base, there))) == before
    state = applied(applied(base, here), found.changes)
    for path, keys in found.orders:
        assert path
        mapping: Any = state
        for part in path:
            mapping = mapping[part]
        for key in keys:
            mapping[key] = mapping.pop(key)
    return state


def sorted_sections(state: Document) -> bytes:
    """As bytes: their order is found otherwise."""
    return pack(dict(sorted(state.items())))


@given(sections(), st.data())
def test_any_state_is_brought_to_any_other_of_the_same_base(
    base: Document, data: st.DataObject
) -> None:
    here, there = data.draw(changes_for(base)), data.draw(changes_for(base))
    state = caught_up(base, here, there)
    assert sorted_sections(state) == sorted_sections(applied(base, there))


@given(documents(), st.data(), st.sampled_from(NAMES))
def test_ours_is_brought_to_what_was_merged_onto_theirs(
    base: Document, data: st.DataObject, strategy: Strategy
) -> None:
    theirs, ours = data.draw(edits(base)), data.draw(edits(base))
    merged = answered(merge(theirs, ours, {"**": strategy}), base)
    there = [*theirs, *merged.changes]
    assert sorted_sections(caught_up(base, ours, there)) == sorted_sections(applied(base, there))


@given(items_with_ids(), st.data())
def test_lists_of_items_with_ids_are_brought_up_to_date(
    items: list[Any], data: st.DataObject
) -> None:
    base = {"l": items}
    theirs, ours = data.draw(edits_of_items(items)), data.draw(edits_of_items(items))
    merged = answered(merge(theirs, ours, {"l": "append"}), base)
    there = [*theirs, *merged.changes]
    assert pack(caught_up(base, ours, there)) == pack(applied(base, there))
