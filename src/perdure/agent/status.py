"""What a task can be, and what it can become: all of it, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perdure.errors import UsageError

PENDING, RUNNING, WAITING = "pending", "running", "waiting"
DONE, FAILED, ABANDONED = "done", "failed", "abandoned"

UNKNOWN = "unknown"
"""What only the record of a step can be: an action on the world whose outcome nobody knows."""

FOLLOWS: Mapping[str, frozenset[str]] = {
    PENDING: frozenset({RUNNING, ABANDONED}),
    # Again running: whoever was at it died. Pending: it was let go of, and nothing came of it.
    RUNNING: frozenset({RUNNING, PENDING, WAITING, DONE, FAILED, ABANDONED}),
    WAITING: frozenset({RUNNING, ABANDONED}),
    FAILED: frozenset({RUNNING, ABANDONED}),
    DONE: frozenset(),
    ABANDONED: frozenset(),
}
"""By status, those that may follow it."""

ENDED = frozenset(status for status, next_ones in FOLLOWS.items() if not next_ones)
"""What a task stays for ever; its record is not edited again."""


def require(name: str, record: Mapping[str, Any], status: str) -> None:
    """See to it that a task may become something.

    Raises:
        UsageError: it may not, or it is something that only newer code knows (P10).
    """
    now = record.get("status")
    if status not in FOLLOWS.get(str(now), ()):
        raise UsageError(f"the task {name!r} is {now}: it cannot become {status}")
