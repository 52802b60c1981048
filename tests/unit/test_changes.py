"""A change fits its base and alters just its place, or is refused by name."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from perdure.core.changes import (
    Change,
    Delete,
    Members,
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
from perdure.core.codec import pack
from perdure.core.values import same
from perdure.errors import Malformed, NeedsPerson, NewerFormat, ReplayMismatch

NAN = float("nan")


def state() -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "parts": ["a", b"bytes"]}, "b"],
        "plan": {"goal": "rest", "steps": 1},
        "tags": {"x", 1},
        "pair": ([1], {"k": 1}),
        "text": "hello",
    }


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        (Set(("new",), 1), "new", 1),
        (Set(("plan",), None), "plan", None),
        (Set(("plan", "steps"), 2), "plan", {"goal": "rest", "steps": 2}),
        (Set(("plan", "goal"), 2), "plan", {"goal": 2, "steps": 1}),
        (Set(("messages", 1), "c"), "messages", [state()["messages"][0], "c"]),
        (Delete(("plan", "goal")), "plan", {"steps": 1}),
        (Splice(("messages",), 0, 1, [1, 2]), "messages", [1, 2, "b"]),
        (Splice(("messages",), 2, 0, []), "messages", state()["messages"]),
        (Splice(("messages", 1), 1, 0, "c"), "messages", [state()["messages"][0], "bc"]),
        (Splice(("text",), 5, 0, "!"), "text", "hello!"),
        (Splice(("text",), 0, 5, ""), "text", ""),
        (Splice(("text",), 1, 3, "\ud800"), "text", "h\ud800o"),
        (Splice(("plan", "goal"), 0, 1, "b"), "plan", {"goal": "best", "steps": 1}),
        (Members(("tags",), ["x"], ["y", (1,)]), "tags", {1, "y", (1,)}),
        (Members(("tags",), [1], [True]), "tags", {"x", True}),
    ],
)
def test_a_change_alters_its_place_and_no_other(change: Change, path: str, expected: Any) -> None:
    made = state()
    apply(made, [change])
    assert same(made, state() | {path: expected})
    again = state()
    apply(again, unpack_changes(pack_changes([change])))
    assert same(again, made)


def test_a_key_that_is_deleted_and_set_again_is_last() -> None:
    made = {"a": 1, "b": 2}
    apply(made, [Delete(("a",)), Set(("a",), 1)])
    assert list(made) == ["b", "a"]


def test_a_bytes_value_is_spliced_where_it_is() -> None:
    made = state()
    apply(made, [Splice(("messages", 0, "parts", 1), 5, 0, b"!")])
    assert made["messages"][0]["parts"] == ["a", b"bytes!"]


def test_a_value_is_put_in_as_it_is() -> None:
    value: list[Any] = []
    made: dict[str, Any] = {"l": [0]}
    apply(made, [Set(("a",), value), Splice(("l",), 1, 0, [value])])
    assert made["a"] is value
    assert made["l"][1] is value


def test_a_nan_is_found_by_its_bytes() -> None:
    made = {"s": {NAN, 1.0, (NAN,)}}
    apply(made, [Members(("s",), [float("nan"), (float("nan"),)], ["x"])])
    assert made == {"s": {1.0, "x"}}


def test_a_nan_is_added_to_others_whichever_object_it_is() -> None:
    """As it is where the change is read from bytes (P6): there each nan is one of its own."""
    for nan in (NAN, Decimal("nan"), (1, NAN), frozenset({Decimal("nan")})):
        changes: list[Change] = [Set(("s",), {nan, 1}), Members(("s",), [], [nan])]
        made: dict[str, Any] = {}
        read: dict[str, Any] = {}
        apply(read, unpack_changes(pack_changes(changes)))
        apply(made, changes)
        assert same(made, read)
        assert len(made["s"]) == 3
        apply(made, [Members(("s",), [nan], []), Members(("s",), [nan], [])])
        assert made == {"s": {1}}


def test_text_that_arrives_in_pieces_leaves_earlier_copies_alone() -> None:
    made = {"t": "ab", "u": ["x"]}
    kept = made["t"]
    for piece in ("c", "d", "\u1234"):
        apply(made, [Splice(("t",), len(made["t"]), 0, piece)])
    assert made["t"] == "abcd\u1234"
    assert kept == "ab"


def test_text_that_arrives_in_pieces_is_not_copied_for_each() -> None:
    """Replaying n pieces would take n² time."""
    size = 10_000_000
    made = {"t": "x" * size}
    tracemalloc.start()
    try:
        apply(made, [Splice(("t",), size, 0, "y")])
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        apply(made, [Splice(("t",), size + 1, 0, "y")])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made["t"] == "x" * size + "yy"
    assert peak - before < size / 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Set((), 1), "set (state) = 1: a path has at least one part"),
        (Set(("nowhere", "k"), 1), "set nowhere/k = 1: there is no 'nowhere' in the dict there"),
        (Set(("messages", 2), 1), "set messages/2 = 1: there is no 2 in the list there"),
        (Set(("messages", -1), 1), "there is no -1 in the list"),
        (Set(("messages", "0"), 1), "there is no '0' in the list"),
        (Set(("plan", 0), 1), "there is no 0 in the dict"),
        (Set(("pair", 0), 1), "there is no 0 in the tuple"),
        (Set(("pair", 1, "k"), 1), "there is no 1 in the tuple"),
        (Set(("tags", "x"), 1), "there is no 'x' in the set"),
        (Set(("text", 0), "x"), "there is no 0 in the str"),
        (Delete(("nowhere",)), "delete nowhere: there is no 'nowhere'"),
        (Delete(("messages", 0)), "delete messages/0: what holds it is not a mapping"),
        (Splice(("messages",), 1, 2, []), "remove 2 items from messages at 1: it ends at 2"),
        (Splice(("messages",), 3, 0, [1]), "put 1 item into messages at 3: [1]: it ends at 2"),
        (Splice(("messages",), -1, 1, []), "it ends at 2"),
        (Splice(("messages",), 1, -1, []), "it ends at 2"),
        (Splice(("messages",), 0, 0, "x"), "there is a list, not a str"),
        (Splice(("text",), 0, 0, b"x"), "there is a str, not a bytes"),
        (Splice(("pair",), 0, 0, [1]), "there is a tuple, not a list"),
        (Members(("tags",), ["y"], []), "remove ['y'] from tags: 'y' is not in it"),
        (Members(("tags",), [NAN], []), "nan is not in it"),
        (Members(("tags",), [], [True]), "add [True] to tags: True is in it already"),
        (Members(("tags",), [], ["x"]), "add ['x'] to tags: 'x' is in it already"),
        (Members(("plan",), [], []), "leave plan as it is: there is a dict, not a set"),
    ],
)
def test_a_change_that_does_not_fit_is_named(change: Change, told: str) -> None:
    made = state()
    with pytest.raises(ReplayMismatch) as refused:
        apply(made, [change])
    assert told in str(refused.value)
    assert str(refused.value).startswith("cannot ")
    assert isinstance(refused.value, NeedsPerson)
    assert same(made, state())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (Set(("a", 0, "b/c"), {"k": [1, (2,)]}), "set a/0/b~1c = {'k': [1, (2,)]}"),
        (Set(("a",), "x" * 1000), f"set a = '{'x' * 58}…"),
        (Set(("a",), b"x" * 1000), f"set a = b'{'x' * 57}…"),
        (Set(("a",), 10**5000), "set a = an int of 16,610 bits"),
        (Set(("a",), [[], {}, (), set(), frozenset()]), "set a = [[], {}, (), set(), frozenset()]"),
        (Set(("a",), {"k": list(range(1000))}), "set a = {'k': [0, 1, 2, 3, 4, 5, "),
        (Splice(("a",), 1, 2, "xy"), "replace 2 characters of a at 1 by 2 characters: 'xy'"),
        (Splice(("a",), 1, 0, b"x"), "put 1 byte into a at 1: b'x'"),
        (Splice(("a",), 1000, 1, []), "remove 1 item from a at 1000"),
        (Members(("a",), [1], ["y"]), "remove [1] from a and add ['y'] to a"),
    ],
)
def test_a_change_is_told_in_a_short_line(change: Change, line: str) -> None:
    told = describe(change)
    assert told.startswith(line)
    assert len(told) < 100


def test_telling_of_a_long_value_looks_only_at_its_start() -> None:
    class Unseen:
        def __repr__(self) -> str:
            raise AssertionError

    for value in ([0] * 99 + [Unseen()], {"a": [1] * 99, "b": Unseen()}):
        assert len(describe(Set(("a",), value))) < 100


@pytest.mark.parametrize(
    ("change", "wire"),
    [
        (Set(("a", 0), 1), [1, ["a", 0], 1]),
        (Delete(("a",)), [2, ["a"]]),
        (Splice(("a",), 1, 2, "x"), [3, ["a"], 1, 2, "x"]),
        (Members(("a",), ["z", "y"], [2, 1]), [4, ["a"], ["y", "z"], [1, 2]]),
    ],
)
def test_a_change_on_the_wire(change: Change, wire: list[Any]) -> None:
    """The stored form: a change of it is a change of the format."""
    assert to_wire(change) == wire
    assert to_wire(from_wire(wire)) == wire


@pytest.mark.parametrize(
    "wire",
    [
        None,
        {},
        [],
        [1],
        [1, ["a"]],
        [1, ["a"], 1, 1],
        [1, [], 1],
        [1, "a", 1],
        [1, [0], 1],
        [1, ["a", -1], 1],
        [1, ["a", True], 1],
        [1, ["a", 1.0], 1],
        [1, ["a", None], 1],
        [True, ["a"], 1],
        [1.0, ["a"], 1],
        [0, ["a"], 1],
        [2, ["a"], 1],
        [3, ["a"], 1, 1],
        [3, ["a"], -1, 1, []],
        [3, ["a"], 1, -1, []],
        [3, ["a"], True, 1, []],
        [3, ["a"], 1, 1, (1,)],
        [3, ["a"], 1, 1, {"a": 1}],
        [4, ["a"], [1]],
        [4, ["a"], [1], {1}],
        (2, ["a"]),
    ],
    ids=str,
)
def test_what_is_no_change_is_malformed(wire: Any) -> None:
    with pytest.raises(Malformed):
        from_wire(wire)
    with pytest.raises(Malformed):
        unpack_changes(pack([wire]))


def test_a_change_of_a_newer_kind_is_of_a_newer_format_P10() -> None:
    for read in (lambda: from_wire([5, ["a"]]), lambda: unpack_changes(pack([[5, ["a"]]]))):
        with pytest.raises(NewerFormat, match=r"kind 5 is unknown.*pip install --upgrade perdure"):
            read()


def test_changes_are_one_array() -> None:
    changes: list[Change] = [Delete(("a",)), Set(("b", 1), 2)]
    assert pack_changes(changes).hex() == "92" + "920291a161" + "930192a1620102"
    assert unpack_changes(pack_changes(changes)) == changes
    assert sections_of(changes) == {"a", "b"}


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ("Dear", "Dear Ann", (4, 0, " Ann")),
        ("", "Dear", None),
        ("same", "same", None),
        ("status: open", "status: done", None),
        ("a" * 1000, "a" * 2000, (1000, 0, "a" * 1000)),
        ("a" * 1000, "a" * 900, (900, 100, "")),
        ("a" * 1000, "", None),
        ("x" * 700 + "old" + "y" * 700, "x" * 700 + "new!" + "y" * 700, (700, 3, "new!")),
        ("x" * 255 + "a" + "z" * 9000, "x" * 255 + "b" + "z" * 9000, (255, 1, "b")),
        ("x" * 256 + "a" + "z" * 9000, "x" * 256 + "b" + "z" * 9000, (256, 1, "b")),
        ("a" + "z" * 15, "b" + "z" * 15, None),
        ("a" + "z" * 16, "b" + "z" * 16, (0, 1, "b")),
    ],
    ids=range(12),
)
def test_the_smallest_splice_is_found(
    base: str, new: str, expected: tuple[int, int, str] | None
) -> None:
    splice = text_splice(("t",), base, new)
    assert splice == (None if expected is None else Splice(("t",), *expected))
    in_bytes = text_splice(("t",), base.encode(), new.encode())
    assert (in_bytes and in_bytes.items) == (splice and str(splice.items).encode())


def test_a_splice_counts_code_points_however_wide() -> None:
    base = "x" * 20 + "é" * 20 + "\ud83d"
    new = "x" * 20 + "é" * 10 + "😀" + "é" * 10 + "\ud83d"
    assert text_splice(("t",), base, new) == Splice(("t",), 30, 0, "😀")


def test_finding_an_append_compares_memory_once() -> None:
    class Counted(bytes):
        compared = 0

        def startswith(self, *args: Any) -> bool:
            Counted.compared += 1
            return super().startswith(*args)

    base = b"x" * 10_000_000
    assert text_splice(("t",), base, Counted(base + b"y")) == Splice(("t",), len(base), 0, b"y")
    assert Counted.compared == 1
    assert text_splice(("t",), base, Counted(base[:-1] + b"yz")) is not None
    assert Counted.compared < 60
