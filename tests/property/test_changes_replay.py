"""Changes make the same state wherever they are applied, and fit only what they were made for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure.core.changes import (
    Change,
    Set,
    Splice,
    apply,
    describe,
    from_wire,
    pack_changes,
    sections_of,
    text_splice,
    to_wire,
    unpack_changes,
)
from perdure.core.codec import pack, unpack
from perdure.core.diff import diff, to_changes
from perdure.core.values import same, take
from perdure.errors import Malformed, NewerFormat, ReplayMismatch
from perdure.testing.strategies import changes_for, sections, texts, values

NAN = float("nan")


@given(sections(), st.data())
def test_changes_read_back_from_bytes_do_the_same(
    before: dict[str, Any], data: st.DataObject
) -> None:
    changes = data.draw(changes_for(before))
    packed = pack_changes(changes)
    one, other = take(before), take(before)
    apply(one, unpack_changes(packed))
    for change in changes:
        apply(other, [from_wire(unpack(pack(to_wire(change))))])
    assert same(one, other)
    assert pack_changes(unpack_changes(packed)) == packed
    assert sections_of(changes) == {change.path[0] for change in changes}
    assert all("\n" not in describe(change) for change in changes)


@given(sections(), st.data())
def test_a_change_touches_no_other_section(before: dict[str, Any], data: st.DataObject) -> None:
    changes = data.draw(changes_for(before))
    after = take(before)
    apply(after, unpack_changes(pack_changes(changes)))
    for name in (before.keys() | after.keys()) - sections_of(changes):
        assert same(before[name], after[name])


@given(sections(), st.data())
def test_the_difference_between_two_states_makes_one_of_the_other(
    before: dict[str, Any], data: st.DataObject
) -> None:
    after = take(before)
    apply(after, unpack_changes(pack_changes(data.draw(changes_for(before)))))
    assert_diff_is_whole(before, after)
    assert_diff_is_whole(after, before)


@given(sections(), sections())
@example({"a": 1, "b": 2, "c": 3}, {"c": 3, "a": 1, "b": 2})
@example({"a": {"x": 1}}, {"a": {"x": True}})
@example({"l": [1, 2, 3, 2, 1]}, {"l": [2, 1, 3, 1, 2]})
@example({"s": {1, "a"}}, {"s": {True, "b"}})
@example({"s": {float("nan")}}, {"s": {2.0}})
@example({"s": {NAN, 1}}, {"s": {NAN, float("nan"), 2}})
@example({"s": {NAN, float("nan"), 2}}, {"s": {float("nan"), 2}})
@example({"s": {1}}, {"s": frozenset({1})})
@example({"t": "x" * 20}, {"t": b"x" * 20})
def test_the_difference_between_any_two_states_makes_one_of_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert_diff_is_whole(before, after)


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=30))
@example([0, 1, 2, 3, 4, 5], [5, 0, 1, 2, 3, 4])
def test_lists_of_few_values_are_aligned(before: list[int], after: list[int]) -> None:
    assert_diff_is_whole({"l": before}, {"l": after})
    assert_diff_is_whole(
        {"l": [{"n": n, "of": "x"} for n in before]}, {"l": [{"n": n, "of": "x"} for n in after]}
    )


def assert_diff_is_whole(before: dict[str, Any], after: dict[str, Any]) -> None:
    packed_before, packed_after = pack(before), pack(after)
    made = take(before)
    apply(made, to_changes(before, after))
    assert same(made, after)
    assert bool(diff(before, after)) == (packed_before != packed_after)
    assert all(each.summary() for each in diff(before, after))
    # Nothing of what was compared was changed, not even through what is now in `made`.
    assert (pack(before), pack(after)) == (packed_before, packed_after)


@given(texts(), texts(), texts(), texts(), st.sampled_from(["", "shared" * 9]), st.booleans())
def test_a_splice_of_text_makes_one_of_the_other_and_is_the_smallest(
    head: str, new_head: str, tail: str, new_tail: str, middle: str, in_bytes: bool
) -> None:
    base: Any = head + middle + tail
    new: Any = new_head + middle + new_tail
    if in_bytes:
        base, new = (text.encode("utf-8", "surrogatepass") for text in (base, new))
    splice = text_splice(("t",), base, new)
    if splice is None:
        assert not (middle and head == new_head and tail != new_tail)
        return
    made = {"t": base}
    apply(made, [splice])
    assert made == {"t": new}
    removed: Any = base[splice.start : splice.start + splice.removed]
    added: Any = splice.items
    if removed and added:
        assert removed[:1] != added[:1], "it could start later"
        assert removed[-1:] != added[-1:], "it could end earlier"


@given(sections(), values(), st.data())
def test_a_change_that_does_not_fit_is_refused(
    state: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    """Whatever it meets, applying a change raises `ReplayMismatch` or works."""
    path = tuple(data.draw(st.lists(st.one_of(texts(), st.integers(0, 3)), max_size=3)))
    candidates: list[Change] = [
        Set(path, value),
        Splice(path, 1, 1, ["x"]),
        Splice(path, 0, 3, "xyz"),
    ]
    change = data.draw(st.sampled_from(candidates))
    before = pack(state)
    try:
        apply(state, [change])
    except ReplayMismatch:
        assert pack(state) == before


@given(values())
def test_any_value_is_a_change_or_malformed(value: Any) -> None:
    for wire in (value, [value], [1, value], [3, ["a"], value, value, value], [4, ["a"], value]):
        try:
            change = from_wire(wire)
        except (Malformed, NewerFormat):
            continue
        assert same(to_wire(change), wire)


@given(sections(), st.data())
def test_damaged_changes_are_changes_or_malformed(
    before: dict[str, Any], data: st.DataObject
) -> None:
    packed = bytearray(pack_changes(data.draw(changes_for(before))))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        changes = unpack_changes(bytes(packed))
    except (Malformed, NewerFormat):
        return
    try:
        apply(before, changes)
    except ReplayMismatch:
        return


def test_what_is_not_a_list_of_changes_is_malformed() -> None:
    bad: list[Any] = [{}, None, [1], [[]], [[1]], [[1, []]], [[True, ["a"], 1]]]
    for value in bad:
        with pytest.raises(Malformed):
            unpack_changes(pack(value))


def test_a_change_of_an_unknown_kind_is_a_newer_versions() -> None:
    with pytest.raises(NewerFormat, match="kind 9"):
        unpack_changes(pack([[9, ["a"], 1]]))
