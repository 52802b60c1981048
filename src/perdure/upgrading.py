"""What `Store` and `AsyncStore` do with a store of an earlier form: one method, awaited or not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from perdure.reports import Upgraded

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.reports import Verified
    from perdure.store_base import Progress


class _Upgrading:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver

        def _verify(self, key: str | None, progress: Progress | None) -> list[Verified]: ...

    def _upgraded(
        self, dry_run: bool, backup: bool | str | os.PathLike[str], progress: Progress | None
    ) -> Upgraded:
        # Not by way of the driver, which would open the store first.
        upgrade = getattr(self._driver.backend, "upgrade", None)
        if upgrade is not None:
            done: Upgraded = upgrade(dry_run=dry_run, backup=backup, progress=progress)
        else:  # it has one form only, that of this version
            format_ = self._driver.connect().format
            done = Upgraded(format_, format_, (), None, (), dry_run)
        if dry_run:
            return done
        return replace(done, verified=tuple(self._verify(None, progress)))


class Upgrading(_Upgrading):
    """Bringing a store of an earlier form to the newest."""

    def upgrade(
        self,
        *,
        dry_run: bool = False,
        backup: bool | str | os.PathLike[str] = True,
        progress: Progress | None = None,
    ) -> Upgraded:
        """Bring a store of an earlier form to the newest; one that is there already stays as it is.

        Opening a store tells (`OlderFormat`) where this is needed. Contents, history, ids and
        hashes stay what they were. First the store is copied beside itself; each step is done whole
        or not at all, so one that was killed is done by calling this again; then every state is
        verified, also where nothing was to be done. Nobody else may have it open meanwhile.

        Args:
            dry_run: do nothing; say what would be done.
            backup: where to put the copy, a file that does not exist yet; True: beside the store,
                under a name of its own; False: no copy.
            progress: called with (done, all): anew for the copy, each step, and the verification.

        Returns:
            What was done, the copy, and what verifying found: `ok` is False if a state is damaged.

        Raises:
            Busy: others have the store open; nothing was done.
            NewerFormat: a newer version wrote it; nothing was touched.
            ReadOnlyStore: it may not be written to.
            StoreUnavailable: there is no store.
            UsageError: the file for the copy exists.

        Example:
            >>> store.upgrade(dry_run=True).steps
            ()
        """
        return self._upgraded(dry_run, backup, progress)


class AsyncUpgrading(_Upgrading):
    """Bringing a store of an earlier form to the newest."""

    async def upgrade(
        self,
        *,
        dry_run: bool = False,
        backup: bool | str | os.PathLike[str] = True,
        progress: Progress | None = None,
    ) -> Upgraded:
        """Bring a store of an earlier form to the newest; one that is there already stays as it is.

        Opening a store tells (`OlderFormat`) where this is needed. Contents, history, ids and
        hashes stay what they were. First the store is copied beside itself; each step is done whole
        or not at all, so one that was killed is done by calling this again; then every state is
        verified, also where nothing was to be done. Nobody else may have it open meanwhile.

        Args:
            dry_run: do nothing; say what would be done.
            backup: where to put the copy, a file that does not exist yet; True: beside the store,
                under a name of its own; False: no copy.
            progress: called with (done, all): anew for the copy, each step, and the verification.

        Returns:
            What was done, the copy, and what verifying found: `ok` is False if a state is damaged.

        Raises:
            Busy: others have the store open; nothing was done.
            NewerFormat: a newer version wrote it; nothing was touched.
            ReadOnlyStore: it may not be written to.
            StoreUnavailable: there is no store.
            UsageError: the file for the copy exists.

        Example:
            >>> store.upgrade(dry_run=True).steps
            ()
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._upgraded, dry_run, backup, progress)
