"""Values and results as JSON: one document, in ASCII, whatever a state holds.

What JSON lacks is an object with one key that begins with "$"; a map that could be taken for one
is written as `$map`. `docs/cli.md` lists the forms.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from perdure.cli.words import INT_BITS_DECIMAL_MAX

if TYPE_CHECKING:
    from perdure.core.changes import Change
    from perdure.core.diff import Difference
    from perdure.types import Movement

INT_MAX = 2**53 - 1
"""The largest int that every reader of JSON gets right (RFC 8259, section 6)."""

FORMS = {
    "$bytes": "bytes: base64",
    "$int": "an int beyond ±(2^53 - 1): decimal digits; hexadecimal after 0x when over 10,000 bits",
    "$float": '"nan", "inf" or "-inf"',
    "$decimal": "a Decimal: its digits, as given",
    "$datetime": "ISO 8601, with the name of its zone, if any, in brackets",
    "$date": "ISO 8601",
    "$time": "ISO 8601, as `$datetime`",
    "$timedelta": "microseconds",
    "$uuid": "32 hex digits with hyphens",
    "$tuple": "an array of its items",
    "$set": "an array of its members",
    "$frozenset": "an array of its members",
    "$map": 'an array of [key, value], for a map with one key that begins with "$"',
}
"""What JSON has no form for, and how it is written."""


def encode(value: Any) -> Any:
    """A value of a state as what `json.dumps` writes without loss.

    Example:
        >>> encode({"raw": b"ok", "size": (1, 2)})
        {'raw': {'$bytes': 'b2s='}, 'size': {'$tuple': [1, 2]}}
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= INT_MAX else {"$int": _digits(value)}
        case float():
            return value if isfinite(value) else {"$float": str(value)}
        case Mapping():
            if len(value) == 1 and next(iter(value)).startswith("$"):
                return {"$map": [[key, encode(item)] for key, item in value.items()]}
            return {key: encode(item) for key, item in value.items()}
        case list():
            return [encode(item) for item in value]
        case _:
            return _tagged(value)


def _tagged(value: Any) -> dict[str, Any]:
    for kind, tag, form in _FORMS_OF:
        if isinstance(value, kind):
            return {tag: form(value)}
    raise AssertionError(f"no state can hold a {type(value)}")


def _digits(value: int) -> str:
    return str(value) if value.bit_length() <= INT_BITS_DECIMAL_MAX else hex(value)


def _clock(value: datetime | time) -> str:
    zone = getattr(value.tzinfo, "key", None)
    return value.isoformat() + (f"[{zone}]" if zone else "")


def _items(value: Any) -> list[Any]:
    return [encode(item) for item in value]


def _members(value: Any) -> list[Any]:
    """In an order that does not change from one process to the next."""
    from perdure.core.codec import pack

    return _items(sorted(value, key=pack))


# In the order in which they are tried: a datetime is a date too.
_FORMS_OF: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (bytes, "$bytes", lambda value: base64.b64encode(value).decode("ascii")),
    (datetime, "$datetime", _clock),
    (date, "$date", date.isoformat),
    (time, "$time", _clock),
    (timedelta, "$timedelta", lambda value: value // timedelta(microseconds=1)),
    (Decimal, "$decimal", str),
    (UUID, "$uuid", str),
    (tuple, "$tuple", _items),
    (set, "$set", _members),
    (frozenset, "$frozenset", _members),
)


def document(result: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """One of the plain results of the public API: its fields by name, times in UTC."""
    return {
        name: _field(name, getattr(result, name))
        for name in result.__struct_fields__
        if name not in without
    }


def _field(name: str, value: Any) -> Any:
    if name == "metadata":
        return encode(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if hasattr(value, "__struct_fields__"):
        return document(value)
    return [_field(name, each) for each in value] if isinstance(value, tuple) else value


def change_document(change: Change) -> dict[str, Any]:
    """One change: its kind, its path, and what it holds."""
    from perdure.core.paths import format_path

    names = [name for name in change.__struct_fields__ if name != "path"]
    rest = {name: encode(getattr(change, name)) for name in names}
    return {"kind": type(change).__name__.lower(), "path": format_path(change.path), **rest}


def difference_document(difference: Difference) -> dict[str, Any]:
    """One difference between two checkpoints."""
    from perdure.core.paths import format_path

    return {
        "kind": difference.kind,
        "path": format_path(difference.path),
        "before": encode(difference.before),
        "after": encode(difference.after),
        "summary": difference.summary(),
    }


def movement_document(movement: Movement) -> dict[str, Any]:
    """One movement of a branch, done or not; of one that was not, what it would change."""
    found = document(movement, without=("differences",))
    if movement.differences is not None:
        found["differences"] = [difference_document(each) for each in movement.differences]
    return found


def dumps(value: Any) -> str:
    """A document as text: ASCII, so that no terminal or encoding can stumble over it."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
