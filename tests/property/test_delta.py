"""A delta does what the changes did that it was composed of, in the positions of the base."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core import list_edits
from perdure.core.changes import Change, Delete, Set, Splice, apply, copies
from perdure.core.codec import pack
from perdure.core.delta import ABSENT, Asking, changes_of, compose, settle, value_of
from perdure.core.delta_between import between
from perdure.core.paths import Path
from perdure.core.values import same, take
from perdure.testing.strategies import changes_for, sections, values


def at(base: Any, path: Path) -> Any:
    """What is at a path, `ABSENT` if nothing is."""
    for part in path:
        try:
            base = base[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return base


def answered(asking: Asking, base: Any) -> Any:
    """What a generator returns that is answered from a whole base."""
    answer = None
    while True:
        try:
            path = asking.send(answer)
        except StopIteration as done:
            return done.value
        answer = at(base, path)


@given(sections(), st.data())
def test_a_delta_does_what_its_changes_did(base: dict[str, Any], data: st.DataObject) -> None:
    changes = data.draw(changes_for(base, max_size=12))
    packed = pack([change.path for change in changes]), pack(base)
    after = take(base)
    apply(after, copies(changes))
    composed = compose(changes)
    answered(settle(composed), base)
    made = take(base)
    apply(made, copies(changes_of(composed)))
    assert same(made, after)
    assert same(value_of(composed, base), after)
    assert (pack([change.path for change in changes]), pack(base)) == packed


def test_a_key_that_came_went_and_came_again_is_after_those_that_came_between() -> None:
    def after(base: dict[str, Any]) -> list[str]:
        composed = compose([Set(("a",), 1), Delete(("a",)), Set(("b",), 2), Set(("a",), 3)])
        answered(settle(composed), base)
        apply(base, copies(changes_of(composed)))
        return list(base)

    assert after({}) == ["b", "a"]
    assert after({"a": 0, "c": 0}) == ["c", "b", "a"]


@given(sections(), st.data())
def test_a_delta_shares_nothing_with_later_edits(base: dict[str, Any], data: st.DataObject) -> None:
    """Composing alters neither the changes nor what a caller still has of them."""
    changes = data.draw(changes_for(base, max_size=12))
    twice = [compose(changes), compose(changes)]
    made = []
    for each in twice:
        answered(settle(each), base)
        made.append(value_of(each, base))
    assert same(made[0], made[1])


def test_an_item_that_came_is_copied_once_however_often_it_is_edited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item: dict[str, Any] = {"log": []}
    changes: list[Change] = [Splice(("tasks",), 0, 0, [item])]
    changes += [Splice(("tasks", 0, "log"), at, 0, [at]) for at in range(20)]
    copied: list[Any] = []

    def copy(value: Any) -> Any:
        copied.append(value)
        return take(value)

    monkeypatch.setattr(list_edits, "take", copy)
    composed = compose(changes)
    made: dict[str, Any] = {"tasks": []}
    apply(made, copies(changes_of(composed)))
    assert same(made, {"tasks": [{"log": list(range(20))}]})
    assert [value is item for value in copied] == [True]
    assert item == {"log": []}


@given(values(), values())
def test_the_delta_between_two_values_makes_one_of_the_other(a: Any, b: Any) -> None:
    assert same(value_of(between(a, b), a), b)
    assert same(value_of(between({"k": a}, {"k": b}), {"k": a}), {"k": b})


@given(st.lists(st.integers(0, 5), max_size=20), st.lists(st.integers(0, 5), max_size=20))
def test_lists_of_items_with_ids_are_told_apart_by_them(a: list[int], b: list[int]) -> None:
    was = [{"id": n, "of": "x"} for n in a]
    now = [{"id": n, "of": "x", "at": at} for at, n in enumerate(b)]
    assert same(value_of(between(was, now), was), now)


@given(sections(), st.data())
def test_the_delta_between_edited_states_makes_one_of_the_other(
    base: dict[str, Any], data: st.DataObject
) -> None:
    after = take(base)
    apply(after, copies(data.draw(changes_for(base))))
    assert same(value_of(between(base, after), base), after)
