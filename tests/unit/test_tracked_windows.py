"""Windows: the tail of a list, edited at its true positions."""

import copy
import heapq
import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply
from perdure.core.values import same
from perdure.errors import Detached, NotStorable, ReplayMismatch, UntrackedEdit
from perdure.state import MISSING, UNLOADED, Document, TrackedList, Window

WHOLE: list[Any] = ["a", {"n": 1}, [2], {"n": 3}, "text " * 5, [5, [6]]]
OFFSET = 2


def opened(offset: int = OFFSET, *, check_edits: bool = True) -> tuple[Document, Any]:
    """A document with a window of its list, and the window."""
    sections = {
        "before": 1,
        "list": Window(copy.deepcopy(WHOLE[offset:]), offset),
        "after": [1],
    }
    document = Document(sections, check_edits=check_edits)
    return document, document.state["list"]


def replayed(changes: list[Change]) -> dict[str, Any]:
    """The whole state after these changes."""
    sections: dict[str, Any] = {"before": 1, "list": copy.deepcopy(WHOLE), "after": [1]}
    apply(sections, copy.deepcopy(changes))
    return sections


def test_a_window_is_a_list_of_the_items_it_shows() -> None:
    document, window = opened()
    shown = WHOLE[OFFSET:]
    assert type(window) is TrackedList
    assert window.offset == OFFSET
    assert document.state["after"].offset == 0
    assert TrackedList([1]).offset == 0
    assert window == shown
    assert len(window) == len(shown)
    assert window[0] == shown[0]
    assert window[-1] == shown[-1]
    assert window[1:] == shown[1:]
    assert window.index(shown[2]) == 2
    assert json.loads(json.dumps(window)) == shown
    assert window.plain() == document.plain()["list"] == shown
    assert document.is_loaded("list")
    assert document.capture() == []
    with pytest.raises(IndexError):
        window[4]


