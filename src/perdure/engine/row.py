"""Giving way: a session that merges lets others save now and then.

Who saves without a pause is always at work on the newest head, and whoever has to merge first takes
longer than that: it would come too late again and again.
"""

from __future__ import annotations

from perdure import limits
from perdure.core.head import Head
from perdure.engine.requests import Now, Pause, Steps


class Row:
    """Saves of one session in a row, that nobody else's came between."""

    __slots__ = ("_count", "_saved_us", "_times")

    def __init__(self) -> None:
        self._count = 0
        self._saved_us = 0
        self._times = 1
        """How many times as long as the shortest the next pause is."""

    def saved(self, now_us: int) -> None:
        """Note one more save."""
        is_next = now_us - self._saved_us < limits.merge_pause_us
        self._count = self._count + 1 if is_next else 1
        self._saved_us = now_us

    def give_way(self, head: Head, branch: str, session: bytes) -> Steps[None]:
        """Wait a moment if the row is long, a longer one each time that others seem to need it."""
        if self._count < limits.merge_row_max:
            return
        now = yield Now()
        self._count = 0
        if now - self._saved_us >= limits.merge_pause_us:
            return
        yield Pause(limits.merge_pause_us * self._times / 1_000_000)
        is_someone_there = any(
            mark.end is None
            and mark.branch == branch
            and mark.id != session
            and now - mark.saved_us < limits.merge_others_us
            for mark in head.marks
        )
        self._times = min(self._times * 2, limits.merge_pauses_max) if is_someone_there else 1
