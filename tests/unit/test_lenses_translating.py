"""Changes made through the view of a lens, as what they are to what is stored."""

import pytest
from tests.unit.test_lenses import IN_MESSAGES, TABLE, Document, newer_of

from perdure import lenses as made
from perdure.core.changes import Change, Delete, Set, Splice, apply
from perdure.core.lens import (
    KEPT,
    Lens,
    Unknown,
    with_slots,
)
from perdure.core.lens_changes import translate
from perdure.core.lens_run import get
from perdure.core.values import same, take
from perdure.errors import MigrationFailed


def translated(newer: Document, changes: list[Change], *lenses: Lens) -> list[Change]:
    before = take(newer)
    found = translate(changes, newer, with_slots(lenses, 2))
    assert same(newer, before)
    return found


def test_paths_are_renamed_and_splices_stay_splices() -> None:
    newer = newer_of({"messages": [{"text": "hi", "seen": 1}]}, IN_MESSAGES)
    changes: list[Change] = [
        Splice(("messages",), 1, 0, [{"text": "yo"}]),
        Set(("messages", 1, "text"), "you"),
        Splice(("messages", 0, "text"), 2, 0, "!"),
        Set(("messages", 0, "seen"), 2),
        Delete(("messages", 1, "text")),
        Set(("unread",), 5),
    ]
    assert translated(newer, changes, IN_MESSAGES) == [
        Splice(("messages",), 1, 0, [{"content": "yo", KEPT: {"seen@2": []}}]),
        Set(("messages", 1, "content"), "you"),
        Splice(("messages", 0, "content"), 2, 0, "!"),
        Splice(("messages", 0, KEPT, "seen@2"), 0, 1, [2]),
        Delete(("messages", 1, "content")),
        Set(("unread",), 5),
    ]


def test_of_two_equal_items_the_one_that_was_removed_goes() -> None:
    lens = made.in_items("m", [made.add("n", 0)])
    newer = {"m": [{"a": 1, "n": 1}, {"a": 1, "n": 2}]}
    found = translated(newer, [Splice(("m",), 0, 1, [])], lens)
    apply(newer, found)
    assert newer == {"m": [{"a": 1, "n": 2}]}


def test_a_mapping_set_as_a_whole_keeps_its_newer_fields() -> None:
    lens = made.map_values("t", [made.add("owner", None)])
    newer = {"t": {"k": {"n": 1, "owner": "ann"}}}
    assert translated(newer, [Set(("t", "k"), {"n": 2})], lens) == [Set(("t", "k", "n"), 2)]
    assert translated(newer, [Set(("t",), {"k": {"n": 2}})], lens) == [Set(("t", "k", "n"), 2)]
    plan = {"plan": {"goal": 1, "budget": 5}}
    changes: list[Change] = [Set(("plan",), {"goal": 2})]
    assert translated(plan, changes, made.add("plan/budget", 0)) == [Set(("plan", "goal"), 2)]


def test_a_section_beside_those_of_lenses_need_not_be_there() -> None:
    changes: list[Change] = [Set(("far", "away"), 1), Set(("a",), 2)]
    found = translated({"b": 1}, changes, made.rename("a", "b"))
    assert found == [Set(("far", "away"), 1), Set(("b",), 2)]


def test_an_edit_that_takes_the_name_of_a_newer_field_is_refused() -> None:
    with pytest.raises(MigrationFailed, match="there is a field already"):
        translated({"b": 1}, [Set(("b",), 2)], made.rename("a", "b"))


def test_a_mapping_that_a_move_made_is_in_the_view_once_it_was_edited() -> None:
    lens = made.move("a", "p/a")
    newer = newer_of({"a": 1}, lens)
    newer["p"]["b"] = 2
    apply(newer, translated(newer, [Delete(("p", "b"))], lens))
    assert get(newer, with_slots([lens], 2)) == {"a": 1, "p": {}}


def test_lenses_of_one_list_work_one_after_another() -> None:
    one, other = made.rename("text", "content"), made.rename("content", "body")
    chain = (made.in_items("m", [one]), made.in_items("m", [other]))
    found = translated({"m": [{"body": "x"}]}, [Set(("m", 0, "text"), "y")], *chain)
    assert found == [Set(("m", 0, "body"), "y")]


def test_items_are_found_where_their_list_was_moved() -> None:
    chain = (made.in_items("p/m", [made.rename("a", "b")]), made.move("p/m", "m"))
    newer = newer_of({"p": {"m": [{"a": 1}]}}, *chain)
    changes: list[Change] = [Set(("p", "m", 0, "a"), 2)]
    assert translated(newer, changes, *chain) == [Set(("m", 0, "b"), 2)]


def test_what_holds_a_list_is_set_by_putting_its_items() -> None:
    lens = made.in_items("p/m", [made.rename("a", "b"), made.add("n", 0)])
    newer = {"p": {"m": [{"b": 1, "n": 7}]}}
    changes: list[Change] = [Set(("p",), {"m": [{"a": 2}]})]
    assert translated(newer, changes, lens) == [Set(("p", "m", 0, "b"), 2)]


def test_each_change_is_made_to_what_those_before_it_left() -> None:
    lens = made.in_items("m", [made.split("a", ("b", "c"))])
    newer = newer_of({"m": [{"a": "x y"}]}, lens)
    changes: list[Change] = [Splice(("m",), 0, 0, [{"a": "p q"}]), Set(("m", 1, "a"), "x z")]
    assert translated(newer, changes, lens)[1:] == [Set(("m", 1, "c"), "z")]


def test_a_mapping_that_newer_code_took_away_is_made_for_an_edit() -> None:
    lens = made.move("p/a", "a")
    found = translated({"a": 1}, [Set(("p", "x"), 2)], lens)
    assert found == [Set(("p",), {"x": 2})]


def test_a_unit_leaves_out_lenses_of_other_fields() -> None:
    chain = (made.convert("a", TABLE), made.remove("a", 0), made.split("b", ("c", "d")))
    newer = newer_of({"a": "open", "b": "x y"}, *chain)
    assert translated(newer, [Set(("b",), "x z")], *chain) == [Set(("d",), "z")]
    assert not {KEPT} & {change.path[0] for change in translated(newer, [Delete(("b",))], *chain)}


def test_a_unit_has_all_lenses_that_follow_one_another() -> None:
    chain = (made.rename("a", "b"), made.split("b", ("c", "d")), made.wrap("d"))
    newer = newer_of({"a": "x y"}, *chain)
    assert translated(newer, [Set(("a",), "x z")], *chain) == [Splice(("d",), 0, 1, ["z"])]


def test_an_unknown_lens_lets_no_edit_through() -> None:
    with pytest.raises(MigrationFailed, match="upgrade Perdure"):
        translated({"b": 1}, [Set(("a",), 2)], made.rename("a", "b"), Unknown(["turn"]))
