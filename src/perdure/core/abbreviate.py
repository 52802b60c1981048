"""Values and amounts in few words, for messages and listings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CHARS_MAX = 60
BITS_SHOWN_MAX = 256
BRACKETS: dict[type[Any], tuple[str, str]] = {
    dict: ("{", "}"),
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}
ELLIPSIS = "…"


def abbreviate(value: Any, chars_max: int = CHARS_MAX) -> str:
    """Like `repr`, cut after `chars_max` characters; costs no more than it shows.

    Example:
        >>> abbreviate(["a" * 100, 2], 12)
        "['aaaaaaaaa…"
    """
    text = _start_of(value, chars_max)
    return text if len(text) <= chars_max else text[: chars_max - 1] + ELLIPSIS


def count(number: int, unit: str) -> str:
    """An amount with its unit: "1 item", "2 items"."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"


def with_article(noun: str) -> str:
    """A noun with its article: "a list", "an int"."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def _start_of(value: Any, chars_max: int) -> str:
    """The first `chars_max` characters of `repr(value)` or more, if it has as many."""
    base = next((base for base in BRACKETS if isinstance(value, base)), None)
    if base is None:
        return _start_of_scalar(value, chars_max)
    if not value:
        return repr(base())
    if base is dict:
        parts: Iterable[str] = (
            f"{_start_of(key, chars_max)}: {_start_of(item, chars_max)}"
            for key, item in dict.items(value)
        )
    else:
        parts = (_start_of(item, chars_max) for item in base.__iter__(value))
    opening, closing = BRACKETS[base]
    text = opening
    for part in parts:
        text += part + ", "
        if len(text) > chars_max:
            return text
    if base is tuple and len(value) == 1:
        return text.removesuffix(" ") + closing
    return text.removesuffix(", ") + closing


def _start_of_scalar(value: Any, chars_max: int) -> str:
    if isinstance(value, str | bytes):
        return repr(value[:chars_max])
    if isinstance(value, int) and value.bit_length() > BITS_SHOWN_MAX:
        return f"an int of {count(value.bit_length(), 'bit')}"
    return repr(value)
