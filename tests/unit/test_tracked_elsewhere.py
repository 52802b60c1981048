"""Changes from elsewhere: what others saved, made on a live tree."""

import copy

import pytest

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply
from perdure.core.values import same
from perdure.errors import Detached, ReplayMismatch
from perdure.state import MISSING, Document, TrackedDict


def test_live_nodes_follow_their_items_when_others_change_the_list() -> None:
    document = Document({"m": [{"n": 0}, {"n": 1}, {"n": 2}], "mine": []})
    held = list(document.state["m"])
    document.state["mine"].append("uncaptured")
    document.apply(
        [
            Splice(("m",), 0, 1, [{"n": "new"}, {"n": "newer"}]),
            Set(("m", 2, "by"), "them"),
            Set(("m", 3), "gone"),
        ]
    )
    assert document.state["m"] == [{"n": "new"}, {"n": "newer"}, {"n": 1, "by": "them"}, "gone"]
    assert document.state["m"][2] is held[1]
    for replaced in (held[0], held[2]):
        with pytest.raises(Detached, match=r"session\.state"):
            replaced["x"] = 1
    held[1]["mine"] = True
    assert document.capture() == [
        Splice(("mine",), 0, 0, ["uncaptured"]),
        Set(("m", 2, "mine"), True),
    ]


def test_every_change_from_elsewhere_is_made_as_replay_makes_it() -> None:
    content = {
        "d": {"a": 1, "b": [1, 2], "text": "abc", "raw": b"abc", "s": {1, "x"}, "t": (1, [2])},
        "e": "whole",
        "f": [[1]],
    }
    changes: list[Change] = [
        Set(("d", "a"), {"deep": [1]}),
        Set(("d", "new"), (1, [2])),
        Delete(("d", "t")),
        Splice(("d", "text"), 3, 0, "def"),
        Splice(("d", "raw"), 0, 1, b""),
        Splice(("d", "b"), 1, 1, [{}, []]),
        Members(("d", "s"), [1], [2, 3]),
        Set(("f", 0), "x"),
        Set(("e",), {"now": "a dict"}),
        Set(("f",), [1, 2]),
        Delete(("d",)),
        Set(("d",), {"again": 1}),
    ]
    for count in range(len(changes) + 1):
        plain = copy.deepcopy(content)
        apply(plain, copy.deepcopy(changes[:count]))
        for read in (False, True):
            document = Document(copy.deepcopy(content), check_edits=True)
            if read:
                for section in document.state.values():
                    list(section)
            document.apply(copy.deepcopy(changes[:count]))
            assert same(document.plain(), plain)
            assert document.touched() == set()
            assert document.capture() == []


def test_a_section_that_stays_of_its_kind_stays_the_same_object() -> None:
    document = Document({"l": [{"n": 1}], "d": {"x": [1]}, "s": {1}, "k": [1]})
    state = document.state
    held = [state["l"], state["d"], state["s"]]
    inner = [state["l"][0], state["d"]["x"]]
    document.apply([Set(("l",), [{"n": 2}]), Set(("d",), {"y": [2]}), Set(("s",), {2})])
    document.apply([Set(("k",), {"now": "a dict"})])
    assert [state["l"], state["d"], state["s"]] == [[{"n": 2}], {"y": [2]}, {2}]
    assert all(state[name] is node for name, node in zip("lds", held, strict=True))
    for node in inner:
        with pytest.raises(Detached):
            node.clear()
    assert document.capture() == []


@pytest.mark.parametrize(
    "change",
    [
        Set(("a", 9), 1),
        Set(("a", "x"), 1),
        Set(("none", "x"), 1),
        Delete(("none",)),
        Delete(("a", 0)),
        Splice(("a",), 1, 5, []),
        Splice(("a",), 0, 0, "text"),
        Splice(("t",), 9, 0, "text"),
        Splice(("t",), 0, 0, b""),
        Splice(("n",), 0, 0, "x"),
        Members(("s",), [9], []),
        Members(("s",), [], [1]),
        Members(("a",), [], [1]),
        Set(("t", "x"), 1),
    ],
)
def test_changes_that_do_not_fit_are_refused_whole(change: Change) -> None:
    content = {"a": [{"x": 1}], "t": "abc", "s": {1}, "n": None}
    document = Document(copy.deepcopy(content), check_edits=True)
    held = document.state["a"][0]
    with pytest.raises(ReplayMismatch):
        document.apply([Set(("a", 0), "other"), Set(("b",), [1]), change])
    assert document.plain() == content
    held["x"] = 2
    assert document.capture() == [Set(("a", 0, "x"), 2)]


