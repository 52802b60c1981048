"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock:
    """A settable clock for `Store(clock=...)`: calling it gives microseconds since 1970 UTC.

    It starts at `start` (an ISO 8601 text or a `datetime`, with its time zone) and moves only when
    told. Moving it back is allowed, since real clocks do that too.

    Raises:
        ValueError: The time names no time zone, or is no time.

    Example:
        >>> clock = Clock("2026-01-01T00:00:00Z")
        >>> clock.advance(90)
        >>> clock.now.isoformat(), clock()
        ('2026-01-01T00:01:30+00:00', 1767225690000000)
    """

    def __init__(self, start: str | datetime = "2026-01-01T00:00:00Z") -> None:
        self.set(start)

    def __call__(self) -> int:
        """The time it shows, in microseconds since 1970 UTC."""
        return (self._now - EPOCH) // MICROSECOND

    def __repr__(self) -> str:
        return f"Clock({self._now.isoformat()!r})"

    @property
    def now(self) -> datetime:
        """The time it shows, in UTC."""
        return self._now

    def set(self, time: str | datetime) -> None:
        """Show `time` from now on."""
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
        if moment.tzinfo is None:
            raise ValueError(f"{time!r} names no time zone; add Z for UTC")
        self._now = moment.astimezone(UTC)

    def advance(self, seconds: float) -> None:
        """Move on by `seconds` (back, if negative).

        Raises:
            TypeError: It is no number.
        """
        if not isinstance(seconds, int | float):
            raise TypeError(f"advance() takes a number of seconds, not {seconds!r}")
        self._now += timedelta(seconds=seconds)
