"""Differences are told where they are, as small as they are, and can be made again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply
from perdure.core.diff import Difference, diff, to_changes
from perdure.core.values import same, take


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [each.summary() for each in diff(before, after)]


def message(n: int, **more: Any) -> dict[str, Any]:
    return {"id": n, "role": "user", "content": f"message {n}", **more}


@pytest.mark.parametrize(
    ("before", "after", "summaries", "changes"),
    [
        ({"a": [1, {"b": ()}]}, {"a": [1, {"b": ()}]}, [], []),
        ({}, {"a": 1}, ["added a: 1"], [Set(("a",), 1)]),
        ({"a": 1}, {}, ["removed a: 1"], [Delete(("a",))]),
        ({"a": None}, {}, ["removed a: None"], [Delete(("a",))]),
        ({"a": 1}, {"a": True}, ["changed a: 1 → True"], [Set(("a",), True)]),
        ({"a": 0.0}, {"a": -0.0}, ["changed a: 0.0 → -0.0"], [Set(("a",), -0.0)]),
        ({"a": [1]}, {"a": (1,)}, ["changed a: [1] → (1,)"], [Set(("a",), (1,))]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["changed a/b: 1 → 2"], [Set(("a", "b"), 2)]),
        (
            {"a": {"x": 1, "y": 2}},
            {"a": {"y": 2, "x": 1}},
            ["moved a: ['x', 'y'] → ['y', 'x']"],
            [Delete(("a", "x")), Set(("a", "x"), 1)],
        ),
        (
            {"a": 1, "b": 2},
            {"b": 3, "a": 1},
            ["changed b: 2 → 3", "moved (state): ['a', 'b'] → ['b', 'a']"],
            [Delete(("a",)), Set(("b",), 3), Set(("a",), 1)],
        ),
        (
            {"a": 1, "c": 3},
            {"a": 1, "b": 2, "c": 3},
            ["added b: 2"],
            [Delete(("c",)), Set(("b",), 2), Set(("c",), 3)],
        ),
        (
            {"s": {1, "a"}},
            {"s": {True, "a"}},
            ["changed s: "],
            [Members(("s",), [1], [True])],
        ),
        ({"t": ("a",)}, {"t": ("b",)}, ["changed t: ('a',) → ('b',)"], [Set(("t",), ("b",))]),
        ({"t": "open"}, {"t": "shut"}, ["changed t: 'open' → 'shut'"], [Set(("t",), "shut")]),
        (
            {"t": "Dear"},
            {"t": "Dear Ann"},
            ["changed t at 4: '' → ' Ann'"],
            [Splice(("t",), 4, 0, " Ann")],
        ),
        (
            {"t": b"x" * 99 + b"old"},
            {"t": b"x" * 99 + b"new"},
            ["changed t at 99: b'old' → b'new'"],
            [Splice(("t",), 99, 3, b"new")],
        ),
        ({"t": "x" * 20}, {"t": b"x" * 20}, ["changed t: "], [Set(("t",), b"x" * 20)]),
    ],
)
def test_a_difference_is_told_and_made(
    before: dict[str, Any], after: dict[str, Any], summaries: list[str], changes: list[Change]
) -> None:
    lines = told(before, after)
    assert len(lines) == len(summaries)
    assert all(line.startswith(start) for line, start in zip(lines, summaries))
    assert to_changes(before, after) == changes
    made = take(before)
    apply(made, to_changes(before, after))
    assert same(made, after)


def test_a_difference_holds_both_values() -> None:
    assert diff({"a": 1, "b": [2]}, {"b": [2, 3]}) == [
        Difference(("a",), "removed", 1, None),
        Difference(("b", 1), "added", None, 3),
    ]


def test_an_appended_item_is_one_splice() -> None:
    before = {"messages": [message(n) for n in range(1000)]}
    after = {"messages": [*before["messages"], message(1000)]}
    assert to_changes(before, after) == [Splice(("messages",), 1000, 0, [message(1000)])]
    assert told(before, after) == [f"added messages/1000: {message(1000)}"]


def test_items_put_in_taken_out_and_edited_are_told_apart() -> None:
    before = {"m": [message(n) for n in range(12)]}
    items = [message(n) for n in range(12)]
    items[3] = message(3, done=True)
    del items[7]
    items[1:1] = [message(100), message(101)]
    after = {"m": items}
    assert told(before, after) == [
        "added m/1: {'id': 100, 'role': 'user', 'content': 'message 100'}",
        "added m/2: {'id': 101, 'role': 'user', 'content': 'message 101'}",
        "added m/5/done: True",
        "removed m/7: {'id': 7, 'role': 'user', 'content': 'message 7'}",
    ]
    assert to_changes(before, after) == [
        Splice(("m",), 7, 1, []),
        Set(("m", 3, "done"), True),
        Splice(("m",), 1, 0, [message(100), message(101)]),
    ]


def test_unlike_items_are_replaced_and_not_edited() -> None:
    before = {"m": [{"a": 1}, {"b": 2}, "x"]}
    after = {"m": [{"c": 1}, {"d": 2}, "y", "z"]}
    assert to_changes(before, after) == [Splice(("m",), 0, 3, after["m"])]
    assert told(before, after)[0] == "changed m/0: {'a': 1} → {'c': 1}"


def test_an_item_that_moved_is_not_everything_between() -> None:
    items = [f"item {n}" for n in range(500)]
    before, after = {"l": items}, {"l": [items[-1], *items[:-1]]}
    assert to_changes(before, after) == [
        Splice(("l",), 499, 1, []),
        Splice(("l",), 0, 0, ["item 499"]),
    ]


def test_items_that_recur_are_aligned_between_those_that_do_not() -> None:
    before = {"l": ["-", "a", "-", "b", "-", "c", "-"]}
    after = {"l": ["-", "a", "-", "-", "b", "-", "c", "-"]}
    assert to_changes(before, after) == [Splice(("l",), 3, 0, ["-"])]


def test_what_becomes_unique_within_a_run_aligns_it_further() -> None:
    """ "x" occurs twice, but only once on either side of "middle"."""
    before = {"l": ["x", 1, "middle", 2, "x"]}
    after = {"l": [3, "x", "middle", "x", 4]}
    assert to_changes(before, after) == [
        Splice(("l",), 5, 0, [4]),
        Splice(("l",), 3, 1, []),
        Splice(("l",), 1, 1, []),
        Splice(("l",), 0, 0, [3]),
    ]


def test_long_lists_that_differ_everywhere_stay_cheap() -> None:
    """Sorting would be enough; comparing each with each would take an hour."""
    items = list(range(20_000))
    shuffled = items.copy()
    random.Random(5).shuffle(shuffled)
    before = {"l": items, "few": [n % 3 for n in items]}
    after = {"l": shuffled, "few": [n % 2 for n in items]}
    made = take(before)
    apply(made, to_changes(before, after))
    assert same(made, after)


def test_what_is_made_is_no_part_of_what_it_was_made_of() -> None:
    after = {"a": [[1]], "b": {"c": [2]}, "l": [0, {"k": [3]}]}
    made: dict[str, Any] = {"l": [0]}
    apply(made, to_changes(made, after))
    made["a"][0].append(9)
    made["b"]["c"].append(9)
    made["l"][1]["k"].append(9)
    assert after == {"a": [[1]], "b": {"c": [2]}, "l": [0, {"k": [3]}]}


def test_a_summary_is_one_short_line() -> None:
    state = {"a\nb": "x\n" * 1000, "c": {"\x1b[2J": [1] * 1000}}
    for line in told({}, state) + told(state, {}):
        assert line.isprintable()
        assert len(line) < 100
