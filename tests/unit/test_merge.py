"""Merging two sides' changes: one readable case for each rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.property.test_delta import answered

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply, copies
from perdure.core.delta import Asking
from perdure.core.merge import MergeConflict, merge
from perdure.core.paths import Path
from perdure.core.values import same, take
from perdure.errors import UsageError
from perdure.types import Strategy

Conflicts = tuple[MergeConflict, ...]


def noted(steps: Asking, asked: list[Path]) -> Asking:
    """The same steps; what they ask for is added to `asked`."""
    answer = None
    while True:
        try:
            path = steps.send(answer)
        except StopIteration as done:
            return done.value
        asked.append(path)
        answer = yield path


def merged(
    base: dict[str, Any],
    ours: Sequence[Change],
    theirs: Sequence[Change],
    strategies: Mapping[str, Strategy] = {},
) -> tuple[dict[str, Any], Conflicts, list[Path]]:
    """The merged state, the conflicts, and what was asked for."""
    asked: list[Path] = []
    found = answered(noted(merge(ours, theirs, strategies), asked), base)
    state: dict[str, Any] = take(base)
    apply(state, copies(ours))
    apply(state, copies(found.changes))
    return state, found.conflicts, asked


def clean(
    base: dict[str, Any],
    ours: Sequence[Change],
    theirs: Sequence[Change],
    strategies: Mapping[str, Strategy] = {},
) -> dict[str, Any]:
    """The merged state, of which nothing is in conflict."""
    state, conflicts, _ = merged(base, ours, theirs, strategies)
    assert conflicts == ()
    return state


def put(at: int, *items: Any, instead: int = 0) -> Change:
    return Splice(("l",), at, instead, list(items))


# ---- mappings -------------------------------------------------------------------------------


def test_edits_of_different_keys_are_both_kept_and_nothing_is_asked_for() -> None:
    base = {"plan": {"step": 1, "of": 3}, "name": "x"}
    theirs: list[Change] = [Set(("plan", "of"), 4), Delete(("name",))]
    ours = [Set(("plan", "step"), 2)]
    state, conflicts, asked = merged(base, ours, theirs)
    assert (state, conflicts, asked) == ({"plan": {"step": 2, "of": 4}}, (), [])


def test_new_keys_go_last_ours_before_theirs() -> None:
    state = clean({"k": 0}, [Set(("z",), 1)], [Set(("a",), 2), Set(("k",), 3)])
    assert same(state, {"k": 3, "z": 1, "a": 2})


def test_a_value_changed_by_both_is_a_conflict_that_keeps_ours() -> None:
    state, conflicts, _ = merged({"n": 1}, [Set(("n",), 2)], [Set(("n",), 3)])
    assert state == {"n": 2}
    (conflict,) = conflicts
    assert conflict == MergeConflict(("n",), 1, 2, 3, "both sides changed it")
    assert conflict.summary() == "n: both sides changed it: ours 2, theirs 3, before 1"


def test_the_same_value_on_both_sides_is_no_conflict() -> None:
    assert clean({"n": 1}, [Set(("n",), 2)], [Set(("n",), 5), Set(("n",), 2)]) == {"n": 2}
    assert clean({"n": 1}, [Delete(("n",))], [Delete(("n",))]) == {}


def test_a_side_whose_edits_came_to_nothing_has_not_edited() -> None:
    back = [Set(("n",), 9), Set(("n",), 1)]
    assert clean({"n": 1}, back, [Set(("n",), 2)]) == {"n": 2}
    assert clean({"n": 1}, [Set(("n",), 2)], back) == {"n": 2}
    assert clean({}, [Set(("n",), 9), Delete(("n",))], [Set(("n",), 2)]) == {"n": 2}


def test_a_mapping_set_anew_is_compared_key_by_key() -> None:
    base = {"plan": {"step": 1, "of": 3}}
    anew = [Set(("plan",), {"step": 2, "of": 3})]
    assert clean(base, anew, [Set(("plan", "of"), 4)]) == {"plan": {"step": 2, "of": 4}}
    assert clean(base, [Set(("plan", "of"), 4)], anew) == {"plan": {"step": 2, "of": 4}}
    _, conflicts, _ = merged(base, anew, [Set(("plan", "step"), 7)])
    assert [conflict.path for conflict in conflicts] == [("plan", "step")]


def test_what_one_side_deleted_and_the_other_edited_is_a_conflict() -> None:
    base = {"plan": {"step": 1}}
    ours, theirs = [Delete(("plan",))], [Set(("plan", "step"), 2)]
    state, (conflict,), _ = merged(base, ours, theirs)
    assert state == {}
    assert (conflict.path, conflict.deleted_by, conflict.ours) == (("plan",), "ours", None)
    assert conflict.theirs == {"step": 2}
    state, (conflict,), _ = merged(base, theirs, ours)
    assert state == {"plan": {"step": 2}}
    assert conflict.deleted_by == "theirs"


def test_mappings_that_both_created_are_merged() -> None:
    ours, theirs = [Set(("p",), {"a": 1, "n": 1})], [Set(("p",), {"b": 2, "n": 2})]
    state, (conflict,), _ = merged({}, ours, theirs)
    assert same(state, {"p": {"a": 1, "n": 1, "b": 2}})
    assert (conflict.path, conflict.added, conflict.base) == (("p", "n"), True, None)
    assert conflict.summary() == "p/n: both sides changed it: ours 1, theirs 2"


# ---- sets and texts -------------------------------------------------------------------------


def test_of_sets_what_either_added_and_neither_removed() -> None:
    ours, theirs = [Members(("s",), ["a"], ["x"])], [Members(("s",), ["b"], ["x", "y"])]
    assert clean({"s": {"a", "b", "c"}}, ours, theirs) == {"s": {"c", "x", "y"}}


def test_sets_set_anew_are_compared_with_the_base() -> None:
    ours, theirs = [Set(("s",), {"b", "x"})], [Set(("s",), {"a", "b", "y"})]
    assert clean({"s": {"a", "b"}}, ours, theirs) == {"s": {"b", "x", "y"}}


def test_of_one_and_true_which_a_set_holds_once_ours_stays() -> None:
    state = clean({"s": set()}, [Members(("s",), [], [1])], [Members(("s",), [], [True, 2])])
    assert same(state, {"s": {1, 2}})


def test_a_text_edited_by_one_side_is_as_that_has_it_and_by_both_a_conflict() -> None:
    ours, theirs = [Splice(("t",), 4, 0, " Ann")], [Splice(("t",), 4, 0, " Bob")]
    assert clean({"t": "Dear", "n": 1}, ours, [Set(("n",), 2)]) == {"t": "Dear Ann", "n": 2}
    assert clean({"t": "Dear"}, ours, ours) == {"t": "Dear Ann"}
    _, (conflict,), _ = merged({"t": "Dear"}, ours, theirs)
    assert (conflict.base, conflict.ours, conflict.theirs) == ("Dear", "Dear Ann", "Dear Bob")


# ---- lists ----------------------------------------------------------------------------------


def test_positions_are_moved_by_what_the_other_side_did_before_them() -> None:
    base = {"l": list("abcdef")}
    ours, theirs = [put(0, "x", "y"), put(4, instead=1)], [put(4, "E", instead=1), put(6, "z")]
    state, conflicts, asked = merged(base, ours, theirs)
    assert (state, conflicts, asked) == ({"l": list("xyabdEfz")}, (), [])
    assert clean(base, theirs, ours) == state


def test_edits_of_one_item_are_merged_wherever_it_is_now() -> None:
    base: dict[str, Any] = {"l": ["a", {"n": 1, "m": 1}]}
    state = clean(base, [put(0, "x"), Set(("l", 2, "n"), 2)], [Set(("l", 1, "m"), 3)])
    assert state == {"l": ["x", "a", {"n": 2, "m": 3}]}
    _, (conflict,), _ = merged(base, [put(0, "x"), Set(("l", 2, "n"), 2)], [Set(("l", 1, "n"), 3)])
    assert conflict.path == ("l", 2, "n")


def test_the_same_run_on_both_sides_comes_once() -> None:
    assert clean({"l": ["a"]}, [put(1, "b")], [put(1, "b")]) == {"l": ["a", "b"]}


def test_items_that_either_removed_are_gone() -> None:
    state = clean({"l": list("abcdef")}, [put(0, instead=3)], [put(2, instead=3)])
    assert state == {"l": ["f"]}


def test_runs_at_one_place_are_a_conflict_and_nothing_else_of_the_list_is_asked_for() -> None:
    base = {"l": list("abc")}
    state, (conflict,), asked = merged(base, [put(3, "x")], [put(3, "y", "z"), put(0, instead=1)])
    assert state == {"l": ["b", "c", "x"]}
    assert (conflict.path, conflict.run) == (("l", 3), True)
    assert (conflict.base, conflict.ours, conflict.theirs) == ([], ["x"], ["y", "z"])
    assert asked == []


def test_a_run_replaced_by_one_side_and_cut_by_the_other_is_a_conflict() -> None:
    state, (conflict,), _ = merged(
        {"l": list("abcd")}, [put(1, "B", instead=1)], [put(1, instead=2)]
    )
    assert state == {"l": list("aBcd")}
    assert (conflict.path, conflict.base) == (("l", 1), ["b", "c"])
    assert (conflict.ours, conflict.theirs) == (["B", "c"], [])


def test_an_item_that_one_side_removed_and_the_other_edited_is_a_conflict() -> None:
    base: dict[str, Any] = {"l": [{"n": 1}, {"n": 2}, {"n": 3}]}
    removed, edited = [put(0, instead=2)], [Set(("l", 1, "n"), 9)]
    state, (conflict,), _ = merged(base, removed, edited)
    assert state == {"l": [{"n": 3}]}
    assert (conflict.path, conflict.deleted_by) == (("l", 0), "ours")
    state, (conflict,), _ = merged(base, edited, removed)
    assert state == {"l": [{"n": 9}, {"n": 3}]}
    assert (conflict.path, conflict.deleted_by) == (("l", 1), "theirs")
    assert clean(base, removed, edited, {"l/*": "theirs"}) == {"l": [{"n": 9}, {"n": 3}]}
    assert clean(base, edited, removed, {"l/*": "theirs"}) == {"l": [{"n": 3}]}


# ---- items with ids -------------------------------------------------------------------------


def item(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, **fields}


def test_an_item_moved_by_one_side_and_edited_by_the_other_is_both() -> None:
    base: dict[str, Any] = {"l": [item("a", n=1), item("b"), item("c")]}
    moved = [put(0, instead=1), put(2, item("a", n=1))]
    edited = [Set(("l", 0, "n"), 2)]
    wanted = {"l": [item("b"), item("c"), item("a", n=2)]}
    assert clean(base, moved, edited) == wanted
    assert clean(base, edited, moved) == wanted


def test_an_item_rewritten_under_its_id_is_merged_with_edits_of_it() -> None:
    base: dict[str, Any] = {"l": [item("a", n=1, m=1), item("b")]}
    rewritten = [put(0, item("a", n=2, m=1), instead=1)]
    wanted = {"l": [item("a", n=2, m=5), item("b")]}
    assert clean(base, rewritten, [Set(("l", 0, "m"), 5)]) == wanted
    assert clean(base, [Set(("l", 0, "m"), 5)], rewritten) == wanted
    assert clean(base, rewritten, [put(0, item("a", n=1, m=5), instead=1)]) == wanted


def test_items_that_both_put_in_under_one_id_are_merged() -> None:
    base: dict[str, Any] = {"l": [item("a"), item("b")]}
    ours, theirs = [put(2, item("x", n=1))], [put(0, item("x", m=2))]
    assert clean(base, ours, theirs) == {"l": [item("a"), item("b"), item("x", n=1, m=2)]}


def test_an_id_that_comes_twice_on_one_side_loses_no_item() -> None:
    base: dict[str, Any] = {"l": [item("a"), item("b")]}
    ours = [put(0, item("a", copy=1))]
    state, (conflict,), _ = merged(base, ours, [put(0, instead=1)])
    assert state == {"l": [item("a", copy=1), item("a"), item("b")]}
    assert (conflict.ours, conflict.theirs) == ([item("a", copy=1), item("a")], [])


def test_one_item_moved_to_two_places_is_a_conflict_about_the_run() -> None:
    base: dict[str, Any] = {"l": [item(name) for name in "abcd"]}
    ours = [put(0, instead=1), put(1, item("a"))]
    theirs = [put(0, instead=1), put(3, item("a"))]
    state, (conflict,), _ = merged(base, ours, theirs)
    assert [each["id"] for each in state["l"]] == list("bacd")
    assert conflict.run


# ---- strategies -----------------------------------------------------------------------------


def test_ours_and_theirs() -> None:
    base = {"n": 1, "l": ["a"]}
    ours, theirs = [Set(("n",), 2), put(1, "x")], [Set(("n",), 3), put(1, "y")]
    assert clean(base, ours, theirs, {"n": "ours", "l": "ours"}) == {"n": 2, "l": ["a", "x"]}
    assert clean(base, ours, theirs, {"*": "theirs"}) == {"n": 3, "l": ["a", "y"]}


def test_append_puts_our_whole_run_before_theirs_and_asks_for_nothing() -> None:
    ours, theirs = [put(1, "x"), put(2, "y")], [put(1, "u"), put(2, "v")]
    state, conflicts, asked = merged({"l": ["a"]}, ours, theirs, {"l": "append"})
    assert (state, conflicts, asked) == ({"l": list("axyuv")}, (), [])


def test_append_of_texts_and_mappings() -> None:
    ours, theirs = [Splice(("t",), 4, 0, " Ann")], [Splice(("t",), 4, 0, " Bob")]
    assert clean({"t": "Dear"}, ours, theirs, {"t": "append"}) == {"t": "Dear Ann Bob"}
    _, (conflict,), _ = merged({"t": "Dear"}, ours, [Set(("t",), "No")], {"t": "append"})
    assert "more was done to the text" in conflict.reason
    state = clean({"p": 1}, [Set(("p",), {"a": 1})], [Set(("p",), {"b": 1})], {"p": "append"})
    assert state == {"p": {"a": 1, "b": 1}}


def test_lists_as_sets() -> None:
    ours, theirs = [put(0, instead=1), put(1, "x", "y")], [put(2, "y", "z")]
    assert clean({"l": ["a", "b"]}, ours, theirs, {"l": "set"}) == {"l": ["b", "x", "y", "z"]}
    theirs = [put(0, item("b", m=1)), put(0, item("c"))]
    state = clean({"l": []}, [put(0, item("b", n=1))], theirs, {"l": "set"})
    assert state == {"l": [item("b", n=1, m=1), item("c")]}


def test_a_counter_adds_up_what_both_added_even_if_it_is_the_same() -> None:
    both: dict[str, Strategy] = {"n": "counter"}
    assert clean({"n": 5}, [Set(("n",), 6)], [Set(("n",), 6)], both) == {"n": 7}
    assert clean({"n": 5}, [Set(("n",), 4)], [Set(("n",), 7.5)], both) == {"n": 6.5}
    assert clean({}, [Set(("n",), 2)], [Set(("n",), 3)], both) == {"n": 5}


def test_counters_add_up_inside_what_both_set_anew_alike() -> None:
    rules: dict[str, Strategy] = {"use/tokens": "counter"}
    anew = [Set(("use",), {"tokens": 6, "of": ["x"]})]
    base = {"use": {"tokens": 5, "of": ["x"]}}
    assert clean(base, anew, anew, rules) == {"use": {"tokens": 7, "of": ["x"]}}
    assert clean({}, anew, anew, rules) == {"use": {"tokens": 12, "of": ["x"]}}


def test_a_counter_that_one_side_left_alone_is_what_the_other_made_of_it() -> None:
    rules: dict[str, Strategy] = {"n": "counter"}
    back = [Set(("n",), 1.0), Set(("n",), 0.1)]
    assert clean({"n": 0.1}, back, [Set(("n",), 0.3)], rules) == {"n": 0.3}
    assert clean({"n": 0.1}, [Set(("n",), 0.3)], back, rules) == {"n": 0.3}


def test_a_strategy_that_does_not_fit_leaves_a_conflict() -> None:
    for value in ({"a": 1}, True, "1"):
        state, (conflict,), _ = merged(
            {"n": 5}, [Set(("n",), 6)], [Set(("n",), value)], {"n": "counter"}
        )
        assert state == {"n": 6}
        assert "a counter is an int or a float" in conflict.reason
    state, (conflict,), _ = merged(
        {"n": 0}, [Set(("n",), 0.5)], [Set(("n",), 10**400)], {"n": "counter"}
    )
    assert state == {"n": 0.5}
    assert "too large" in conflict.reason


def test_a_function_is_called_with_what_is_at_its_path() -> None:
    def joined(base: Any, ours: Any, theirs: Any) -> Any:
        calls.append((base, ours, theirs))
        return {"step": ours["step"] + theirs["step"]}

    calls: list[Any] = []
    base = {"plan": {"step": 1}}
    ours, theirs = [Set(("plan", "step"), 2)], [Set(("plan", "step"), 5)]
    assert clean(base, ours, theirs, {"plan": joined}) == {"plan": {"step": 7}}
    assert calls == [({"step": 1}, {"step": 2}, {"step": 5})]


def test_a_function_may_edit_what_it_is_given() -> None:
    def updated(base: Any, ours: Any, theirs: Any) -> Any:
        base.clear()
        ours.update(theirs)
        theirs.clear()
        return ours

    ours, theirs = [Set(("plan", "a"), [1])], [Set(("plan", "b"), [2])]
    state = clean({"plan": {"old": 0}}, ours, theirs, {"plan": updated})
    assert state == {"plan": {"old": 0, "a": [1], "b": [2]}}
    assert (ours, theirs) == ([Set(("plan", "a"), [1])], [Set(("plan", "b"), [2])])

    def extended(base: Any, ours: Any, theirs: Any) -> Any:
        ours += theirs
        return ours

    assert clean({"l": []}, [put(0, "x")], [put(0, "y")], {"l/**": extended}) == {"l": ["x", "y"]}


def test_a_function_below_whose_pattern_things_meet_is_called_with_those() -> None:
    calls: list[Any] = []

    def longest(base: Any, ours: Any, theirs: Any) -> Any:
        calls.append((base, ours, theirs))
        return theirs

    ours, theirs = [put(1, "x"), Set(("n",), 1)], [put(1, "y", "z"), Set(("n",), 2)]
    state = clean({"l": ["a"]}, ours, theirs, {"**": longest})
    assert state == {"l": ["a", "y", "z"], "n": 2}
    assert sorted(calls, key=str) == [(None, 1, 2), ([], ["x"], ["y", "z"])]


def test_what_a_function_raises_passes_and_says_where() -> None:
    def broken(base: Any, ours: Any, theirs: Any) -> Any:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        merged({"n": 1}, [Set(("n",), 2)], [Set(("n",), 3)], {"n": broken})
    assert caught.value.__notes__ == ["while merging n"]


def test_the_most_specific_pattern_wins() -> None:
    base = {"plan": {"a": {"status": 0, "note": 0}}}
    ours = [Set(("plan", "a", "status"), 1), Set(("plan", "a", "note"), 1)]
    theirs = [Set(("plan", "a", "status"), 2), Set(("plan", "a", "note"), 2)]
    state = clean(base, ours, theirs, {"plan/*/status": "theirs", "plan": "ours", "**": "error"})
    assert state == {"plan": {"a": {"status": 2, "note": 1}}}
    state = clean(base, ours, theirs, {"plan/*": "theirs", "plan/**": "ours"})
    assert state == {"plan": {"a": {"status": 2, "note": 2}}}


@pytest.mark.parametrize(
    "strategies",
    [{"n": "newest"}, {"a/**/b": "ours"}, {"n": None}, {"/n": "ours"}, {"": "ours"}, {"/": "ours"}],
)
def test_what_is_no_strategy_is_refused(strategies: Any) -> None:
    with pytest.raises(UsageError):
        next(merge([], [], strategies))


def test_merging_alters_neither_sides_changes() -> None:
    ours, theirs = [put(0, {"n": [1]})], [put(0, {"n": [2]}), Set(("l", 0, "n", 0), 3)]
    merged({"l": []}, ours, theirs, {"l": "append"})
    assert ours == [put(0, {"n": [1]})]
    assert theirs == [put(0, {"n": [2]}), Set(("l", 0, "n", 0), 3)]
