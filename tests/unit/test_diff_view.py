"""How differences are shown to people: what stands on which line, how much of it, and how wide."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest

from perdure.cli.diff_sections import below, place
from perdure.cli.diff_texts import places
from perdure.cli.diff_values import in_short
from perdure.cli.diff_view import stat, summary, view
from perdure.cli.output import width_of
from perdure.core.diff import diff

WORDS = "one two three four five six seven eight nine ten eleven twelve "


def shown(before: Any, after: Any, width: int | None = None) -> list[str]:
    """The lines below the heading of the one section `s` that differs."""
    head, *lines = view(diff({"s": before}, {"s": after}), width)
    assert head.startswith("s  ")
    return lines


def said(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


# ---- sections and places --------------------------------------------------------------------


def test_a_heading_a_section_and_below_it_the_places() -> None:
    before = {"plan": {"goal": "refund", "n": 1, "old": [1]}, "gone": 1, "same": {"a": 1}}
    after = {"plan": {"goal": "replace", "n": 2, "new": True}, "same": {"a": 1}, "new": "x"}
    assert list(view(diff(before, after))) == [
        "plan  2 changed, 1 added, 1 removed",
        "  plan/goal",
        "    - 'refund'",
        "    + 'replace'",
        "  plan/n",
        "    - 1",
        "    + 2",
        "  plan/old",
        "    - [1]",
        "  plan/new",
        "    + True",
        "gone  removed",
        "    - 1",
        "new  added",
        "    + 'x'",
    ]


def test_nothing_is_shown_of_what_is_the_same() -> None:
    assert list(view([])) == list(summary([])) == list(stat([])) == []


def test_items_with_an_id_are_named_by_it() -> None:
    before = [{"id": 17, "s": "open"}, {"id": "a/b\n", "s": "open"}, {"id": "x"}]
    after = [{"id": "x"}, {"id": 17, "s": "done"}, {"id": "new", "s": 1}]
    assert shown(before, after) == [
        "  s/1#a~1b~ua;",
        "    - {'id': 'a/b\\n', 's': 'open'}",
        "  s/1#17  moved from 0 to 1",
        "  s/1#17/s",
        "    - 'open'",
        "    + 'done'",
        "  s/2#new",
        "    + {'id': 'new', 's': 1}",
    ]


def test_neighbours_in_a_list_are_shown_as_one_place() -> None:
    assert shown([0, 1], [0, "a", "b", 1]) == [
        "  s/1…2  2 items inserted",
        "    + 'a'",
        "    + 'b'",
    ]
    assert shown([*range(40), 99], [*range(52), 99]) == [
        "  s/40…51  12 items inserted",
        "    + 40",
        "    + … 10 more items",
        "    + 51",
    ]
    assert shown([*range(12), 99], [99]) == [
        "  s/0…11  12 items removed",
        "    - 0",
        "    - … 10 more items",
        "    - 11",
    ]


def test_items_that_are_no_neighbours_are_places_of_their_own() -> None:
    assert shown([0, 2, 4], [0, 1, 2, 3, 4]) == ["  s/1", "    + 1", "  s/3", "    + 3"]
    assert shown({"a": [], "b": []}, {"a": [0], "b": [1]}) == [
        "  s/a/0",
        "    + 0",
        "  s/b/0",
        "    + 1",
    ]
    # What went and what came at one place of a list are not one run.
    assert shown([{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}]) == [
        "  s/0…1  2 items removed",
        "    - {'id': 1}",
        "    - {'id': 2}",
        "  s/0…1  2 items inserted",
        "    + {'id': 3}",
        "    + {'id': 4}",
    ]


def test_keys_in_another_order() -> None:
    before = {"s": {"x": 1, "a": 1, "b": 2}, "t": 1}
    after = {"t": 1, "s": {"x": 1, "b": 2, "a": 1}}
    assert list(view(diff(before, after))) == [
        "s  reordered: keys in another order",
        "    - ['a', 'b']",
        "    + ['b', 'a']",
        "(state)  reordered: keys in another order",
        "    - ['s', 't']",
        "    + ['t', 's']",
    ]


def test_a_path_of_odd_keys_is_written_so_that_show_takes_it() -> None:
    before: Any = {"a/b": {"c~": {"\x1b": 1}}}
    found = diff(before, {"a/b": {"c~": {"\x1b": 2}}})
    assert place(found) == "a~1b/c~0/~u1b;"
    assert below(found, place(found)) == found


# ---- values ---------------------------------------------------------------------------------


def test_messages_of_a_chat_are_a_line_each() -> None:
    after = [
        said("Where is\nmy order?", **{"$message": "HumanMessage"}),  # as LangGraph's are kept
        said("One moment.", "assistant", tool_calls=[1], id="m2"),
        {"role": "assistant", "content": [{"type": "text", "text": "It"}, {"type": "tool_use"}]},
    ]
    assert shown([], after) == [
        "  s/0…2  3 items inserted",
        "    + user: Where is\\nmy order?",
        "    + assistant (with tool_calls): One moment.",
        "    + assistant: It [tool_use]",
    ]
    assert shown([], [said("word " * 1000)], 60)[1] == (
        "    + user: word word word word word wor… (5,000 characters)"
    )


@pytest.mark.parametrize(
    "value",
    [
        {"role": "user"},
        {"content": "x"},
        {"role": 1, "content": "x"},
        {"role": "", "content": "x"},
        {"role": "u" * 33, "content": "x"},
        {"role": "user", "content": 1},
        {"role": "user", "content": ["x"]},
    ],
)
def test_what_only_looks_like_a_message_is_shown_as_it_is(value: Any) -> None:
    assert in_short(value, 80) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a" * 100, "'aaaaaaaaaaaaaaaaaaa… (100 characters)"),
        (b"a" * 100, "b'aaaaaaaaaaaaaaaaaaaaaaa… (100 bytes)"),
        ([1] * 100, "[1, 1, 1, 1, 1, 1, 1, 1, … (100 items)"),
        ({str(n): n for n in range(100)}, "{'0': 0, '1': 1, '2': 2, '… (100 keys)"),
        ("日本" * 50, "'日本日本日本日本日 … (100 characters)"),
        ("\x1b" * 100, "'\\x1b\\x1b\\x1b\\x1b\\x1… (100 characters)"),
        ("e\u0301" * 30, None),
    ],
)
def test_what_is_too_long_is_cut_and_its_size_told(value: Any, text: str | None) -> None:
    short = in_short(value, 38)
    assert width_of(short) <= 38
    assert text is None or short == text
    assert short.isprintable()


def test_a_container_that_is_too_long_for_a_line_is_shown_in_some() -> None:
    value = {f"k{n}": "v" * n * 9 for n in range(10)}
    assert shown({}, {"d": value}, 60) == [
        "  s/d",
        *[f"    + 'k{n}': '{'v' * n * 9}'" for n in range(6)],
        "    + 'k6': 'vvvvvvvvvvvvvvvvvvvvvvvvvvvvvv… (54 characters)",
        "    + … 3 more keys",
    ]
    assert shown({"d": ["v" * 50] * 5}, {}, 50)[1:] == [
        "    - 'vvvvvvvvvvvvvvvvvvvvvvvvvv… (50 characters)",
        "    - … 3 more items",
        "    - 'vvvvvvvvvvvvvvvvvvvvvvvvvv… (50 characters)",
    ]


def test_sets_and_bytes_by_what_differs_in_them() -> None:
    assert shown({1, 2, 3}, {2, 3, 4}) == ["    - 1", "    + 4"]
    assert list(view(diff({"s": bytes(50)}, {"s": bytes(20) + b"xy" + bytes(28)}))) == [
        "s  changed: at byte 20 of 50",
        "    - b'\\x00\\x00'",
        "    + b'xy'",
    ]
    assert shown(b"ab", b"cd") == ["    - b'ab'", "    + b'cd'"]
    head, line = view(diff({"s": bytes(50)}, {"s": bytes(50) + b"xy"}))
    assert (head, line) == ("s  changed: 2 bytes appended", "    + …b'xy'")


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), ((1,), [1]), (None, "None")])
def test_values_of_another_type(before: Any, after: Any) -> None:
    assert shown(before, after) == [f"    - {before!r}", f"    + {after!r}"]


# ---- texts ----------------------------------------------------------------------------------


def test_short_texts_are_shown_whole() -> None:
    assert shown("open", "opened") == ["    - 'open'", "    + 'opened'"]


def test_what_was_appended_to_a_text() -> None:
    head, line = view(diff({"s": WORDS * 20}, {"s": WORDS * 20 + "and\x07 more"}))
    assert head == "s  changed: 9 characters appended"
    assert line == "    + …'and\\x07 more'"
    [_, line] = view(diff({"s": WORDS}, {"s": WORDS * 20}), 60)
    assert line.endswith("… (1,197 characters)")


def test_a_word_changed_in_a_long_text_with_a_few_around_it() -> None:
    before = WORDS * 20 + "on Monday as agreed. " + WORDS * 20
    head, *lines = view(diff({"s": before}, {"s": before.replace("Monday", "Tuesday")}), 80)
    assert head == "s  changed: 1 place in 2,541 → 2,542 characters"
    assert lines == [
        "    - …'ten eleven twelve on Monday as agreed. one two'…",
        "    + …'ten eleven twelve on Tuesday as agreed. one two'…",
    ]


def test_places_far_apart_are_shown_apart_and_only_some() -> None:
    words = [f"word{n}" for n in range(90)]
    before = " ".join(words)
    after = " ".join(f"new{n}" if n % 10 == 0 else word for n, word in enumerate(words))
    head, *lines = view(diff({"s": before}, {"s": after}))
    assert head == "s  changed: 9 places in 619 → 610 characters"
    assert lines[0:4] == [
        "    - 'word0 word1 word2 word3'…",
        "    + 'new0 word1 word2 word3'…",
        "    - …'word7 word8 word9 word10 word11 word12 word13'…",
        "    + …'word7 word8 word9 new10 word11 word12 word13'…",
    ]
    assert len(lines) == 9
    assert lines[-1] == "      … 5 more places"


def test_places_next_to_each_other_are_shown_as_one() -> None:
    before = f"{WORDS} we come on Monday at nine. {WORDS}"
    after = f"{WORDS} we come on Tuesday at ten. {WORDS}"
    assert shown(before, after) == [
        "    - …'twelve  we come on Monday at nine. one two three four'…",
        "    + …'twelve  we come on Tuesday at ten. one two three four'…",
    ]


def test_what_came_into_a_text_or_went() -> None:
    assert shown(WORDS * 9, WORDS * 4 + "NEW " + WORDS * 5) == [
        "    - …'nine ten eleven twelve one two three four five'…",
        "    + …'nine ten eleven twelve NEW one two three four five'…",
    ]


def test_texts_that_have_little_in_common_are_shown_both() -> None:
    assert places(WORDS * 9, "another text " * 40) == []
    first, second = shown(WORDS * 9, "another text " * 40, 60)
    assert first.startswith("    - 'one two three")
    assert first.endswith("… (567 characters)")
    assert second.startswith("    + 'another text")


def test_a_long_piece_that_came_is_cut_and_its_size_told() -> None:
    _, new = shown(WORDS * 90, WORDS * 40 + "NEW " * 800 + WORDS * 50, 100)
    assert "NEW NEW NEW" in new
    assert "… (3,200 characters) " in new
    assert width_of(new) <= 100


def test_huge_texts_are_not_compared_word_by_word() -> None:
    a = "".join(f"{n} " for n in range(40_000))
    assert places(a, f"x{a}") != []
    [found] = places(f"{a} a {a} a {a}", f"{a} b {a} b {a}")
    assert found.old_end - found.old_start > len(a)


# ---- width, colours and marks ---------------------------------------------------------------

CASES: list[tuple[Any, Any]] = [
    ({"a" * 90: 1}, {"a" * 90: 2}),
    ("日本語" * 40, "日本語" * 20 + "x" + "日本語" * 20),
    (WORDS * 9, WORDS * 4 + "日本" * 90 + WORDS * 5),
    ([], [said("日本" * 300)] * 4),
    ({}, {"k" * 90: "v" * 90, "\x1b[31m": "\x1b[2J\u202e\r\n" * 30, "e": "e\u0301" * 200}),
    (b"\xff" * 99, b"\xff" * 98 + b"\x00" * 90),
]


@pytest.mark.parametrize("width", [40, 61, 80])
@pytest.mark.parametrize(("before", "after"), CASES, ids=map(str, range(len(CASES))))
def test_no_line_is_wider_than_the_terminal(before: Any, after: Any, width: int) -> None:
    found = diff({"s": before}, {"s": after})
    for line in view(found, width):
        assert width_of(line) <= width
        assert line.isprintable()
    for line in (*summary(found, width), *stat(found, width)):
        assert width_of(line) <= width


@pytest.mark.parametrize(("before", "after"), CASES, ids=map(str, range(len(CASES))))
def test_colours_add_nothing_but_colours(before: Any, after: Any) -> None:
    found = diff({"s": before}, {"s": after})
    plain = list(view(found, 70))
    coloured = list(view(found, 70, colours=True))
    assert [click.unstyle(line) for line in coloured] == plain
    for line in coloured:
        assert set(re.findall(r"\x1b\[(\d+)m", line)) <= {"0", "1", "2", "31", "32"}


def test_what_was_is_red_and_what_is_green_and_the_words_stand_out() -> None:
    before = WORDS * 9
    _, _, old, new = view(
        diff({"s": [before]}, {"s": [before.replace("one", "1", 1)]}), colours=True
    )
    red, green, bold, end = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"
    assert old.startswith(f"    {red}-{end} {red}'{end}{red}{bold}one{end}{red} two")
    assert new.startswith(f"    {green}+{end} {green}'{end}{green}{bold}1{end}{green} two")


def test_in_a_pipe_a_long_path_is_whole() -> None:
    key = "k" * 200
    assert shown({key: 1}, {key: 2})[0] == f"  s/{key}"


# ---- in fewer words -------------------------------------------------------------------------


def test_a_line_a_section() -> None:
    before = {"plan": {"a": 1, "b": 2}, "gone": 1, "list": [{"id": 1}, {"id": 2}]}
    after = {"plan": {"b": 3}, "list": [{"id": 2}, {"id": 1}], "日本": 1}
    found = diff(before, after)
    assert list(summary(found)) == [
        "plan  1 changed, 1 removed",
        "gone  removed",
        "list  1 moved",
        "日本  added",
    ]
    assert list(stat(found)) == [
        "plan | 2 -~",
        "gone | 1 -",
        "list | 1 ~",
        "日本 | 1 +",
        "4 sections: 1 changed, 1 added, 2 removed, 1 moved",
    ]


def test_bars_are_to_scale() -> None:
    before: dict[str, Any] = {"few": [], "many": []}
    after = {"few": list(range(10)), "many": list(range(1000))}
    assert list(stat(diff(before, after), 200)) == [
        "few  |    10 +",
        f"many | 1,000 {'+' * 40}",
        "2 sections: 1,010 added",
    ]


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("plan", ["plan/0#x/n", "plan/1#y/n"]),
        ("plan/0", ["plan/0#x/n"]),
        ("plan/0#x/n", ["plan/0#x/n"]),
        ("plan/0#y", []),
        ("plan/0/n/deeper", ["plan/0#x/n"]),
        ("pla", []),
        ("new/deep", ["new"]),
    ],
)
def test_only_what_is_at_a_path(path: str, paths: list[str]) -> None:
    before = {"plan": [{"id": "x", "n": 1, "k": 1}, {"id": "y", "n": 1, "k": 1}]}
    after = {
        "new": {"deep": 1},
        "plan": [{"id": "x", "n": 2, "k": 1}, {"id": "y", "n": 2, "k": 1}],
    }
    assert [place([each]) for each in below(diff(before, after), path)] == paths


def test_an_order_of_keys_is_of_its_place_alone() -> None:
    found = diff({"s": {"a": 1, "b": 2}}, {"s": {"b": 2, "a": 1}})
    assert below(found, "s") == found
    assert below(found, "s/a") == []
