"""Each lens: what it makes, the view back, an edit put back, and what it refuses."""

from typing import Any

import pytest

import perdure
from perdure import lenses as made
from perdure.core.lens import (
    KEPT,
    Convert,
    Lens,
    Remove,
    Rename,
    Unknown,
    from_wire,
    to_wire,
    with_slots,
)
from perdure.core.lens_reach import ALL, Loss, losses, not_understood, reach
from perdure.core.lens_run import forward, get, put
from perdure.core.values import same, take
from perdure.errors import LossyLens, Malformed, MigrationFailed, NotStorable, UsageError

Document = dict[str, Any]
TABLE = {"open": 1, "closed": 2}
IN_MESSAGES = made.in_items("messages", [made.rename("text", "content"), made.remove("seen", 0)])


def newer_of(older: Document, *lenses: Lens) -> Document:
    newer: Document = take(older)
    forward(newer, with_slots(lenses, 2))
    return newer


def put_into(newer: Document, edited: Document, *lenses: Lens) -> Document:
    slotted = with_slots(lenses, 2)
    after = put(newer, edited, slotted)
    assert get(after, slotted) == edited
    return after


EACH: list[tuple[Lens, Document, Document]] = [
    (made.rename("a", "b"), {"a": 1}, {"b": 1}),
    (made.rename("p/a", "b"), {"p": {"a": 1}}, {"p": {"b": 1}}),
    (made.add("b", 0), {"a": 1}, {"a": 1, "b": 0}),
    (made.add("p/b", 0), {"p": {}}, {"p": {"b": 0}}),
    (made.remove("a", 0), {"a": 1}, {KEPT: {"a@2": [1]}}),
    (made.remove("p/a", 0), {"p": {"a": 1}}, {"p": {KEPT: {"a@2": [1]}}}),
    (made.convert("a", TABLE), {"a": "open"}, {"a": 1}),
    (made.convert("a", TABLE), {"a": None}, {"a": None}),
    (made.convert("a", "str->int"), {"a": "7"}, {"a": 7}),
    (made.wrap("a"), {"a": 1}, {"a": [1]}),
    (made.wrap("a"), {"a": None}, {"a": []}),
    (made.unwrap("a"), {"a": [1]}, {"a": 1}),
    (made.unwrap("a"), {"a": []}, {"a": None}),
    (made.unwrap("a"), {"a": None}, {"a": None, KEPT: {"a@2": None}}),
    (made.unwrap("a"), {"a": [None]}, {"a": None, KEPT: {"a@2": []}}),
    (made.unwrap("a"), {"a": [1, 2, 3]}, {"a": 1, KEPT: {"a@2": [2, 3]}}),
    (made.split("a", ("b", "c")), {"a": "x y z"}, {"b": "x", "c": "y z"}),
    (made.split("a", ("b", "c")), {"a": "x"}, {"b": "x", "c": None}),
    (made.split("a", ("a", "c")), {"a": "x y"}, {"a": "x", "c": "y"}),
    (made.split("a", ("b", "c")), {"a": None}, {"b": None, "c": None}),
    (made.merge(("a", "b"), "c"), {"a": "x", "b": "y z"}, {"c": "x y z"}),
    (
        made.merge(("a", "b"), "c"),
        {"a": "x y", "b": "z"},
        {"c": "x y z", KEPT: {"c@2": {"a": "x y", "b": "z"}}},
    ),
    (made.merge(("a", "b"), "c"), {"a": "z"}, {"c": "z", KEPT: {"c@2": {"a": "z"}}}),
    (made.merge(("a", "b"), "c"), {"b": "z"}, {"c": "z", KEPT: {"c@2": {"b": "z"}}}),
    (made.move("p/a", "a"), {"p": {"a": 1}}, {"p": {}, "a": 1}),
    (made.move("a", "p/a"), {"a": 1, "p": {"b": 2}}, {"p": {"a": 1, "b": 2}}),
    (made.move("a", "p/q/a"), {"a": 1}, {"p": {"q": {"a": 1}}, KEPT: {"a@2": 2}}),
    (
        IN_MESSAGES,
        {"messages": [{"text": "x", "seen": 1}]},
        {"messages": [{"content": "x", KEPT: {"seen@2": [1]}}]},
    ),
    (
        made.map_values("t", [made.add("owner", None)]),
        {"t": {"k": {"n": 1}}},
        {"t": {"k": {"n": 1, "owner": None}}},
    ),
]


