"""Paths: where in a state something is, and how that is written and read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from perdure.core.abbreviate import abbreviate, with_article
from perdure.errors import PathNotFound

Path: TypeAlias = tuple[str | int, ...]
"""The section first, then mapping keys (str) and list positions (int, from 0)."""

KeysLast: TypeAlias = tuple[Path, tuple[str, ...]]
"""Where a mapping is, and which of its keys go last, in this order."""

WHOLE_STATE = "(state)"
_ESCAPED = re.compile("~(?:0|1|u(?P<number>[0-9a-f]{1,6});)")
KEYS_SHOWN_MAX = 8
DIGITS_MAX = 19


def format_path(path: Path) -> str:
    """The path as one printable line: its parts joined by "/".

    In them `~` is written `~0`, `/` is `~1`, and a character that does not print is `~u…;` with its
    number in hexadecimal.

    Example:
        >>> format_path(("messages", 3, "a/b"))
        'messages/3/a~1b'
        >>> format_path(())
        '(state)'
    """
    if not path:
        return WHOLE_STATE
    if path == (WHOLE_STATE,):
        return WHOLE_STATE.replace("(", "~u28;")
    return "/".join(_written(part) if isinstance(part, str) else str(part) for part in path)


def parse_path(text: str) -> tuple[str, ...]:
    """The parts of a written path; whether one is a key or a position, `resolve` finds out.

    Example:
        >>> parse_path("messages/-1/a~1b")
        ('messages', '-1', 'a/b')
        >>> parse_path("(state)")
        ()
    """
    if text == WHOLE_STATE:
        return ()
    return tuple(_ESCAPED.sub(_unescaped, part) for part in text.split("/"))


def _written(part: str) -> str:
    text = part.replace("~", "~0").replace("/", "~1")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"~u{ord(each):x};" for each in text)


def _unescaped(escape: re.Match[str]) -> str:
    if escape["number"] is None:
        return {"~0": "~", "~1": "/"}[escape[0]]
    number = int(escape["number"], 16)
    return chr(number) if number <= sys.maxunicode else escape[0]


def resolve(value: Any, parts: Iterable[str | int], origin: Path = ()) -> tuple[Path, Any]:
    """Walk from `value` along `parts`; give the exact path of what is found, and it.

    Args:
        value: a plain or tracked value, or a mapping of sections.
        parts: one step each: a position (negative: from the end) in a list or tuple, else a key.
        origin: the path of `value` itself.

    Raises:
        PathNotFound: there is no such place; says how far the path goes and what is there.

    Example:
        >>> resolve({"messages": ["a", "b"]}, ("messages", "-1"))
        (('messages', 1), 'b')
    """
    path = origin
    for part in parts:
        step = _step(value, part)
        if step is None:
            raise PathNotFound(
                f"no {abbreviate(part)} in {format_path(path)}, which {_holdings(value)}"
            )
        value = value[step]
        path = (*path, step)
    return path, value


def _step(value: Any, part: str | int) -> str | int | None:
    """The key or position that `part` stands for in `value`, None if it has no such."""
    if isinstance(value, list | tuple):
        return position_in(part, len(value))
    if isinstance(value, Mapping) and isinstance(part, str) and part in value:
        return part
    return None


def position_in(part: str | int, count: int) -> int | None:
    """The position that a part of a path stands for in a list of so many items, if it is there.

    Example:
        >>> position_in("-1", 5), position_in("5", 5), position_in("last", 5)
        (4, None, None)
    """
    position = _position(part)
    if position is None or not -count <= position < count:
        return None
    return position % count


def _position(part: str | int) -> int | None:
    if isinstance(part, int):
        return part
    return int(part) if is_position(part.removeprefix("-")) else None


def is_position(text: str) -> bool:
    """Whether a part of a written path, without its sign, may stand for a position."""
    return text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX


def _holdings(value: Any) -> str:
    if isinstance(value, list | tuple):
        if not value:
            return f"is an empty {_kind(value)}"
        positions = "0" if len(value) == 1 else f"0 to {len(value) - 1}"
        return f"is a {_kind(value)} of {len(value)} ({positions})"
    if isinstance(value, Mapping):
        if not value:
            return "is empty"
        if len(value) <= KEYS_SHOWN_MAX:
            return "has " + ", ".join(repr(key) for key in value)
        return f"has {len(value)} other keys"
    return f"is {with_article(_kind(value))} and holds nothing below it"


def _kind(value: Any) -> str:
    """The plain name of a value's type, the same for a tracked container."""
    for plain in (dict, list, tuple):
        if isinstance(value, plain):
            return plain.__name__
    return type(value).__name__