EDITS: dict[str, tuple[Callable[[Any], object], list[Change]]] = {
    "append": (lambda w: w.append("z"), [Splice(("list",), 6, 0, ["z"])]),
    "extend": (lambda w: w.extend(["y", "z"]), [Splice(("list",), 6, 0, ["y", "z"])]),
    "iadd": (lambda w: w.__iadd__(["z"]), [Splice(("list",), 6, 0, ["z"])]),
    "first": (lambda w: w.insert(0, "z"), [Splice(("list",), 2, 0, ["z"])]),
    "far back": (lambda w: w.insert(-99, "z"), [Splice(("list",), 2, 0, ["z"])]),
    "insert": (lambda w: w.insert(2, "z"), [Splice(("list",), 4, 0, ["z"])]),
    "set": (lambda w: w.__setitem__(0, 7), [Set(("list", 2), 7)]),
    "set last": (lambda w: w.__setitem__(-1, 7), [Set(("list", 5), 7)]),
    "text": (
        lambda w: w.__setitem__(2, w[2] + "!"),
        [Splice(("list", 4), 25, 0, "!")],
    ),
    "nested": (lambda w: w[1].update(m=4), [Set(("list", 3, "m"), 4)]),
    "deeper": (lambda w: w[3][1].append(7), [Splice(("list", 5, 1), 1, 0, [7])]),
    "pop": (lambda w: w.pop(), [Splice(("list",), 5, 1, [])]),
    "del": (lambda w: w.__delitem__(slice(0, 2)), [Splice(("list",), 2, 2, [])]),
    "clear": (lambda w: w.clear(), [Splice(("list",), 2, 4, [])]),
    "whole slice": (lambda w: w.__setitem__(slice(None), [7]), [Splice(("list",), 2, 4, [7])]),
    "reverse": (
        lambda w: w.reverse(),
        [Splice(("list",), 2, 4, [[5, [6]], "text " * 5, {"n": 3}, [2]])],
    ),
    "sort": (
        lambda w: w.sort(key=lambda item: item != {"n": 3}),
        [Splice(("list",), 2, 2, [{"n": 3}, [2]])],
    ),
    "repeat": (lambda w: w.__imul__(0), [Splice(("list",), 2, 4, [])]),
    "shifted": (
        lambda w: (w.pop(0), w[0].update(m=4), w.append(8)),
        [Splice(("list",), 2, 1, []), Splice(("list",), 5, 0, [8]), Set(("list", 2, "m"), 4)],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_saved_at_its_true_position(name: str) -> None:
    edit, expected = EDITS[name]
    document, window = opened()
    edit(window)
    assert document.pending() == expected
    assert window.offset == OFFSET
    assert replayed(document.capture())["list"] == WHOLE[:OFFSET] + window
    assert document.capture() == []
    window.append("more")
    assert document.capture() == [Splice(("list",), OFFSET + len(window) - 1, 0, ["more"])]


def test_an_empty_window_takes_what_is_appended() -> None:
    document, window = opened(len(WHOLE))
    assert window == []
    window.append("z")
    assert document.capture() == [Splice(("list",), 6, 0, ["z"])]
    document.apply([Splice(("list",), 7, 0, ["theirs"])])
    assert window == ["z", "theirs"]


# ---- the section as a whole -----------------------------------------------------------------


def test_assigning_the_section_sets_it_whole() -> None:
    document, window = opened()
    document.state["list"] = [1]
    assert document.state["list"].offset == 0
    assert document.capture() == [Set(("list",), [1])]
    document.state["list"].append(2)
    assert document.capture() == [Splice(("list",), 1, 0, [2])]
    window.append("free now")
    assert window.offset == 0
    assert document.capture() == []


def test_a_window_is_moved_and_copied_as_the_items_it_shows() -> None:
    document, window = opened()
    shown = WHOLE[OFFSET:]
    document.state["copy"] = window
    document.state["after"].append(window)
    document.state["moved"] = document.state.pop("list")
    moved = document.state["moved"]
    assert moved is window
    assert moved.offset == document.state["copy"].offset == document.state["after"][1].offset == 0
    changes = document.capture()
    assert replayed(changes) == {
        "before": 1,
        "after": [1, shown],
        "copy": shown,
        "moved": shown,
    }
    moved.append("z")
    assert document.capture() == [Splice(("moved",), 4, 0, ["z"])]


def test_a_window_goes_to_another_document_as_the_items_it_shows() -> None:
    document, window = opened()
    other = Document({})
    other.state["list"] = document.state.pop("list")
    assert other.state["list"] is window
    assert other.capture() == [Set(("list",), WHOLE[OFFSET:])]
    window.append("z")
    assert other.capture() == [Splice(("list",), 4, 0, ["z"])]


def test_undo_makes_it_a_window_again() -> None:
    document, window = opened()
    document.begin()
    document.state["after"].append(document.state.pop("list"))
    window.append("z")
    document.state["list"] = "other"
    document.undo()
    assert document.state["list"] is window
    assert window.offset == OFFSET
    assert document.capture() == []
    window.append("z")
    assert document.capture() == [Splice(("list",), 6, 0, ["z"])]


def test_deleting_the_section_deletes_it_whole() -> None:
    document, _ = opened()
    del document.state["list"]
    assert document.capture() == [Delete(("list",))]
    assert document.plain() == {"before": 1, "after": [1]}


def test_a_window_comes_from_a_loader_or_from_outside_too() -> None:
    document = Document(
        {"one": UNLOADED, "two": UNLOADED, "three": UNLOADED},
        load=lambda name: Window([name], 7),
        check_edits=True,
    )
    document.put("two", Window([2], 3))
    document.begin()
    assert document.state["one"].offset == 7
    document.state["three"].append("x")
    document.undo()
    for name in document.state:
        document.state[name].append("z")
    assert document.capture() == [
        Splice(("one",), 8, 0, ["z"]),
        Splice(("two",), 4, 0, ["z"]),
        Splice(("three",), 8, 0, ["z"]),
    ]


def test_replacing_gives_a_window_or_the_whole_list() -> None:
    document, window = opened()
    inner = window[1]
    document.replace({"list": Window([{"n": 9}], 20), "after": Window([1], 1)})
    assert document.state["list"] is window
    assert (window.offset, document.state["after"].offset) == (20, 1)
    with pytest.raises(Detached):
        inner["n"] = 1
    window[0]["n"] = 10
    assert document.capture() == [Set(("list", 20, "n"), 10)]
    document.replace({"list": ["whole"], "before": Window([1], 1), "after": MISSING})
    window.append("z")
    document.state["before"].append(2)
    assert document.capture() == [
        Splice(("list",), 1, 0, ["z"]),
        Splice(("before",), 2, 0, [2]),
    ]


def test_a_window_that_was_given_up_can_be_loaded_whole() -> None:
    document = Document({"list": Window([3], 3)}, load=lambda _: [1, 2, 3, 4], check_edits=True)
    document.state["list"].append(4)
    document.replace({"list": UNLOADED})
    document.state["list"].append(5)
    assert document.capture() == [Splice(("list",), 4, 0, [5])]
    assert document.state["list"].offset == 0


# ---- others' changes ------------------------------------------------------------------------

THEIRS: dict[str, tuple[Change, int]] = {
    "append": (Splice(("list",), 6, 0, ["z"]), 2),
    "insert inside": (Splice(("list",), 3, 0, ["y", "z"]), 2),
    "insert at its start": (Splice(("list",), 2, 0, ["z"]), 2),
    "remove inside": (Splice(("list",), 2, 3, []), 2),
    "remove to the end": (Splice(("list",), 2, 4, []), 2),
    "insert before": (Splice(("list",), 1, 0, ["x", "y", "z"]), 5),
    "remove before": (Splice(("list",), 0, 1, []), 1),
    "remove all before": (Splice(("list",), 0, 2, []), 0),
    "replace just before": (Splice(("list",), 1, 1, ["y", "z"]), 3),
    "remove across": (Splice(("list",), 1, 2, []), 1),
    "replace across": (Splice(("list",), 1, 3, ["x", "y", "z"]), 1),
    "replace everything": (Splice(("list",), 0, 6, ["all", "new"]), 0),
    "remove everything": (Splice(("list",), 0, 6, []), 0),
    "set inside": (Set(("list", 2), 7), 2),
    "set before": (Set(("list", 1), 7), 2),
    "nested inside": (Set(("list", 3, "m"), 7), 2),
    "nested before": (Set(("list", 1, "m"), 7), 2),
    "delete inside": (Delete(("list", 3, "n")), 2),
    "delete before": (Delete(("list", 1, "n")), 2),
    "text inside": (Splice(("list", 4), 25, 0, "!"), 2),
    "text before": (Splice(("list", 0), 1, 0, "!"), 2),
    "deeper": (Splice(("list", 5, 1), 1, 0, [7]), 2),
    "whole": (Set(("list",), ["whole"]), 0),
}


@pytest.mark.parametrize("name", THEIRS)
def test_after_others_changes_the_window_is_the_tail_of_their_list(name: str) -> None:
    change, offset = THEIRS[name]
    document, window = opened()
    whole = replayed([change])["list"]
    assert document.apply([copy.deepcopy(change)]) == []
    assert document.state["list"] is window
    assert window.offset == offset
    assert same(window.plain(), whole[offset:])
    assert document.capture() == []
    window.append("z")
    assert document.capture() == [Splice(("list",), len(whole), 0, ["z"])]


def test_live_items_follow_others_changes_and_those_cut_off_refuse_edits() -> None:
    document, window = opened()
    cut, kept = window[0], window[1]
    document.apply(
        [
            Splice(("list",), 0, 1, []),
            Splice(("list",), 0, 2, []),
            Splice(("list",), 0, 0, [0]),
            Set(("list", 1, "m"), 4),
        ]
    )
    assert (window.offset, window[1]) == (0, {"n": 3, "m": 4})
    assert window[1] is kept
    with pytest.raises(Detached):
        cut.append(1)
    kept["mine"] = 1
    assert document.capture() == [Set(("list", 1, "mine"), 1)]


def test_several_windows_and_what_is_left_to_the_loader_at_once() -> None:
    document = Document({"a": Window([1], 5), "b": UNLOADED, "c": Window([2], 8), "d": {"e": [1]}})
    left = document.apply(
        [
            Splice(("a",), 0, 2, []),
            Splice(("b",), 0, 0, [1]),
            Splice(("c",), 0, 0, [1]),
            Splice(("d", "e"), 0, 0, [0]),
        ]
    )
    assert left == [Splice(("b",), 0, 0, [1])]
    assert (document.state["a"].offset, document.state["c"].offset) == (3, 9)
    assert document.state["d"] == {"e": [0, 1]}


@pytest.mark.parametrize(
    "change",
    [
        Splice(("list",), 6, 1, []),
        Splice(("list",), 7, 0, [1]),
        Splice(("list",), 0, 7, []),
        Splice(("list",), 0, 0, "text"),
        Splice(("list",), 3, 0, "text"),
        Set(("list", 6), 1),
        Set(("list", "key"), 1),
        Delete(("list", 2)),
        Members(("list",), [], [1]),
    ],
    ids=str,
)
def test_others_changes_that_do_not_fit_leave_the_window_as_it_was(change: Change) -> None:
    document, window = opened()
    with pytest.raises(ReplayMismatch):
        document.apply([Splice(("list",), 0, 0, ["shift"]), Splice(("list",), 1, 3, []), change])
    assert window.offset == OFFSET
    assert window == WHOLE[OFFSET:]
    assert document.capture() == []
    with pytest.raises(ReplayMismatch):
        document.apply([change])
    window.append("z")
    assert document.capture() == [Splice(("list",), 6, 0, ["z"])]


# ---- errors ---------------------------------------------------------------------------------


def test_errors_name_true_positions() -> None:
    document, window = opened()
    with pytest.raises(NotStorable, match="list/3/x") as refused:
        window[1]["x"] = print
    assert refused.value.path == ("list", 3, "x")
    with pytest.raises(NotStorable) as refused:
        window.append(print)
    assert refused.value.path == ("list", 6)
    with pytest.raises(NotStorable) as refused:
        window.extend([1, {"x": print}])
    assert refused.value.path == ("list", 7, "x")
    document.close()
    with pytest.raises(Detached, match="list/5/1 belongs"):
        window[3][1].append(1)


def test_edits_behind_its_back_are_found_at_their_true_position() -> None:
    document, window = opened()
    dict.__setitem__(window[1], "n", "behind")
    with pytest.raises(UntrackedEdit, match="list/3/n"):
        document.capture()
    document, window = opened(check_edits=False)
    window[:] = [1, 2, 3]
    heapq.heappush(window, 0)
    with pytest.raises(UntrackedEdit, match="list has 4 items"):
        document.capture()
    window[:] = list(window)
    assert document.capture() == [Splice(("list",), 2, 4, [0, 1, 3, 2])]