@pytest.mark.parametrize(("lens", "older", "newer"), EACH)
def test_each_lens_goes_ahead_and_back(lens: Lens, older: Document, newer: Document) -> None:
    assert newer_of(older, lens) == newer
    slotted = with_slots([lens], 2)
    assert get(newer, slotted) == older
    assert same(put(newer, get(newer, slotted), slotted), newer)
    assert from_wire(to_wire(slotted)) == slotted


@pytest.mark.parametrize("lens", [lens for lens, _, _ in EACH if not isinstance(lens, Remove)])
def test_what_is_absent_stays_absent(lens: Lens) -> None:
    added = {"b": 0} if lens == made.add("b", 0) else {}
    assert newer_of({"z": 1}, lens) == {"z": 1, **added}
    assert get({"z": 1}, with_slots([lens], 2)) == {"z": 1}


def test_a_field_that_was_absent_when_it_was_removed_is_absent_in_the_view() -> None:
    newer = newer_of({"z": 1}, made.remove("a", 0))
    assert get(newer, with_slots([made.remove("a", 0)], 2)) == {"z": 1}


def test_older_code_sees_the_default_of_what_newer_code_made() -> None:
    assert get({}, with_slots([made.remove("a", 5)], 2)) == {"a": 5}


# ---- edits put back -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "older",
    [{"a": 1, "s": None}, {"a": 1, "s": {"t": None}}, {"a": 1, "s": {}}, {"a": 1, "s": {"t": {}}}],
)
def test_a_mapping_that_a_field_goes_to_is_in_the_view_what_it_was(older: Document) -> None:
    moving = made.move("a", "s/t/b")
    newer = newer_of(older, moving)
    assert newer["s"]["t"] == {"b": 1}
    assert get(newer, with_slots([moving], 2)) == older
    edited = {**older, "c": 2}
    assert get(put_into(newer, edited, moving), with_slots([moving], 2)) == edited


def test_a_mapping_made_none_by_the_view_holds_what_goes_there() -> None:
    newer = newer_of({"a": 1, "s": {"x": 0}}, made.move("a", "s/b"))
    assert put_into(newer, {"a": 1, "s": None}, made.move("a", "s/b"))["s"] == {"b": 1}
    again = put_into(newer_of({"a": 1, "s": None}, made.move("a", "s/b")), {"a": 1, "s": {"x": 2}})
    assert again["s"] == {"x": 2}


def test_added_fields_survive_an_edit() -> None:
    assert put_into({"a": 1, "b": 9}, {"a": 2}, made.add("b", 0)) == {"a": 2, "b": 9}


def test_a_field_that_newer_code_took_away_does_not_come_back() -> None:
    assert put_into({"a": 1}, {"a": 2}, made.add("b", 0)) == {"a": 2}


def test_wrap_replaces_the_first_and_keeps_the_others() -> None:
    assert put_into({"a": [1, 2]}, {"a": 5}, made.wrap("a")) == {"a": [5, 2]}
    assert put_into({"a": [1, 2]}, {"a": None}, made.wrap("a")) == {"a": [None, 2]}
    assert put_into({"a": [1, 2]}, {}, made.wrap("a")) == {}


def test_unwrap_keeps_the_rest_through_edits_by_either() -> None:
    lens = made.unwrap("a")
    newer = newer_of({"a": [1, 2]}, lens)
    newer["a"] = 7
    assert get(newer, with_slots([lens], 2)) == {"a": [7, 2]}
    assert put_into(newer, {"a": [7]}, lens) == {"a": 7}


