"""Durations as they are typed on a command line: `90d`, `12h`, `1d12h`."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_PART = re.compile(r"(\d+)([a-z]+)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+[a-z]+)+", re.ASCII)
FORMS = "such as 90d, 12h or 1d12h, in w(eeks), d(ays), h(ours), m(inutes) and s(econds)"


def duration(text: str) -> timedelta:
    """A duration: numbers, each with its unit.

    Raises:
        ValueError: it is none.

    Example:
        >>> duration("1d12h"), duration("2w")
        (datetime.timedelta(days=1, seconds=43200), datetime.timedelta(days=14))
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: give one {FORMS}")
    found = timedelta(0)
    for amount, unit in _PART.findall(text):
        if unit not in _UNITS:
            raise ValueError(f"{text!r}: there is no unit {unit!r}: give a duration {FORMS}")
        try:
            found += timedelta(**{_UNITS[unit]: int(amount)})
        except (OverflowError, ValueError):  # so many digits are no int for Python
            raise ValueError(f"{text!r} is too long") from None
    return found


def in_units(length: timedelta) -> str:
    """A duration as `duration` takes it, without what is less than a second.

    Example:
        >>> in_units(timedelta(days=30)), in_units(timedelta(hours=36))
        ('30d', '1d12h')
    """
    left, told = int(length.total_seconds()), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            told += f"{left // size}{unit}"
            left %= size
    return told or "0s"


def as_duration(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> timedelta | None:
    """The value of an option that is a duration."""
    try:
        return duration(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def as_thinning(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[timedelta, timedelta]]:
    """The values of an option that is pairs of durations: older than, one per."""
    return [_pair(each) for each in values]


def _pair(text: str) -> tuple[timedelta, timedelta]:
    older, colon, per = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} is not OLDER:PER, such as 7d:1d")
    try:
        return duration(older), duration(per)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
