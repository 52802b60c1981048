"""A tree after any edits is the tree built from scratch, and reads back as the state (P6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import limits
from perdure.core import tree
from perdure.core.changes import Change, Delete, Set, Splice, apply
from perdure.core.cut import Bounds
from perdure.core.diff import to_changes
from perdure.core.page import Ref
from perdure.core.tree import build
from perdure.core.tree_edit import edit
from perdure.core.tree_read import Reading, reachable, read_items, read_root, read_value
from perdure.core.values import same
from perdure.testing.strategies import changes_for
from perdure.testing.strategies import sections as states

SECRET = bytes(range(32))


class Shelf:
    """Pages by id, and which were asked for."""

    def __init__(self) -> None:
        self.pages: dict[bytes, bytes] = {}
        self.asked: set[bytes] = set()

    def run(self, reading: Reading[Any]) -> Any:
        payloads: Mapping[bytes, bytes] | None = None
        while True:
            try:
                ids = reading.send(payloads)  # type: ignore[arg-type]
            except StopIteration as stop:
                return stop.value
            self.asked.update(ids)
            payloads = {id_: self.pages[id_] for id_ in ids}

    def build(self, sections: dict[str, Any]) -> Ref:
        built = build(sections, SECRET)
        self.pages.update(built.pages)
        return built.root

    def edit(self, root: Ref, changes: list[Change]) -> tuple[Ref, dict[bytes, bytes]]:
        self.asked.clear()
        built = self.run(edit(root, deepcopy(changes), SECRET))
        assert not built.pages.keys() & self.asked
        self.pages.update(built.pages)
        return built.root, built.pages

    def load(self, root: Ref) -> dict[str, Any]:
        sections = self.run(read_root(root))
        return {
            name: self.run(read_value(value)) if type(value) is Ref else value
            for name, value in sections.items()
        }


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    """Bounds small enough for generated states to be trees of several levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "inline_bytes_max", 40)
        patch.setattr(limits, "section_inline_bytes_max", 12)
        patch.setattr(limits, "block_max", 16)
        patch.setattr(tree, "LEAVES", Bounds(24, 48, 160))
        patch.setattr(tree, "INNER", Bounds(80, 160, 300))
        yield


@given(states())
def test_a_tree_reads_back_as_the_state_and_its_pages_are_those_reachable(
    state: dict[str, Any],
) -> None:
    shelf = Shelf()
    root = shelf.build(state)
    assert same(shelf.load(root), state)
    assert shelf.run(reachable([root])) == shelf.pages.keys()
    again = Shelf()
    assert again.build(deepcopy(state)) == root


@given(states(), st.lists(states(), min_size=1, max_size=3))
def test_a_tree_edited_is_the_tree_built_from_scratch_P6(
    state: dict[str, Any], later: list[dict[str, Any]]
) -> None:
    shelf, scratch = Shelf(), Shelf()
    root = shelf.build(state)
    for after in later:
        changes = to_changes(state, after)
        root, _ = shelf.edit(root, changes)
        assert root == scratch.build(after)
        assert same(shelf.load(root), after)
        state = after


@st.composite
def conversations(draw: st.DrawFn) -> tuple[dict[str, Any], list[list[Change]]]:
    """A conversation, and batches of edits of every kind at any place."""
    texts = st.text(max_size=90)
    items = st.one_of(texts, st.integers(), st.dictionaries(texts, texts, max_size=4))
    state: dict[str, Any] = {
        "messages": draw(st.lists(items, max_size=40)),
        "plan": draw(st.dictionaries(texts, items, max_size=30)),
        "draft": draw(texts),
        "raw": draw(st.binary(max_size=90)),
    }
    model, batches = deepcopy(state), []
    for _ in range(draw(st.integers(1, 4))):
        batch: list[Change] = []
        for _ in range(draw(st.integers(1, 6))):
            change = draw(one_change(model, items))
            apply(model, [deepcopy(change)])
            batch.append(change)
        batches.append(batch)
    return state, batches


@st.composite
def one_change(draw: st.DrawFn, model: dict[str, Any], items: st.SearchStrategy[Any]) -> Change:
    name = draw(st.sampled_from(["messages", "draft", "raw", "plan", "plan", "messages"]))
    value = model[name]
    if name == "plan":
        keys: list[str] = list(value)
        goes: bool = draw(st.booleans())
        if draw(st.booleans()) and keys:
            key = draw(st.sampled_from(keys))
            return Delete((name, key)) if goes else Set((name, key), draw(items))
        return Set((name, draw(st.text(max_size=20))), draw(items))
    start = draw(st.integers(0, len(value)))
    if name == "messages" and start < len(value) and draw(st.booleans()):
        if isinstance(value[start], dict) and draw(st.booleans()):
            return Set((name, start, draw(st.text(max_size=5))), draw(items))
        return Set((name, start), draw(items))
    removed = draw(st.integers(0, min(len(value) - start, 12)))
    pieces: dict[str, st.SearchStrategy[Any]] = {
        "messages": st.lists(items, max_size=6),
        "draft": st.text(max_size=50),
        "raw": st.binary(max_size=50),
    }
    return Splice((name,), start, removed, draw(pieces[name]))


@given(states(), st.data())
def test_any_changes_on_a_tree_give_the_tree_built_from_scratch_P6(
    state: dict[str, Any], data: st.DataObject
) -> None:
    shelf, scratch = Shelf(), Shelf()
    root = shelf.build(state)
    for _ in range(data.draw(st.integers(1, 3))):
        batch = data.draw(changes_for(state))
        root, _ = shelf.edit(root, batch)
        apply(state, deepcopy(batch))
        assert root == scratch.build(state)
        assert same(shelf.load(root), state)


@given(conversations())
def test_edits_at_any_place_give_the_tree_built_from_scratch_P6(
    told: tuple[dict[str, Any], list[list[Change]]],
) -> None:
    state, batches = told
    shelf, scratch = Shelf(), Shelf()
    root = shelf.build(state)
    for batch in batches:
        root, _ = shelf.edit(root, batch)
        apply(state, deepcopy(batch))
        assert root == scratch.build(state)
        assert same(shelf.load(root), state)
        assert shelf.run(reachable([root])) <= shelf.pages.keys()


@given(st.lists(st.text(max_size=60), max_size=60), st.data())
def test_a_window_reads_what_a_slice_does(items: list[str], data: st.DataObject) -> None:
    shelf = Shelf()
    ref = shelf.run(read_root(shelf.build({"items": items})))["items"]
    start = data.draw(st.integers(0, len(items)))
    stop = data.draw(st.integers(0, len(items)))
    if type(ref) is Ref:
        assert shelf.run(read_items(ref, start, stop)) == items[start:stop]
