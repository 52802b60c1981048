"""What to tell who named a checkpoint that is not there."""

from __future__ import annotations

import re

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}")


def never_guessed(name: str) -> str:
    """How a label or a time is written, of which a name seems to be one.

    Example:
        >>> never_guessed("2026-11-03")
        'A time is perdure.time(…), on the command line time:2026-11-03'
    """
    if _DATE.match(name):
        return f"A time is perdure.time(…), on the command line time:{name}"
    return f'A label is perdure.label("{name}"), on the command line label:{name}'


def missing_number(start: int, back: int) -> str:
    """A number that no checkpoint has, as it was asked for: so many before another one.

    Example:
        >>> missing_number(9, 30), missing_number(12, 0), missing_number(-3, 0)
        ('30 before 9', '12', '-3 (~3 is the one 3 before the newest)')
    """
    if back:
        return f"{back} before {start}"
    return f"{start} (~{-start} is the one {-start} before the newest)" if start < 0 else str(start)