def test_changes_to_a_section_with_edits_of_its_own_are_refused() -> None:
    document = Document({"a": [1], "b": [2]})
    document.state["a"].append(1)
    with pytest.raises(ValueError, match="uncaptured edits: a"):
        document.apply([Set(("b", 0), 3), Set(("a", 0), 3)])
    assert document.plain() == {"a": [1, 1], "b": [2]}


def test_new_sections_of_ours_go_after_those_of_others() -> None:
    """P13: the order is that in which the next session will find them."""
    document = Document({"a": 1, "b": 2}, check_edits=True)
    document.state["ours"] = 1
    document.state["a"] = document.state.pop("a")
    document.apply([Set(("theirs",), 2), Delete(("b",)), Set(("b",), 3)])
    assert list(document.state) == ["theirs", "b", "ours", "a"]
    base = {"a": 1, "theirs": 2, "b": 3}
    apply(base, document.capture())
    assert list(base) == list(document.state)


def test_replace_throws_edits_away_and_keeps_sections_live() -> None:
    document = Document({"l": [{"n": 1}], "d": {"x": 1}, "k": [1], "n": 1, "z": [1]})
    state = document.state
    sections = {name: state[name] for name in state}
    inner = sections["l"][0]
    inner["n"] = 2
    sections["d"]["y"] = 3
    sections["z"].append("stays")
    state["n"] = 2
    state["mine"] = [1]
    mine = state["mine"]
    document.replace(
        {"l": [{"n": 9}], "d": {}, "k": {"kind": "other"}, "n": 5, "mine": MISSING, "o": [7]}
    )
    assert document.plain() == {
        "l": [{"n": 9}],
        "d": {},
        "k": {"kind": "other"},
        "n": 5,
        "z": [1, "stays"],
        "o": [7],
    }
    assert document.touched() == {"z"}
    assert state["l"] is sections["l"]
    assert state["d"] is sections["d"]
    for node in (inner, sections["k"], mine):
        with pytest.raises(Detached, match="replaced by newer content"):
            node.clear()
    assert inner == {"n": 2}
    sections["l"][0]["m"] = 1
    sections["l"].append(1)
    assert document.capture() == [
        Splice(("z",), 1, 0, ["stays"]),
        Splice(("l",), 1, 0, [1]),
        Set(("l", 0, "m"), 1),
    ]


def test_replace_puts_a_section_deleted_here_back_where_it_was() -> None:
    document = Document({"a": [1], "b": 2, "c": 3}, check_edits=True)
    held = document.state["a"]
    del document.state["a"]
    document.state["new"] = 4
    document.replace({"a": [5]})
    assert list(document.state) == ["a", "b", "c", "new"]
    held.append(9)
    assert document.capture() == [Set(("new",), 4)]


def test_sections_stand_as_replay_orders_them_then_ours_that_are_new() -> None:
    document = Document({"a": 1, "b": 2, "c": 3})
    document.state["waits"] = 4
    document.capture()
    document.state["mine"] = 5
    document.state["a"] = document.state.pop("a")
    document.apply([Set(("theirs",), 6)], order=["a", "b", "c", "theirs", "waits"])
    assert list(document.state) == ["b", "c", "theirs", "waits", "mine", "a"]
    assert document.capture() == [Delete(("a",)), Set(("mine",), 5), Set(("a",), 1)]
    document.apply([], order=["c"])  # whoever is not named is not lost
    assert list(document.state) == ["c", "b", "theirs", "waits", "mine", "a"]


def test_a_replaced_node_goes_in_again_as_a_copy() -> None:
    document = Document({"a": [{"n": 1}]})
    old = document.state["a"][0]
    document.replace({"a": []})
    document.state["a"].append(old)
    assert document.state["a"][0] == {"n": 1}
    assert document.state["a"][0] is not old
    assert type(document.state["a"][0]) is TrackedDict
