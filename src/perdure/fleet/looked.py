"""What the look at all states found, for the migration that follows it."""

from __future__ import annotations

from perdure import limits
from perdure.core.head import MAIN, Head
from perdure.engine.bodies import Body
from perdure.fleet.trying import Outcome, Tried

OBJECTS_BYTES = 1200
"""What one that is kept takes besides its changes, about (bytes)."""


class Looked:
    """Migrations that were tried, by the keys of their states, to be committed as they are.

    A head's token is new at every commit: while it is the same, what was read is the same and so is
    what its migration gives, and neither is done again. Kept are those of states that have no
    branch but `main`, as many as `limits.migration_kept_bytes_max` holds; each is let go when it is
    asked for. The others are tried once more.
    """

    __slots__ = ("_kept", "_size")

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, Body, Outcome]] = {}
        self._size = 0

    def keep(self, tried: Tried) -> None:
        """Keep a migration, if there is room."""
        size = OBJECTS_BYTES + len(tried.body.changes)
        fits = self._size + size <= limits.migration_kept_bytes_max
        if fits and tried.head.parked is None and tried.head.branches.keys() == {MAIN}:
            self._size += size
            self._kept[tried.outcome.key] = tried.head.token, tried.body, tried.outcome

    def take(self, key: str, head: Head) -> Tried | None:
        """The migration of a state, if that is still as it was then."""
        kept = self._kept.pop(key, None)
        if kept is None or kept[0] != head.token:
            return None
        return Tried(head, *kept[1:])
