"""A tree made along another is the one built from scratch, or is found to be another (P6)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_trees import SECRET, Shelf, conversations

from perdure import limits
from perdure.core import tree
from perdure.core.changes import Change, apply
from perdure.core.cut import Bounds
from perdure.core.page import Ref, Shape
from perdure.core.pieces import at_once
from perdure.core.tree import Builder, Entries, build
from perdure.core.tree_along import Along
from perdure.core.tree_read import Reading, all_leaves, read_root
from perdure.testing.strategies import sections as states

LEAVES = Bounds(24, 48, 160)


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    """Bounds small enough for generated states to be trees of several levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "inline_bytes_max", 40)
        patch.setattr(limits, "section_inline_bytes_max", 12)
        patch.setattr(limits, "block_max", 16)
        patch.setattr(tree, "LEAVES", LEAVES)
        patch.setattr(tree, "INNER", Bounds(80, 160, 300))
        yield


@given(conversations())
def test_a_tree_is_that_of_its_state_after_any_edits_and_of_no_other(
    conversation: tuple[dict[str, Any], list[list[Change]]],
) -> None:
    state, batches = conversation
    shelf, along, states = Shelf(), Along(SECRET), [state]
    for batch in batches:
        states.append(deepcopy(states[-1]))
        apply(states[-1], deepcopy(batch))
    roots = [shelf.build(each) for each in states]
    for each in states:
        for root in roots:  # what was seen of pages before must not make it right
            is_same = shelf.run(along.is_tree_of(root, each))
            assert is_same == (build(each, SECRET).root == root)


@given(states(), states())
def test_of_any_two_states_each_has_its_own_tree(a: dict[str, Any], b: dict[str, Any]) -> None:
    shelf, along = Shelf(), Along(SECRET)
    of_a, of_b = shelf.build(a), shelf.build(b)
    assert shelf.run(along.is_tree_of(of_a, deepcopy(a)))
    assert shelf.run(along.is_tree_of(of_b, deepcopy(b)))
    assert shelf.run(along.is_tree_of(of_a, b)) == (of_a == of_b)
    assert shelf.run(along.is_tree_of(of_b, a)) == (of_a == of_b)


_OTHERWISE = {
    "cut earlier": (tree, "LEAVES", Bounds(8, 16, 40)),
    "cut later": (tree, "LEAVES", Bounds(100, 200, 400)),
    "cut only when full": (tree, "LEAVES", Bounds(24, 1, 160)),
    "references cut elsewhere": (tree, "INNER", Bounds(40, 60, 200)),
    "more is inline": (limits, "inline_bytes_max", 200),
    "less is inline": (limits, "inline_bytes_max", 10),
    "sections are inline": (limits, "section_inline_bytes_max", 4000),
}


@pytest.mark.parametrize("way", _OTHERWISE)
@given(conversation=conversations(), is_before=st.booleans())
def test_a_tree_of_the_right_content_in_other_pages_is_another(
    way: str, conversation: tuple[dict[str, Any], list[list[Change]]], is_before: bool
) -> None:
    state, shelf, along = conversation[0], Shelf(), Along(SECRET)
    own = shelf.build(state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*_OTHERWISE[way])
        other = shelf.build(state)
    if is_before:  # then its pages were seen to end where they should
        assert shelf.run(along.is_tree_of(own, state))
    assert shelf.run(along.is_tree_of(other, state)) == (other == own)


@pytest.mark.parametrize("flip", [1, 1.0, True, 2])
def test_what_compares_equal_and_is_not_the_same_is_another(flip: Any) -> None:
    shelf = Shelf()
    state = {"messages": [{"at": at, "n": 1} for at in range(40)]}
    root = shelf.build(state)
    state["messages"][20]["n"] = flip
    assert shelf.run(Along(SECRET).is_tree_of(root, state)) == (type(flip) is int and flip == 1)


def test_the_last_page_of_one_tree_is_not_one_in_the_middle_of_another() -> None:
    """A page that ends only because nothing follows it does not end where something does."""
    shelf, along = Shelf(), Along(SECRET)
    items = [f"item {at}" for at in range(60)]
    wrong = next(
        root
        for size in range(3, 20)  # fewer are no tree of their own
        if (root := _cut_first_after(shelf, items, size)) != shelf.build({"messages": items})
    )
    assert not shelf.run(along.is_tree_of(wrong, {"messages": items}))
    first = shelf.run(_first_page(wrong))
    alone = {"messages": items[: first.count]}
    assert shelf.run(along.is_tree_of(shelf.build(alone), alone))  # there it is the last
    assert not shelf.run(along.is_tree_of(wrong, {"messages": items}))


def _cut_first_after(shelf: Shelf, items: list[Any], size: int) -> Ref:
    """A tree of these items whose first page is of so many."""
    builder = Builder(SECRET)
    children = []
    for some in (items[:size], items[size:]):
        entries = at_once(builder.items(some))
        children += at_once(builder.leaves(entries, Shape.LIST))
    root = Entries()
    root.add("messages", at_once(builder.top(Shape.LIST, children)))
    top = at_once(builder.top(Shape.MAP, [builder.leaf(root, Shape.MAP)]))
    shelf.pages.update(builder.pages)
    return top


def _first_page(root: Ref) -> Reading[Ref]:
    sections = yield from read_root(root)
    return (yield from all_leaves(sections["messages"]))[0]