def test_parts_that_were_kept_give_way_to_a_newer_text() -> None:
    lens = made.merge(("a", "b"), "c")
    newer = newer_of({"a": "x y", "b": "z"}, lens)
    newer["c"] = "q r"
    assert get(newer, with_slots([lens], 2)) == {"a": "q", "b": "r"}


def test_values_that_the_view_cannot_tell_apart_are_left_alone() -> None:
    lens = made.convert("a", "float->int", lossy=True)
    back = made.convert("a", "int->str")
    assert put({"a": "007", "z": 0}, {"a": 7, "z": 1}, (back,)) == {"a": "007", "z": 1}
    assert newer_of({"a": 1.5}, lens) == {"a": 1}


def test_items_keep_what_is_newer_by_equal_ends_or_by_position() -> None:
    lens = made.in_items("m", [made.add("n", 0)])
    newer = {"m": [{"a": 1, "n": 1}, {"a": 1, "n": 2}, {"a": 3, "n": 3}]}
    assert put_into(newer, {"m": [{"a": 1}, {"a": 9}, {"a": 3}]}, lens)["m"][1] == {"a": 9, "n": 2}
    fewer = put_into(newer, {"m": [{"a": 1}, {"a": 3}]}, lens)
    assert fewer == {"m": [{"a": 1, "n": 1}, {"a": 3, "n": 3}]}


def test_the_order_of_keys_stays() -> None:
    lens = made.rename("a", "b")
    assert list(put_into({"b": 1, "z": 2}, {"z": 3, "a": 1}, lens)) == ["b", "z"]


def test_a_field_removed_and_added_again_is_two() -> None:
    chain = (*with_slots([made.remove("a", 0)], 2), *with_slots([made.add("a", "new")], 3))
    newer = {"a": "old"}
    forward(newer, chain)
    assert newer == {KEPT: {"a@2": ["old"]}, "a": "new"}
    assert get(newer, chain) == {"a": "old"}
    assert put(newer, {"a": "edited"}, chain) == {KEPT: {"a@2": ["edited"]}, "a": "new"}


