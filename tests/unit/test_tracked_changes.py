"""A capture gives the smallest changes from the last one to now, and nothing for nothing."""

import copy
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from perdure import limits
from perdure.core.changes import (
    Change,
    Delete,
    Members,
    Set,
    Splice,
    apply,
    pack_changes,
    unpack_changes,
)
from perdure.core.values import same
from perdure.state import Document


def changes_of(content: Any, edit: Callable[[Any], object]) -> list[Change]:
    """The changes of one edit of the section `s`, which have to lead to what it left."""
    base = {"s": copy.deepcopy(content)}
    document = Document(copy.deepcopy(base))
    edit(document.state["s"])
    pending = document.pending()
    changes = unpack_changes(pack_changes(document.capture()))
    assert pack_changes(pending) == pack_changes(changes)
    apply(base, copy.deepcopy(changes))
    assert same(base, document.plain())
    assert document.capture() == []
    assert document.touched() == set()
    return changes


def test_an_appended_message_is_one_splice() -> None:
    content = [{"role": "user", "content": str(n)} for n in range(50)]
    assert changes_of(content, lambda s: s.append({"role": "tool"})) == [
        Splice(("s",), 50, 0, [{"role": "tool"}])
    ]


def test_appended_messages_and_edits_inside_them_are_one_splice() -> None:
    def edit(messages: Any) -> None:
        for n in range(3):
            messages.append({"n": n})
            messages[-1]["parts"] = [n]
        messages[-2]["parts"].append("more")

    assert changes_of([], edit) == [
        Splice(
            ("s",),
            0,
            0,
            [{"n": 0, "parts": [0]}, {"n": 1, "parts": [1, "more"]}, {"n": 2, "parts": [2]}],
        )
    ]


def test_an_edit_deep_inside_is_one_change_at_its_path() -> None:
    content = {"steps": [{"n": n, "notes": {"by": "me"}} for n in range(3)]}
    assert changes_of(content, lambda s: s["steps"][1]["notes"].update(by="you")) == [
        Set(("s", "steps", 1, "notes", "by"), "you")
    ]


def test_a_list_insertion_moves_the_paths_of_what_follows() -> None:
    def edit(items: Any) -> None:
        last = items[-1]
        last["n"] = 9
        items.insert(0, {"n": -1})
        del items[1]
        items[0:0] = ["x", "y"]
        last["m"] = 1

    assert changes_of([{"n": 0}, {"n": 1}, {"n": 2}], edit) == [
        Splice(("s",), 0, 1, ["x", "y", {"n": -1}]),
        Set(("s", 4, "n"), 9),
        Set(("s", 4, "m"), 1),
    ]


def test_text_that_grows_by_tokens_is_one_small_splice() -> None:
    """A capture after each token, or one after ten thousand."""
    document = Document({"messages": [{"content": "start"}]})
    message = document.state["messages"][0]
    for _ in range(10_000):
        message["content"] += "tok "
    assert document.capture() == [Splice(("messages", 0, "content"), 5, 0, "tok " * 10_000)]
    for n in range(20):
        size = len(message["content"])
        message["content"] += f"<{n}>"
        assert document.capture() == [Splice(("messages", 0, "content"), size, 0, f"<{n}>")]


def test_text_of_a_list_and_bytes_grow_by_splices_too() -> None:
    def edit(items: Any) -> None:
        items[0] += "c"
        items[1] += b"z"
        items.append("d")

    assert changes_of(["ab", b"xy"], edit) == [
        Splice(("s", 0), 2, 0, "c"),
        Splice(("s", 1), 2, 0, b"z"),
        Splice(("s",), 2, 0, ["d"]),
    ]


def test_a_word_changed_inside_a_long_text_is_a_splice() -> None:
    text = "the plan is to look before the leap"
    assert changes_of({"t": text}, lambda s: s.update(t=text.replace("look", "jump"))) == [
        Splice(("s", "t"), 15, 4, "jump")
    ]


NAN = math.nan
NOTHINGS: list[tuple[Any, Callable[[Any], object]]] = [
    ({"a": 1}, lambda s: s.update(a=1)),
    ({"a": 1}, lambda s: (s.update(a=2), s.update(a=1))),
    ({"a": [1]}, lambda s: s.update(a=s["a"])),
    ({"a": (1, [2])}, lambda s: s.update(a=s["a"])),
    ({"a": "x"}, lambda s: (s.update(a="xy"), s.update(a="x"))),
    ({"a": NAN}, lambda s: s.update(a=float("nan"))),
    ({}, lambda s: (s.update(b=[1]), s.pop("b"))),
    ({}, lambda s: s.update()),
    ([1, 2, 3], lambda s: s.sort()),
    ([1, 1], lambda s: s.reverse()),
    ([1, 2], lambda s: s.__setitem__(slice(None), [1, 2])),
    ([{"a": [1]}, "x"], lambda s: s.__setitem__(slice(None), [{"a": [1]}, "x"])),
    ([[1], [2]], lambda s: s.__setitem__(slice(None), list(s))),
    ([1, 2], lambda s: (s.append(3), s.pop())),
    ([1, 2], lambda s: (s.insert(0, 3), s.remove(3))),
    ([1, 2], lambda s: (s.__setitem__(0, 5), s.__setitem__(0, 1))),
    ([1, 2], lambda s: s.__setitem__(slice(2, 2), [])),
    ([], lambda s: s.clear()),
    ({1, 2}, lambda s: (s.add(3), s.discard(3))),
    ({"a"}, lambda s: (s.discard("a"), s.add("a"))),
    ({1}, lambda s: s.add(1)),
]


