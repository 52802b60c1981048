"""What `Store` and `AsyncStore` do to erase states: the same methods, awaited or not."""

from __future__ import annotations

import glob
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from perdure import limits
from perdure.errors import Busy, Retryable, StorageFull, UsageError
from perdure.reports import ErasedLife, Erasure

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.engine.erase import Wish
    from perdure.engine.read import Site
    from perdure.engine.requests import Steps
    from perdure.upkeep import Upkeep

T = TypeVar("T")

_LEFT = (
    "{key!r} is erased, and nobody can read it or save to it any more; but its bytes are still in "
    "the store's files: {error}. Store.compact() (`perdure compact`) removes them"
)


class _Erasing:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver
        _upkeep: Upkeep | None

        def _look(self, steps: Steps[T]) -> T: ...
        def _asking(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]: ...

    def _erasing(self, key: str, wish: Wish, wipe: bool) -> Erasure:
        from perdure.engine import erase

        if self._upkeep is not None and not wish.dry_run:
            self._upkeep.leave(key)
        found = self._look(self._asking(partial(erase.erase, wish=wish), key))
        found = replace(found, backups=_backups(self._driver.backend))
        if wish.dry_run:
            return replace(found, copies=self._copies(key, wish) if not found.was_erased else ())
        if self._driver.cache is not None:
            self._driver.cache.clear()
        return replace(found, is_wiped=self._wiped(key)) if wipe else found

    def _copies(self, key: str, wish: Wish) -> tuple[str, ...]:
        from perdure.engine import erase

        began = self._look(self._asking(partial(erase.origins, wish=wish), key))
        return self._look(erase.copies(self._driver.store_id, began, key))

    def _wiped(self, key: str) -> bool:
        """Have the files written anew, if there are any.

        Raises:
            Busy: others read from the log all the time.
            StorageFull: there is no room for that.
        """
        wipe: Any = getattr(self._driver.backend, "wipe", None)
        if wipe is None:
            return True
        try:
            wipe()
        except Retryable as error:
            kind = StorageFull if isinstance(error, StorageFull) else Busy
            raise kind(_LEFT.format(key=key, error=error)) from error
        return True

    def _receipts(self, key: str | None) -> Steps[list[ErasedLife]]:
        from perdure.engine import erase

        return (yield from erase.erasures(self._driver.store_id, key))


def _wish(life: int | None, reason: Any, keep_name: bool, force: bool, dry_run: bool) -> Wish:
    from perdure.engine.erase import Wish  # only who erases needs it

    is_text = isinstance(reason, str) and len(reason) <= limits.reason_chars_max
    if reason is not None and not is_text:
        raise UsageError(
            f"a reason is a text of at most {limits.reason_chars_max:,} characters, not {reason!r}"
        )
    return Wish(life, reason, keep_name, force, dry_run)


def _backups(backend: Any) -> tuple[str, ...]:
    """Files beside a store that are copies of it, by their names."""
    path = getattr(backend, "path", None)
    if path is None:
        return ()
    return tuple(sorted(glob.glob(f"{glob.escape(str(path))}.before-*")))


class Erasing(_Erasing):
    """Erasing states."""

    def erase(
        self,
        key: str,
        *,
        life: int | None = None,
        reason: str | None = None,
        keep_name: bool = False,
        force: bool = False,
        wipe: bool = True,
        dry_run: bool = False,
    ) -> Erasure:
        """Erase a state for good: all of its history, branches, effects and former lives (P8).

        Its data key goes, if the store is encrypted, and all that is stored of it; then the
        store's files are written anew, in which time nobody can save. A receipt stays (`erasures`).
        Sessions that are open on it, in any process, get `Erased`, and cannot bring it back. The
        name can be used anew at once. Copies, exports, backups, and what other states say of it
        are not reached. Done again under a name that was not used anew, it ends what was
        interrupted.

        Args:
            key: the state's key.
            life: `StateInfo.life` of the one life to erase; all of them by default. Later ones
                count one less afterwards.
            reason: a text that the receipt keeps.
            keep_name: let the receipt keep the name too, not only a hash of it.
            force: erase it though a living session holds a branch of it exclusively.
            wipe: write the files anew. If not, they hold what was erased until the next erasure
                or `compact` does: for who erases many states.
            dry_run: erase nothing; say what would go, and which copies stay.

        Returns:
            What went, or would.

        Raises:
            StateNotFound: there is no such state, nor was one erased.
            Busy: a living session holds it; or, once it is erased, others keep the log from being
                emptied for too long. The message says which.
            StorageFull: it is erased, and there is no room to write the files anew.

        Example:
            >>> store.erase("support/alice", reason="asked for on 3 May").checkpoints
            41
        """
        return self._erasing(key, _wish(life, reason, keep_name, force, dry_run), wipe)

    def erasures(self, key: str | None = None) -> list[ErasedLife]:
        """The receipts of what was erased, the newest first.

        Args:
            key: those of this name alone; of all by default.

        Example:
            >>> [(each.at, each.reason) for each in store.erasures("support/alice")]
            [(datetime.datetime(2026, 5, 4, 9, 30, tzinfo=datetime.timezone.utc), 'asked for')]
        """
        return self._look(self._receipts(key))


class AsyncErasing(_Erasing):
    """Erasing states."""

    if TYPE_CHECKING:

        async def _ask(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    async def erase(
        self,
        key: str,
        *,
        life: int | None = None,
        reason: str | None = None,
        keep_name: bool = False,
        force: bool = False,
        wipe: bool = True,
        dry_run: bool = False,
    ) -> Erasure:
        """Erase a state for good: all of its history, branches, effects and former lives (P8).

        Its data key goes, if the store is encrypted, and all that is stored of it; then the
        store's files are written anew, in which time nobody can save. A receipt stays (`erasures`).
        Sessions that are open on it, in any process, get `Erased`, and cannot bring it back. The
        name can be used anew at once. Copies, exports, backups, and what other states say of it
        are not reached. Done again under a name that was not used anew, it ends what was
        interrupted.

        Args:
            key: the state's key.
            life: `StateInfo.life` of the one life to erase; all of them by default. Later ones
                count one less afterwards.
            reason: a text that the receipt keeps.
            keep_name: let the receipt keep the name too, not only a hash of it.
            force: erase it though a living session holds a branch of it exclusively.
            wipe: write the files anew. If not, they hold what was erased until the next erasure
                or `compact` does: for who erases many states.
            dry_run: erase nothing; say what would go, and which copies stay.

        Returns:
            What went, or would.

        Raises:
            StateNotFound: there is no such state, nor was one erased.
            Busy: a living session holds it; or, once it is erased, others keep the log from being
                emptied for too long. The message says which.
            StorageFull: it is erased, and there is no room to write the files anew.

        Example:
            >>> store.erase("support/alice", reason="asked for on 3 May").checkpoints
            41
        """
        import asyncio  # the sync store, which this module is for too, goes without

        wish = _wish(life, reason, keep_name, force, dry_run)
        return await asyncio.to_thread(self._erasing, key, wish, wipe)

    async def erasures(self, key: str | None = None) -> list[ErasedLife]:
        """The receipts of what was erased, the newest first.

        Args:
            key: those of this name alone; of all by default.

        Example:
            >>> [(each.at, each.reason) for each in store.erasures("support/alice")]
            [(datetime.datetime(2026, 5, 4, 9, 30, tzinfo=datetime.timezone.utc), 'asked for')]
        """
        return await self._ask(self._receipts(key))
