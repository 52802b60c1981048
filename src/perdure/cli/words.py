"""Text for people: what is safe to print, times, sizes, and values in few words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from perdure.core.abbreviate import abbreviate, count
from perdure.core.json_forms import INT_BITS_DECIMAL_MAX

LINE_WIDTH = 100
"""Characters within which a whole value stays on one line."""

_PRINTED_AS_THEY_ARE = "\u00a0\u200d"  # no-break space; the joiner within emoji
_STEPS = ((60, "second", "s"), (60, "minute", "min"), (24, "hour", "h"), (365, "day", "d"))


def safe(text: str, *, keep: str = "") -> str:
    """`text` with all that could steer a terminal written as escapes.

    Control characters, marks that reorder text, lone surrogates and line ends become escapes as
    Python's `repr` writes them; characters in `keep` stay.
    """
    if text.isprintable():
        return text
    allowed = keep + _PRINTED_AS_THEY_ARE
    return "".join(
        char if char.isprintable() or char in allowed else repr(char)[1:-1] for char in text
    )


def iso(time: datetime) -> str:
    """A UTC time to the second: `2026-01-31 12:00:00Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(time: datetime, now: datetime | None = None, *, short: bool = False) -> str:
    """How long ago, in its largest unit: `3 minutes ago`; or, `short`, `3 min ago`."""
    amount = int(((now or datetime.now(UTC)) - time).total_seconds())
    if amount < 1:
        return "just now"
    for size, unit, symbol in _STEPS:
        if amount < size:
            return f"{amount:,} {symbol} ago" if short else f"{count(amount, unit)} ago"
        amount //= size
    return f"{amount:,} y ago" if short else f"{count(amount, 'year')} ago"


def moment(time: datetime) -> str:
    """A time both ways: `2026-01-31 12:00:00Z (3 minutes ago)`."""
    return f"{iso(time)} ({ago(time)})"


def moments(time: datetime) -> tuple[str, str]:
    """A time for a table: both ways, and its age alone for where room is short."""
    return moment(time), ago(time, short=True)


def bytes_of(size_bytes: int) -> str:
    """A size in its largest binary unit: `1.5 MiB`."""
    if size_bytes < 1024:
        return count(size_bytes, "byte")
    size = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            return f"{size:.1f} {unit}"
    raise AssertionError


def kind_of(value: Any) -> str:
    """The name of a value's type."""
    return "None" if value is None else type(value).__name__


def size_of(value: Any, before: int = 0) -> str:
    """How much of it there is: items, entries, characters, bytes; nothing for a number.

    `before` counts the items that precede those of `value` in its list.
    """
    match value:
        case Mapping():
            return f"{len(value):,} {'key' if len(value) == 1 else 'keys'}"
        case list() | tuple() | set() | frozenset():
            return count(before + len(value), "item")
        case str():
            return count(len(value), "character")
        case bytes():
            return count(len(value), "byte")
        case _:
            return ""


def lines(value: Any, indent: str = "", lead: str = "") -> Iterator[str]:
    """A value in full, one line for each part that fits on one; nothing is left out."""
    room = max(LINE_WIDTH - len(indent) - len(lead), LINE_WIDTH // 4)
    children = _children(value)
    if children is None:
        yield f"{indent}{lead}{_whole(value)}"
    elif len(short := abbreviate(value, room + 1)) <= room:
        yield f"{indent}{lead}{safe(short)}"
    else:
        yield f"{indent}{lead}{kind_of(value)}, {size_of(value)}:"
        for label, child in children:
            yield from lines(child, indent + "  ", label)


def _children(value: Any) -> Iterator[tuple[str, Any]] | None:
    match value:
        case Mapping():
            return ((f"{safe(repr(key))}: ", item) for key, item in value.items())
        case list() | tuple():
            return ((f"{index}: ", item) for index, item in enumerate(value))
        case set() | frozenset():
            return (("- ", item) for item in value)
        case _:
            return None


def _whole(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > INT_BITS_DECIMAL_MAX:
        return hex(value)
    return safe(repr(value))