@pytest.mark.parametrize(("content", "edit"), NOTHINGS, ids=range(len(NOTHINGS)))
def test_a_save_without_a_difference_has_no_changes(
    content: Any, edit: Callable[[Any], object]
) -> None:
    assert changes_of(content, edit) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (False, 0),
        (Decimal("1.0"), Decimal("1.00")),
        ("", b""),
        ((1,), (True,)),
        (
            datetime(2026, 1, 1, 12, tzinfo=UTC),
            datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        ),
    ],
)
def test_equal_values_that_differ_are_a_change(old: Any, new: Any) -> None:
    """P13: 1, True and 1.0 are three values."""
    assert changes_of({"a": old}, lambda s: s.update(a=new)) == [Set(("s", "a"), new)]
    assert changes_of([old], lambda s: s.__setitem__(0, new)) == [Set(("s", 0), new)]
    assert len(changes_of([old], lambda s: s.__setitem__(slice(None), [new]))) == 1


def test_keys_that_are_deleted_and_set_again_go_last() -> None:
    def edit(section: Any) -> None:
        section["n"] = 1
        section["a"] = section.pop("a")
        section["m"] = 2
        section["b"] = 5

    content = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert changes_of(content, edit) == [
        Delete(("s", "a")),
        Set(("s", "b"), 5),
        Set(("s", "n"), 1),
        Set(("s", "a"), 1),
        Set(("s", "m"), 2),
    ]


def test_a_key_moved_twice_stands_where_it_was_set_last() -> None:
    def edit(section: Any) -> None:
        for key in "abab":
            section[key] = section.pop(key)
        del section["c"]
        section["c"] = 0
        section["a"] = section.pop("a")

    base = {"a": 1, "b": 2, "c": 3}
    changes = changes_of({**base, "x": 0, "y": 0, "z": 0, "w": 0}, edit)
    assert [each.path[1] for each in changes if isinstance(each, Set)] == ["b", "c", "a"]


def test_a_mapping_filled_anew_is_written_whole() -> None:
    def edit(section: Any) -> None:
        section.clear()
        section["new"] = 1

    content = {str(n): n for n in range(9)}
    assert changes_of({"inner": content}, lambda s: edit(s["inner"])) == [
        Set(("s", "inner"), {"new": 1})
    ]


def test_a_sorted_list_is_one_splice_of_what_moved() -> None:
    assert changes_of([0, 3, 2, 1, 4], lambda s: s.sort()) == [
        Splice(("s",), 1, 3, [1, 2, 3]),
    ]


def test_a_list_assigned_from_a_longer_copy_writes_only_what_is_new() -> None:
    """What a framework does that gives back all messages and one more."""
    content = [{"role": "user", "content": str(n)} for n in range(5)]
    document = Document({"s": copy.deepcopy(content)})
    messages = document.state["s"]
    first = messages[0]
    messages[:] = [*copy.deepcopy(content), {"role": "tool"}]
    assert document.capture() == [Splice(("s",), 5, 0, [{"role": "tool"}])]
    first["seen"] = True
    assert document.capture() == [Set(("s", 0, "seen"), True)]


def test_separate_edits_of_a_list_stay_separate_and_in_order() -> None:
    def edit(items: Any) -> None:
        items[8:9] = []
        items[5] = "five"
        items[2:2] = ["two"]
        items[0] = "zero"

    assert changes_of(list(range(10)), edit) == [
        Set(("s", 0), "zero"),
        Splice(("s",), 2, 0, ["two"]),
        Set(("s", 6), "five"),
        Splice(("s",), 9, 1, []),
    ]


def test_of_very_many_edits_of_a_list_the_nearest_are_joined() -> None:
    size = 2 * limits.list_edits_max + 2

    def edit(items: Any) -> None:
        for position in range(size - 1, 0, -2):
            items[position] = -1
        items.insert(1, "x")
        items[5]["n"] = 1  # a child inside the joined run is written with it

    content: list[Any] = [{"n": 0} if n % 2 == 0 else n for n in range(size)]
    changes = changes_of(content, edit)
    assert len(changes) <= limits.list_edits_max
    assert isinstance(changes[0], Splice)
    assert changes[-1] == Set(("s", size), -1)


