"""Walking two trees finds what comparing the two whole states finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.property.plain_patch import patched

from perdure import limits
from perdure.core import tree
from perdure.core.changes import apply
from perdure.core.codec import pack
from perdure.core.cut import Bounds
from perdure.core.diff import Difference, diff
from perdure.core.json_forms import encode
from perdure.core.json_patch import json_patch
from perdure.core.tree import build
from perdure.core.tree_diff import diff_trees
from perdure.core.tree_read import Reading
from perdure.core.values import same, take
from perdure.testing.strategies import changes_for
from perdure.testing.strategies import sections as states

SECRET = bytes(range(32))


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


def walked(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """What the walk finds, with nothing but the two trees to read from."""
    old, new = build(before, SECRET), build(after, SECRET)
    pages = old.pages | new.pages
    reading: Reading[list[Difference]] = diff_trees(old.root, new.root)
    payloads: Mapping[bytes, bytes] | None = None
    while True:
        try:
            ids = reading.send(payloads)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as stop:
            found: list[Difference] = stop.value
            return found
        payloads = {id_: pages[id_] for id_ in ids}


def told(found: list[Difference]) -> list[tuple[Any, ...]]:
    """Differences as what is the same exactly if they are."""
    return [(each.path, each.kind, pack(each.before), pack(each.after), each.ids) for each in found]


def made_again(before: dict[str, Any], found: list[Difference]) -> dict[str, Any]:
    """The later state, from the earlier one and the differences; order of keys apart."""
    state: dict[str, Any] = take(before)
    for each in reversed(found):
        if each.kind == "removed":
            del holder(state, each)[each.path[-1]]
    for each in found:
        if each.kind == "added" and isinstance(each.path[-1], int):
            holder(state, each).insert(each.path[-1], take(each.after))
        elif each.kind in ("added", "changed"):
            holder(state, each)[each.path[-1]] = take(each.after)
    return state


def holder(state: dict[str, Any], each: Difference) -> Any:
    value: Any = state
    for part in each.path[:-1]:
        value = value[part]
    return value


def unordered(value: Any) -> Any:
    """A value with the keys of its dicts in one order."""
    if isinstance(value, dict):
        return {key: unordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [unordered(item) for item in value]
    return value


@given(states(), states())
def test_of_any_two_states(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert told(walked(before, after)) == told(diff(before, after))


@given(states(), st.data())
def test_of_a_state_and_what_edits_made_of_it(before: dict[str, Any], data: st.DataObject) -> None:
    after = deepcopy(before)
    for _ in range(data.draw(st.integers(1, 4))):
        apply(after, deepcopy(data.draw(changes_for(after))))
    assert told(walked(before, after)) == told(diff(before, after))
    assert told(walked(after, before)) == told(diff(after, before))


few = st.sampled_from(["a", "b", "a much longer text", 1, True, {"k": 1}, {"k": 1, "l": "xy"}])
texts = st.text("abc", max_size=70)
entries = st.one_of(few, texts, st.dictionaries(st.text("abc", max_size=2), few | texts))


@st.composite
def pairs_of_lists(draw: st.DrawFn, items: st.SearchStrategy[Any]) -> tuple[list[Any], list[Any]]:
    """A list, and the same with some runs of it removed, put in, repeated or moved."""
    before = take(draw(st.lists(items, max_size=60)))
    after = take(before)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(after)))
        stop = min(len(after), start + draw(st.integers(0, 9)))
        other = draw(st.integers(0, len(after)))
        match draw(st.sampled_from(["remove", "put", "repeat", "move", "edit"])):
            case "remove":
                del after[start:stop]
            case "put":
                after[start:start] = take(draw(st.lists(items, max_size=5)))
            case "repeat":
                after[other:other] = take(after[start:stop])
            case "move":
                run = after[start:stop]
                del after[start:stop]
                after[other:other] = run
            case "edit" if start < stop and isinstance(after[start], dict):
                after[start]["k"] = take(draw(items))
    return before, after


recurring = st.sampled_from(["a", "a" * 25])


@given(pairs_of_lists(entries) | pairs_of_lists(recurring))
def test_of_long_lists_whose_items_recur(lists: tuple[list[Any], list[Any]]) -> None:
    before, after = {"l": lists[0]}, {"l": lists[1]}
    assert told(walked(before, after)) == told(diff(before, after))


@example(150, 46, 5)  # an inner page goes whole
@given(st.integers(2, 150), st.integers(0, 150), st.integers(1, 9))
def test_of_a_list_without_some_turns_that_begin_as_others_do(
    count: int, start: int, removed: int
) -> None:
    """Where a whole page goes, the next one may begin alike: only what differs is told."""
    turns = [["hello", f"answer {n} {'.' * (n % 20)}"] for n in range(count)]
    before = [said for turn in turns for said in turn]
    after = [said for turn in turns[:start] + turns[start + removed :] for said in turn]
    assert told(walked({"l": before}, {"l": after})) == told(diff({"l": before}, {"l": after}))
    assert told(walked({"l": after}, {"l": before})) == told(diff({"l": after}, {"l": before}))


@given(st.dictionaries(texts, entries, max_size=40), st.data())
def test_of_long_maps_whose_keys_come_go_and_move(
    before: dict[str, Any], data: st.DataObject
) -> None:
    after = deepcopy(before)
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from([*after, "new"]))
        if data.draw(st.booleans()):
            after.pop(key, None)
        if data.draw(st.booleans()):
            after[key] = data.draw(st.just(before.get(key, 1)) | entries)
    assert told(walked({"m": before}, {"m": after})) == told(diff({"m": before}, {"m": after}))


numbered = st.builds(
    lambda id_, more: {"id": id_, **more},
    st.integers(0, 30) | st.sampled_from(["a", "b", "c" * 45]),
    st.dictionaries(st.sampled_from("klm"), few | texts, max_size=3),
)


@given(pairs_of_lists(numbered) | pairs_of_lists(numbered | entries))
def test_of_long_lists_whose_items_have_ids(lists: tuple[list[Any], list[Any]]) -> None:
    before, after = {"l": lists[0]}, {"l": lists[1]}
    assert told(walked(before, after)) == told(diff(before, after))


@given(st.permutations(range(40)), st.sets(st.integers(0, 39)), st.integers(0, 60))
def test_of_a_long_list_whose_items_move_and_change(
    order: list[int], edited: set[int], size: int
) -> None:
    before = [{"id": n, "text": "x" * size} for n in range(40)]
    after = [{"id": n, "text": "y" * size if n in edited else "x" * size} for n in order]
    assert told(walked({"l": before}, {"l": after})) == told(diff({"l": before}, {"l": after}))


@pytest.fixture(scope="class")
def pages_as_anchors() -> Iterator[None]:
    """Every list counts as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "diff_items_bytes_max", 0)
        yield


