"""Values, and whether two are the same in all."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from perdure.core.values import same

BERLIN = ZoneInfo("Europe/Berlin")


def exactly(value: Any, expected: Any) -> bool:
    """Equal, and of the same classes all the way down."""
    return repr(value) == repr(expected) and same(value, expected)