def test_sets_change_by_members_or_whole_when_that_is_smaller() -> None:
    content = set(range(10))

    def edit(members: Any) -> None:
        members.add("new")
        members.discard(3)

    assert changes_of(content, edit) == [Members(("s",), [3], ["new"])]
    assert changes_of(content, lambda s: s.intersection_update({1})) == [Set(("s",), {1})]
    assert changes_of(content, lambda s: s.clear()) == [Set(("s",), set())]


def test_a_member_replaced_by_an_equal_one_is_a_change() -> None:
    def edit(members: Any) -> None:
        members.discard(1)
        members.add(True)

    changes = changes_of({1, "a", "b", "c"}, edit)
    assert changes == [Members(("s",), [1], [True])]
    assert isinstance(changes[0], Members)
    assert [type(each) for each in changes[0].added] == [bool]


def test_a_nan_in_a_set_can_be_removed() -> None:
    nan = float("nan")

    def edit(members: Any) -> None:
        (found,) = [each for each in members if each != each]
        members.remove(found)

    (change,) = changes_of({nan, 1, 2, 3}, edit)
    assert isinstance(change, Members)
    document = Document({"s": {nan, 1, 2, 3}})
    document.apply(unpack_changes(pack_changes([change])))
    assert document.plain() == {"s": {1, 2, 3}}


def test_a_second_nan_in_a_set_is_one_for_all_who_follow_P13() -> None:
    """Python tells nans by the object: which of them somebody else's set shares must not matter."""
    (change,) = changes_of({NAN, 1}, lambda members: members.add(float("nan")))
    assert isinstance(change, Members)
    other = Document({"s": {change.added[0], 1}}, check_edits=True)
    other.apply([change])
    assert len(other.state["s"]) == 3
    other.state["s"].add(2)
    assert other.capture() == [Members(("s",), [], [2])]
    other.apply([Members(("s",), [NAN], []), Members(("s",), [NAN], [])])
    assert other.plain() == {"s": {1, 2}}


def test_an_edit_inside_a_tuple_sets_its_slot() -> None:
    content = {"t": (1, [2], {"x": ({"y": 3}, {4})}), "u": 5}
    assert changes_of(content, lambda s: s["t"][1].append(9)) == [
        Set(("s", "t"), (1, [2, 9], {"x": ({"y": 3}, {4})}))
    ]
    assert changes_of(content, lambda s: s["t"][2]["x"][0].update(y=0)) == [
        Set(("s", "t"), (1, [2], {"x": ({"y": 0}, {4})}))
    ]
    assert changes_of([(1, [2]), 3], lambda s: s[0][1].clear()) == [Set(("s", 0), (1, []))]


def test_a_tuple_that_was_replaced_is_free() -> None:
    document = Document({"s": [(1, [2]), 3]})
    inner = document.state["s"][0][1]
    document.state["s"][0] = 0
    document.capture()
    inner.append(5)
    assert document.pending() == []
    assert inner == [2, 5]


def test_a_section_can_be_a_scalar_and_sections_come_and_go() -> None:
    document = Document({"goal": "look", "old": [1], "n": 1})
    state = document.state
    state["goal"] += " and leap"
    state["n"] += 1
    del state["old"]
    state["new"] = {"a": []}
    state["new"]["a"].append(1)
    assert document.touched() == {"goal", "n", "old", "new"}
    assert document.capture() == [
        Delete(("old",)),
        Splice(("goal",), 4, 0, " and leap"),
        Set(("n",), 2),
        Set(("new",), {"a": [1]}),
    ]


def test_what_is_pending_is_plain_and_its_own() -> None:
    document = Document({"s": [{"a": [1]}]})
    document.state["s"].append({"b": [2]})
    document.state["s"][0]["a"].append(3)
    pending = document.pending()
    assert pending == [Splice(("s",), 1, 0, [{"b": [2]}]), Splice(("s", 0, "a"), 1, 0, [3])]
    splice = pending[0]
    assert isinstance(splice, Splice)
    assert type(splice.items[0]) is dict
    document.state["s"][1]["b"].append(4)
    assert splice.items == [{"b": [2]}]
    assert len(document.pending()) == 2


def test_a_capture_of_a_large_list_looks_at_no_clean_item() -> None:
    """P11: as many calls in a list of a thousand items as in one of ten."""
    counts = []
    for size in (10, 1000):
        document = Document({"s": [{"n": n} for n in range(size)]})
        messages = document.state["s"]
        messages.append({"n": -1})
        messages[5]["n"] = 0
        calls: list[str] = []
        sys.setprofile(lambda frame, event, _, calls=calls: calls.append(event))  # type: ignore[misc]
        try:
            changes = document.capture()
        finally:
            sys.setprofile(None)
        assert len(changes) == 2
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_a_child_far_from_where_it_was_is_found() -> None:
    document = Document({"s": [{"n": n} for n in range(300)]})
    queue = document.state["s"]
    held = [queue[200], queue[210], queue[299]]
    del queue[:150]
    queue.insert(0, 0)
    document.capture()
    for each in held:
        each["m"] = 1
    assert document.capture() == [Set(("s", n, "m"), 1) for n in (51, 61, 150)]
