"""Items of lists that have an id are told by it: edited, moved, gone or new."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.core.changes import Delete, Set, Splice, apply
from perdure.core.diff import Difference, diff, to_changes
from perdure.core.matching import Step, longest_rise, staying, steps
from perdure.core.values import same, take


def task(id_: Any, **more: Any) -> dict[str, Any]:
    return {"id": id_, **more}


def told(before: list[Any], after: list[Any]) -> list[str]:
    """What is told, once it was made sure that the changes make the one of the other."""
    made = {"l": take(before)}
    apply(made, to_changes({"l": before}, {"l": after}))
    assert same(made["l"], after)
    return [each.summary() for each in diff({"l": before}, {"l": after})]


def test_an_item_all_of_which_changed_is_told_by_what_changed_in_it() -> None:
    before = [task(1, text="book"), task(2, text="pay")]
    after = [task(1, note="done"), task(2, text="pay later")]
    assert told(before, after) == [
        "removed l/0/text: 'book'",
        "added l/0/note: 'done'",
        "changed l/1/text at 3: '' → ' later'",
    ]
    assert to_changes({"l": before}, {"l": after}) == [
        Splice(("l", 1, "text"), 3, 0, " later"),
        Delete(("l", 0, "text")),
        Set(("l", 0, "note"), "done"),
    ]


def test_an_item_that_moved_is_neither_gone_nor_new() -> None:
    before = [task(n) for n in "abcd"]
    after = [before[3], *before[:3]]
    assert diff({"l": before}, {"l": after}) == [Difference(("l", 0), "moved", 3, 0, ((1, "d"),))]
    assert told(before, after) == ["moved l/0: 3 → 0"]


def test_an_item_that_moved_and_changed_is_told_as_both() -> None:
    before = [task(n, text=str(n)) for n in range(5)]
    after = [take(before[4]), *before[:4]]
    after[0]["text"] = "new"
    assert told(before, after) == ["moved l/0: 4 → 0", "changed l/0/text: '4' → 'new'"]


def test_items_that_all_changed_and_changed_places() -> None:
    before = [task("a", n=1), task("b", n=1), task("c", n=1)]
    after = [task("b", n=2), task("c", n=2), task("a", n=2)]
    assert told(before, after) == [
        "changed l/0/n: 1 → 2",
        "changed l/1/n: 1 → 2",
        "moved l/2: 0 → 2",
        "changed l/2/n: 1 → 2",
    ]


def test_another_id_is_another_item_however_alike() -> None:
    assert told([task(1, text="x", n=1)], [task(2, text="x", n=1)]) == [
        "removed l/0: {'id': 1, 'text': 'x', 'n': 1}",
        "added l/0: {'id': 2, 'text': 'x', 'n': 1}",
    ]


def test_an_int_and_the_text_of_it_are_two_ids() -> None:
    assert told([task(1)], [task("1")])[0] == "removed l/0: {'id': 1}"


def test_new_items_between_those_that_stay() -> None:
    before = [task(1, n=0), task(2, n=0)]
    after = [task(9), task(1, n=1), task(8), task(2, n=1), task(7)]
    assert told(before, after) == [
        "added l/0: {'id': 9}",
        "changed l/1/n: 0 → 1",
        "added l/2: {'id': 8}",
        "changed l/3/n: 0 → 1",
        "added l/4: {'id': 7}",
    ]


@pytest.mark.parametrize("id_", [True, None, 1.0, (1,), "x" * 257])
def test_what_is_no_id_tells_nothing(id_: Any) -> None:
    """Items are matched by place, as if they had none."""
    before, after = [task(id_, n=1, m=1)], [task(id_, n=2, m=1)]
    assert told(before, after) == ["changed l/0/n: 1 → 2"]


def test_an_id_that_recurs_tells_nothing() -> None:
    before = [task(1, n=1, m=1), task(1, n=2, m=1)]
    after = [task(1, n=3, m=1), task(1, n=4, m=1)]
    assert told(before, after) == ["changed l/0/n: 1 → 3", "changed l/1/n: 2 → 4"]


def test_items_without_ids_among_those_with() -> None:
    before: list[Any] = [task(1, n=1), "note", task(2, n=1), {"x": 1, "y": 1}]
    after: list[Any] = [task(1, n=2), "other note", task(2, n=2), {"x": 1, "y": 2}]
    assert told(before, after) == [
        "changed l/0/n: 1 → 2",
        "changed l/1: 'note' → 'other note'",
        "changed l/2/n: 1 → 2",
        "changed l/3/y: 1 → 2",
    ]


def test_items_in_gaps_that_lie_apart_are_matched() -> None:
    """Both ends changed; between them is a long run that did not."""
    rest = [task(n) for n in range(100, 200)]
    before, after = [task(1, n=1), *rest], [*rest, task(1, n=2)]
    assert told(before, after) == ["moved l/100: 0 → 100", "changed l/100/n: 1 → 2"]


def test_lists_within_items_are_compared_by_ids_too() -> None:
    before = [task(1, steps=[task("a"), task("b")])]
    after = [task(1, steps=[task("b"), task("a")])]
    assert told(before, after) == ["moved l/0/steps/1: 0 → 1"]


def test_many_items_edited_and_shuffled_stay_cheap() -> None:
    """Comparing each with each would take minutes."""
    before = [task(n, n=n) for n in range(20_000)]
    after = [task(n * 7919 % 20_000, n=-1) for n in range(20_000)]
    found = diff({"l": before}, {"l": after})
    assert {each.kind for each in found} == {"moved", "changed"}
    stays = longest_rise([n * 7919 % 20_000 for n in range(20_000)])
    assert sum(each.kind == "moved" for each in found) == 20_000 - len(stays)


def test_steps_and_what_stays() -> None:
    went = {0: 5, 1: 3, 2: 4}
    assert list(staying((0, 3, 3, 6), went)) == [
        ((0, 1, 3, 3), Step(1, 3, "id")),
        ((2, 2, 4, 4), Step(2, 4, "id")),
        ((3, 3, 5, 6), None),
    ]
    found = steps([(0, 3, 3, 6)], {0: "c", 1: "a", 2: "b"}, {3: "a", 4: "b", 5: "c"})
    assert list(found) == [
        Step(1, 3, "id", "a"),
        Step(2, 4, "id", "b"),
        Step(0, 5, "moved", "c"),
    ]


def test_what_differs_inside_an_item_says_which_item_it_is() -> None:
    before = [task(7, parts=[task("x", n=1), task("y", n=1)]), task(8, n=1), {"n": 1, "m": 1}]
    after = take(before)
    after[0]["parts"][1]["n"] = 2
    after[1]["n"] = 2
    after[2]["n"] = 2
    assert [(each.path, each.ids) for each in diff({"l": before}, {"l": after})] == [
        (("l", 0, "parts", 1, "n"), ((1, 7), (3, "y"))),
        (("l", 1, "n"), ((1, 8),)),
        (("l", 2, "n"), ()),
    ]
