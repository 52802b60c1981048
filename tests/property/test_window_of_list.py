"""A window stays the tail of its list, whoever edits what of it, in whatever order (P13)."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perdure.core.changes import Change, apply, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.state import Document, TrackedList, Window

items = st.sampled_from([0, 1.0, "a", "text " * 8, None]) | st.builds(
    lambda value: {"n": value, "parts": [value]}, st.integers(0, 3)
)
ends = st.integers(0, 9)
edits = st.one_of(
    st.tuples(st.just("splice"), ends, st.integers(0, 9), st.lists(items, max_size=3)),
    st.tuples(st.just("splice"), ends, st.integers(0, 1), st.lists(items, max_size=2)),
    st.tuples(st.just("item"), ends, items),
    st.tuples(st.just("inside"), ends, items),
    st.tuples(st.just("reverse")),
    st.tuples(st.just("sort")),
)


def edit(section: Any, step: tuple[Any, ...]) -> None:
    """Do one edit, to a window or to a whole list."""
    what, *rest = step
    if what == "reverse":
        section.reverse()
    elif what == "sort":
        section.sort(key=lambda item: len(repr(item)))
    elif what == "splice":
        start, removed, news = rest
        section[start : start + removed] = copy.deepcopy(news)
    elif rest[0] < len(section):
        at, value = rest
        item = section[at]
        if what == "inside" and isinstance(item, dict):
            item["parts"].append(value)
        elif what == "inside" and isinstance(item, str):
            section[at] = item + "!"
        else:
            section[at] = copy.deepcopy(value)


def saved(document: Document) -> list[Change]:
    return unpack_changes(pack_changes(document.capture()))


@given(
    whole=st.lists(items, max_size=8),
    shown=st.integers(0, 8),
    rounds=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.lists(edits, min_size=1, max_size=3)),
        max_size=5,
    ),
    check_edits=st.booleans(),
)
def test_a_window_stays_the_tail_of_its_list(
    whole: list[Any],
    shown: int,
    rounds: list[tuple[bool, bool, list[tuple[Any, ...]]]],
    check_edits: bool,
) -> None:
    offset = max(len(whole) - shown, 0)
    document = Document(
        {"list": Window(copy.deepcopy(whole[offset:]), offset)}, check_edits=check_edits
    )
    window = document.state["list"]
    stored: dict[str, Any] = {"list": copy.deepcopy(whole)}
    for ours, undone, steps in rounds:
        if ours:
            edit_here(document, steps, undone)
            apply(stored, saved(document))
        else:
            other = Document(copy.deepcopy(stored))
            for step in steps:
                edit(other.state["list"], step)
            theirs = saved(other)
            apply(stored, copy.deepcopy(theirs))
            assert document.apply(theirs) == []
            assert document.pending() == []
        assert document.state["list"] is window
        assert 0 <= window.offset <= len(stored["list"])
        assert same(window.plain(), stored["list"][window.offset :])
    assert document.capture() == []


def edit_here(document: Document, steps: list[tuple[Any, ...]], undone: bool) -> None:
    """Edit the window; all but the first edit in a block, which may be undone."""
    window: TrackedList = document.state["list"]
    edit(window, steps[0])
    before, offset = window.plain(), window.offset
    document.begin()
    for step in steps[1:]:
        edit(window, step)
    if undone:
        document.state["elsewhere"] = [document.state.pop("list")]
        document.undo()
        assert same(window.plain(), before)
        assert window.offset == offset
    else:
        document.keep()
