"""Conversions that lenses name: each in two directions, with what is lost on the way.

Data names them and code is here, so what is stored is never run (P12). A value is converted exactly
if converting it back gives it again, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from perdure.core.values import same
from perdure.errors import UsageError

Function = Callable[[Any], Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Conversion(msgspec.Struct, frozen=True):
    """One direction of a conversion."""

    name: str
    takes: type
    convert: Function
    loses: str = ""
    """What is lost of every value that has it, in words; empty if nothing is."""


class NotConvertible(ValueError):
    """A value that a conversion does not take, or not without loss."""


def _epoch(value: datetime) -> int | float:
    # A whole number of seconds stays one, so that it comes back as the int that it was.
    apart = value - EPOCH
    whole = apart.days * 86_400 + apart.seconds
    return whole if not apart.microseconds else whole + apart.microseconds / 1_000_000


def _moment(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def _seconds(value: timedelta) -> int | float:
    return _epoch(EPOCH + value) if not value.microseconds else value.total_seconds()


def _int_of_bool(value: bool) -> int:
    return int(value)


def _bool(value: int) -> bool:
    if value not in (0, 1):
        raise ValueError("it is neither 0 nor 1")
    return bool(value)


def _bool_of_text(value: str) -> bool:
    return {"true": True, "false": False}[value]


def _date(value: datetime) -> date:
    return value.date()


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a date has no zone


def _both(
    one: str, other: str, ahead: tuple[type, Function, str], back: tuple[type, Function, str]
) -> list[Conversion]:
    return [Conversion(f"{one}->{other}", *ahead), Conversion(f"{other}->{one}", *back)]


_ALL = [
    *_both("str", "int", (str, int, ""), (int, str, "")),
    *_both("str", "float", (str, float, ""), (float, repr, "")),
    *_both("int", "float", (int, float, ""), (float, int, "the fraction")),
    *_both("bool", "int", (bool, _int_of_bool, ""), (int, _bool, "")),
    *_both("bool", "str", (bool, lambda value: str(value).lower(), ""), (str, _bool_of_text, "")),
    *_both("str", "decimal", (str, Decimal, ""), (Decimal, str, "")),
    *_both("int", "decimal", (int, Decimal, ""), (Decimal, int, "the fraction")),
    *_both(
        "float", "decimal", (float, lambda value: Decimal(repr(value)), ""), (Decimal, float, "")
    ),
    *_both(
        "datetime", "iso", (datetime, datetime.isoformat, ""), (str, datetime.fromisoformat, "")
    ),
    *_both("date", "iso-date", (date, date.isoformat, ""), (str, date.fromisoformat, "")),
    *_both("datetime", "date", (datetime, _date, "the time of day"), (date, _midnight, "")),
    *_both("epoch", "datetime", (float, _moment, ""), (datetime, _epoch, "")),
    *_both(
        "seconds",
        "timedelta",
        (float, lambda value: timedelta(seconds=value), ""),
        (timedelta, _seconds, ""),
    ),
    *_both("str", "bytes", (str, str.encode, ""), (bytes, bytes.decode, "")),
    Conversion("str->lower", str, str.lower, "upper and lower case"),
    Conversion("str->strip", str, str.strip, "spaces at both ends"),
]
_NAMED = {each.name: each for each in _ALL}
_ONE_WAY = ("str->lower", "str->strip")


def conversion(name: str) -> Conversion:
    """The conversion of a name.

    Raises:
        UsageError: there is none; the message lists those there are.

    Example:
        >>> conversion("datetime->date").loses
        'the time of day'
    """
    found = _NAMED.get(name)
    if found is None:
        raise UsageError(f"no conversion {name!r}; there are {', '.join(sorted(_NAMED))}")
    return found


def is_known(name: str) -> bool:
    """Whether this version of Perdure has such a conversion."""
    return name in _NAMED


def reverse(name: str) -> str | None:
    """The name of what converts back, None if nothing does.

    Example:
        >>> reverse("str->int"), reverse("str->lower")
        ('int->str', None)
    """
    ahead, _, to = name.partition("->")
    return None if name in _ONE_WAY else f"{to}->{ahead}"


def converted(name: str, value: Any, *, exact: bool = True) -> Any:
    """The value in its other form.

    Args:
        name: of the conversion.
        value: a plain value.
        exact: refuse a value that converting back would not give again.

    Raises:
        NotConvertible: it is of another type or form, or would lose something.

    Example:
        >>> converted("str->int", "7")
        7
    """
    found = _made(name, value)
    if exact and not _comes_back(name, found, value):
        raise NotConvertible("converting it back would give another value")
    return found


def _made(name: str, value: Any) -> Any:
    rule = conversion(name)
    numbers = rule.takes is float and type(value) is int and not name.startswith("float")
    if type(value) is not rule.takes and not numbers:
        raise NotConvertible(f"{name} takes values of type {rule.takes.__name__}")
    try:
        return rule.convert(value)
    except (ValueError, ArithmeticError, KeyError, TypeError) as error:
        raise NotConvertible(str(error) or type(error).__name__) from None


def _comes_back(name: str, found: Any, value: Any) -> bool:
    back = reverse(name)
    if back is None:
        return same(found, value)
    try:
        return same(_made(back, found), value)
    except NotConvertible:
        return False