# ---- what cannot be done --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lens", "older", "path"),
    [
        (made.rename("a", "b"), {"a": 1, "b": 2}, ("b",)),
        (made.move("a", "p/a"), {"a": 1, "p": {"a": 2}}, ("p", "a")),
        (made.move("a", "p/a"), {"a": 1, "p": 3}, ("p",)),
        (made.split("a", ("b", "c")), {"a": "x", "c": 1}, ("c",)),
        (made.split("a", ("b", "c")), {"a": 1}, ("a",)),
        (made.merge(("a", "b"), "c"), {"a": "x", "b": 1}, ("a",)),
        (made.convert("a", TABLE), {"a": "half"}, ("a",)),
        (made.convert("a", TABLE), {"a": True}, ("a",)),
        (made.convert("a", "str->int"), {"a": "007"}, ("a",)),
        (made.unwrap("a"), {"a": 1}, ("a",)),
        (made.rename("p/a", "b"), {"p": [1]}, ("p",)),
        (IN_MESSAGES, {"messages": {"a": 1}}, ("messages",)),
        (IN_MESSAGES, {"messages": [{}, "text"]}, ("messages", 1)),
        (IN_MESSAGES, {"messages": [{"text": 1, "content": 2}]}, ("messages", 0, "content")),
        (made.map_values("t", [made.add("n", 0)]), {"t": []}, ("t",)),
        (made.map_values("t", [made.add("n", 0)]), {"t": {"k": 1}}, ("t", "k")),
        (Unknown(["turn", ["a"]]), {"a": 1}, ()),
        (Convert(("a",), "str->kelvin"), {"a": "1"}, ("a",)),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_changed(
    lens: Lens, older: Document, path: Any
) -> None:
    sections = {"first": [1], **take(older)}
    before = take(sections)
    chain = with_slots([made.rename("first", "second"), lens], 2)
    with pytest.raises(MigrationFailed) as refused:
        forward(sections, chain)
    assert refused.value.path == path
    assert same(sections, before)


@pytest.mark.parametrize(
    ("lens", "newer", "path"),
    [
        (made.rename("a", "b"), {"a": 1, "b": 2}, ("a",)),
        (made.wrap("a"), {"a": 1}, ("a",)),
        (made.split("a", ("b", "c")), {"b": 1}, ("b",)),
        (made.merge(("a", "b"), "c"), {"c": 1}, ("c",)),
        (made.convert("a", TABLE), {"a": 3}, ("a",)),
        (made.convert("a", "int->str"), {"a": "x"}, ("a",)),
        (made.remove("a", 0), {"a": 1}, ("a",)),
        (IN_MESSAGES, {"messages": ["x"]}, ("messages", 0)),
        (Unknown(["turn", ["a"]]), {"a": 1}, ()),
    ],
)
def test_a_newer_value_without_an_older_form_is_told(lens: Lens, newer: Any, path: Any) -> None:
    with pytest.raises(MigrationFailed) as refused:
        get(newer, with_slots([lens], 2))
    assert refused.value.path == path


def test_the_message_names_the_place_the_lens_and_what_to_do() -> None:
    with pytest.raises(MigrationFailed, match=r"^p/a: cannot convert p/a by a table: 'x' .*table$"):
        newer_of({"p": {"a": "x"}}, made.convert("p/a", TABLE))


def test_the_message_of_items_names_the_one() -> None:
    with pytest.raises(
        MigrationFailed, match=r"^messages/1: cannot change the items of messages: "
    ):
        newer_of({"messages": [{}, "text"]}, IN_MESSAGES)


# ---- storing --------------------------------------------------------------------------------


def test_a_lens_that_is_not_known_comes_back_as_it_is() -> None:
    wire = [["rename", ["a"], "b"], ["turn", ["a"], {"by": 3}]]
    assert from_wire(wire)[1] == Unknown(["turn", ["a"], {"by": 3}])
    assert to_wire(from_wire(wire)) == wire


def test_a_lens_of_which_a_newer_version_says_more_is_not_understood() -> None:
    wire = [["rename", ["a"], "b", "c"]]
    assert from_wire(wire) == (Unknown(wire[0]),)
    assert to_wire(from_wire(wire)) == wire


@pytest.mark.parametrize(
    "wire",
    [
        None,
        ["rename"],
        [[]],
        [["rename", ["a"]]],
        [["rename", ["a"], 1]],
        [["rename", [], "b"]],
        [["rename", [1], "b"]],
        [["convert", ["a"], [[1]], False]],
        [["merge", [], "c", " ", ""]],
        [["move", ["a"], [], ""]],
        [["in_items", ["a"], [["rename", ["a"]]]]],
        [["in_items", ["a"], None]],
    ],
)
def test_what_is_no_lens_is_malformed(wire: Any) -> None:
    with pytest.raises(Malformed):
        from_wire(wire)


def test_slots_are_unlike_each_other_in_a_step() -> None:
    inner = made.in_items("m", [made.remove("notes", 0)])
    found: Any = with_slots([made.remove("notes", 0), made.remove("p/notes", 0), inner], 2)
    assert [found[0].slot, found[1].slot] == ["notes@2", "notes@2.2"]
    assert found[2].lenses[0].slot == "notes@2.3"
    assert with_slots(found, 3) == found


# ---- reach and losses -----------------------------------------------------------------------


def test_reach_follows_sections_through_a_chain() -> None:
    found = reach((made.rename("a", "b"), made.move("b", "p/b"), made.add("c", 0)))
    assert found.older == {"a", "p", KEPT}
    assert found.newer == {"p", "c", KEPT}
    assert found.newer_of("a") == {"p", KEPT}
    assert "a" in found.older_of("p")
    assert found.older_of("other") == found.newer_of("other") == {"other"}
    assert found.older_of("c") == frozenset()


def test_lossy_and_unknown_lenses_are_not_understood() -> None:
    lossy = made.convert("b", "datetime->date", lossy=True)
    chain = (made.rename("a", "b"), lossy, made.rename("b", "c"), made.rename("x", "y"))
    assert not_understood(chain) == frozenset({"a", "c"})
    assert not_understood((made.rename("x", "y"),)) == frozenset()
    assert not_understood((made.in_items("m", [made.wrap("a")]), Unknown(["turn"]))) == ALL


def test_losses_are_told_with_their_places() -> None:
    inner = made.remove("a", 0, keep=False, lossy=True)
    chain = (made.in_items("m", [inner]), made.convert("s", {"a": 1, "b": 1}, lossy=True))
    assert losses(chain) == [
        Loss(("m", "a"), "the value"),
        Loss(("s",), "which of 'a' and 'b' it was"),
    ]


# ---- what makes lenses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: made.rename("a", "a"),
        lambda: made.rename("", "a"),
        lambda: made.rename("a", "perdure.kept"),
        lambda: made.rename(7, "a"),  # type: ignore[arg-type]
        lambda: made.rename((), "a"),
        lambda: made.rename(("a", 1), "b"),  # type: ignore[arg-type]
        lambda: made.add("perdure.schema", 0),
        lambda: made.convert("a", {}),
        lambda: made.convert("a", 3),  # type: ignore[arg-type]
        lambda: made.convert("a", "str->kelvin"),
        lambda: made.split("a", "bc"),
        lambda: made.split("a", ("b",)),
        lambda: made.split("a", ("b", "b")),
        lambda: made.split("a", ("b", "c"), ""),
        lambda: made.merge(("a",), "b"),
        lambda: made.merge(("a", "p/b"), "c"),
        lambda: made.move("a", "a"),
        lambda: made.in_items("a", ["rename"]),  # type: ignore[list-item]
        lambda: made.in_items("a", [Unknown([])]),
        lambda: made.map_values("a", made.wrap("b")),  # type: ignore[arg-type]
    ],
    ids=map(str, range(20)),
)
def test_arguments_are_checked(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_default_must_be_storable() -> None:
    with pytest.raises(NotStorable, match=r"^a/b: "):
        made.add("a/b", object())


def test_a_new_name_is_not_the_whole_path_again() -> None:
    with pytest.raises(UsageError, match="not a path: 'email'"):
        made.rename("customer/mail", "customer/email")
    assert made.rename("customer/mail", "email") == Rename(("customer", "mail"), "email")
    # A key may have slashes.
    assert made.rename("mails/of", "all/mails") == Rename(("mails", "of"), "all/mails")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: made.remove("p/a", 0, keep=False), "^p/a: .*the value"),
        (lambda: made.convert("a", {"x": 1, "y": 1}), "which of 'x' and 'y' it was"),
        (lambda: made.convert("a", "datetime->date"), "the time of day"),
        (lambda: made.convert("a", "str->lower"), "upper and lower case"),
    ],
    ids=["remove", "table", "conversion", "one way"],
)
def test_a_loss_must_be_declared(make: Any, told: str) -> None:
    with pytest.raises(LossyLens, match=told):
        make()


def test_the_package_names_them() -> None:
    assert perdure.lenses is made
    assert perdure.LossyLens is LossyLens
    assert perdure.MigrationFailed is MigrationFailed


@pytest.mark.parametrize("lens", [made.add("plan/b", 1), made.remove("plan/n", "")])
def test_a_mapping_that_is_none_stays_none(lens: Any) -> None:
    chain = with_slots((lens,), 2)
    sections: dict[str, Any] = {"plan": None}
    forward(sections, chain)
    assert sections == {"plan": None}
    assert get(sections, chain) == {"plan": None}
    assert put({"plan": {"b": 1}}, {"plan": None}, chain) == {"plan": None}
