"""Values of a state as JSON, without loss: what JSON lacks is an object with one key after "$".

A map that could be taken for one is written as `$map`. `docs/cli.md` lists the forms.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

INT_BITS_DECIMAL_MAX = 10_000
"""Longer ints are written in hexadecimal: Python refuses very long ones in decimal (bits)."""

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
    from perdure.core.codec import pack  # the command line starts without it

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
