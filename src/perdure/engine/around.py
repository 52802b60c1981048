"""What maintenance cannot read, and goes around: everything else is done all the same."""

from __future__ import annotations

import msgspec

from perdure.errors import Damaged, KeyMissing, Malformed, NewerFormat, ReplayMismatch

UNREADABLE = (Damaged, Malformed, ReplayMismatch, NewerFormat, KeyMissing)
"""What is wrong with bytes that are there: trying again does not help."""


class Around(msgspec.Struct):
    """What a round of maintenance cannot read, and goes around."""

    rows: set[tuple[int, int]] = msgspec.field(default_factory=set)
    """Rows that stay as they are: the line and the number of the newest record in each."""
    no_snapshot: set[str] = msgspec.field(default_factory=set)
    """Branches of which no snapshot can be made: a record since the newest one cannot be read."""
    no_park: bool = False
    """Whether branches were parked, or could not be, in this round."""
    no_prune: bool = False
    """Whether what a pruning left cannot be removed: a row that holds more cannot be read."""
    is_put_off: bool = False
    """Whether a snapshot was put off, because it would write far more than the tail holds."""
    problems: list[str] = msgspec.field(default_factory=list)
    """What to tell in the end."""