@pytest.mark.usefixtures("pages_as_anchors")
class TestOfVeryLongLists:
    """Pages that both have are taken for unchanged: what is told is true, and mostly the same."""

    @given(pairs_of_lists(entries))
    def test_what_is_told_makes_the_one_of_the_other(
        self, lists: tuple[list[Any], list[Any]]
    ) -> None:
        before, after = {"l": lists[0]}, {"l": lists[1]}
        made = made_again(before, walked(before, after))
        assert same(unordered(made), unordered(after))

    @given(pairs_of_lists(numbered))
    def test_what_is_told_of_items_with_ids_does_too(
        self, lists: tuple[list[Any], list[Any]]
    ) -> None:
        before, after = {"l": lists[0]}, {"l": lists[1]}
        made = patched(encode(before), json_patch(walked(before, after)))
        assert same(unordered(made), unordered(encode(after)))

    @given(st.lists(st.integers(0, 99), unique=True), st.lists(st.integers(0, 99), unique=True))
    def test_items_that_neither_recur_nor_move_are_told_alike(
        self, kept: list[int], new: list[int]
    ) -> None:
        before = [f"item {n} {'.' * (n % 30)}" for n in range(100)]
        after: list[Any] = [item for n, item in enumerate(before) if n not in kept]
        for n in new:
            after.insert(min(n, len(after)), {"new": n})
        found = walked({"l": before}, {"l": after})
        assert told(found) == told(diff({"l": before}, {"l": after}))

    @given(states(), states())
    def test_of_any_two_states(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        made = made_again(before, walked(before, after))
        assert same(unordered(made), unordered(after))
