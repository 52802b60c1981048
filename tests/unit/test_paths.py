"""Paths: written, read back, and followed."""

from collections import ChainMap
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure.core.paths import format_path, parse_path, resolve
from perdure.errors import PathNotFound, UsageError
from perdure.testing.strategies import texts

STATE: dict[str, Any] = {
    "messages": [{"role": "user"}, {"role": "agent"}],
    "plan": {"1": "one", "a/b": {"~": (10, 20)}},
    "empty": {},
    "none": [],
    "wide": {f"k{n}": n for n in range(30)},
    "text": "abc",
    "tags": {"x"},
}


@given(st.lists(texts()))
@example(["(state)"])
@example([""])
@example(["", ""])
@example(["~1", "~u41;", "a/b", "~"])
def test_a_written_path_is_read_back(parts: list[str]) -> None:
    written = format_path(tuple(parts))
    assert written.isprintable()
    assert parse_path(written) == tuple(parts)


def test_a_path_is_written_with_slashes() -> None:
    assert format_path(("messages", 3, "a/b~c")) == "messages/3/a~1b~0c"
    assert format_path(()) == "(state)"
    assert format_path(("a\n\ud800",)) == "a~ua;~ud800;"


def test_what_only_looks_escaped_stays() -> None:
    assert parse_path("~2/~u110000;/~") == ("~2", "~u110000;", "~")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("messages/1/role", ("messages", 1, "role"), "agent"),
        ("messages/-1", ("messages", 1), {"role": "agent"}),
        ("messages/-2/role", ("messages", 0, "role"), "user"),
        ("plan/1", ("plan", "1"), "one"),
        ("plan/a~1b/~0/1", ("plan", "a/b", "~", 1), 20),
        ("(state)", (), STATE),
    ],
)
def test_a_path_leads_to_its_value(text: str, path: tuple[str | int, ...], value: Any) -> None:
    assert resolve(STATE, parse_path(text)) == (path, value)


def test_a_path_may_start_anywhere() -> None:
    found = resolve(STATE["messages"], (0, "role"), ("messages",))
    assert found == (("messages", 0, "role"), "user")
    assert resolve(ChainMap({"a": [1]}), ("a", "0")) == (("a", 0), 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("messages/2", "no '2' in messages, which is a list of 2 (0 to 1)"),
        ("messages/-3", "no '-3' in messages"),
        ("messages/two", "no 'two' in messages"),
        ("messages/+1", "no '+1' in messages"),
        ("messages/1_0", "no '1_0' in messages"),
        ("messages/٠", "no '٠' in messages"),
        ("messages/" + "9" * 5000, "9… in messages, which is a list of 2"),
        ("messages/0/rule", "no 'rule' in messages/0, which has 'role'"),
        ("plan/a~1b/~0/9", "no '9' in plan/a~1b/~0, which is a tuple of 2 (0 to 1)"),
        ("empty/x", "no 'x' in empty, which is empty"),
        ("none/0", "no '0' in none, which is an empty list"),
        ("wide/x", "no 'x' in wide, which has 30 other keys"),
        ("text/0", "no '0' in text, which is a str and holds nothing below it"),
        ("tags/x", "no 'x' in tags, which is a set and holds nothing below it"),
        ("nowhere/x", "no 'nowhere' in (state), which has 'messages'"),
    ],
)
def test_a_path_that_leads_nowhere_says_how_far_it_goes(text: str, told: str) -> None:
    with pytest.raises(PathNotFound) as refused:
        resolve(STATE, parse_path(text))
    assert told in str(refused.value)
    assert isinstance(refused.value, UsageError)


def test_an_error_about_one_item_names_one_position() -> None:
    with pytest.raises(PathNotFound, match=r"a list of 1 \(0\)"):
        resolve([1], ("1",), ("l",))


def test_a_position_is_no_key() -> None:
    with pytest.raises(PathNotFound):
        resolve({"1": "one"}, (1,))
