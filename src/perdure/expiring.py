"""What `Store` and `AsyncStore` do with states that expire: the same methods, awaited or not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from perdure import limits
from perdure.engine import expiry
from perdure.engine.requests import Steps
from perdure.errors import UsageError
from perdure.types import StateInfo

if TYPE_CHECKING:
    from perdure.drive import Driver

T = TypeVar("T")


def expires_us(expires_in: Any) -> int | None:
    """How long after its last save a state is to expire (microseconds).

    0: never, which `timedelta.max` says; None: that stays as it is.

    Raises:
        UsageError: it is no duration, or none that makes sense.
    """
    if expires_in is None:
        return None
    if not isinstance(expires_in, timedelta):
        raise UsageError(f"expires_in is a timedelta, not {expires_in!r}")
    if expires_in == timedelta.max:
        return 0
    found = expires_in // timedelta(microseconds=1)
    if not 0 < found <= limits.expires_us_max:
        raise UsageError(
            f"expires_in is more than nothing and at most 1,000 years, not {expires_in}; "
            "timedelta.max stands for never"
        )
    return found


class _Sweeping:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver

    def _sweeping(self, dry_run: bool) -> Steps[list[StateInfo]]:
        # Its id is known once it was opened, and so as these steps run.
        return (yield from expiry.sweep(self._driver.store_id, dry_run=dry_run))


class Expiring(_Sweeping):
    """What can be done with states that expire."""

    if TYPE_CHECKING:

        def _look(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    def sweep(self, *, dry_run: bool = False) -> list[StateInfo]:
        """Delete the states that have expired: `open(key, expires_in=…)` says when.

        They are hidden, and `undelete` brings them back; one that is not saved to then is swept
        again the next time. What is saved to meanwhile stays, and so do what a living session holds
        exclusively and what cannot be read.

        Args:
            dry_run: delete nothing; say what would be.

        Returns:
            The states that were deleted, or would be.

        Example:
            >>> [info.key for info in store.sweep(dry_run=True)]
            ['support/alice']
        """
        return self._look(self._sweeping(dry_run))


class AsyncExpiring(_Sweeping):
    """What can be done with states that expire."""

    if TYPE_CHECKING:

        async def _ask(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    async def sweep(self, *, dry_run: bool = False) -> list[StateInfo]:
        """Delete the states that have expired: `open(key, expires_in=…)` says when.

        They are hidden, and `undelete` brings them back; one that is not saved to then is swept
        again the next time. What is saved to meanwhile stays, and so do what a living session holds
        exclusively and what cannot be read.

        Args:
            dry_run: delete nothing; say what would be.

        Returns:
            The states that were deleted, or would be.

        Example:
            >>> [info.key for info in store.sweep(dry_run=True)]
            ['support/alice']
        """
        return await self._ask(self._sweeping(dry_run))
