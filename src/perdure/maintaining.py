"""What `Store` and `AsyncStore` do to keep states quick to open and small: one method each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from perdure.engine import maintain
from perdure.engine.around import UNREADABLE
from perdure.engine.read import required
from perdure.reports import Maintained, MaintenanceStep
from perdure.store_base import Progress, StoreBase
from perdure.upkeep import breaks


class _Maintaining(StoreBase, is_part=True):
    """What both do."""

    def _maintaining(
        self,
        key: str | None,
        dry_run: bool,
        progress: Progress | None,
        pausing: Callable[[], None] | None = None,
    ) -> list[Maintained]:
        if key is not None:
            self._look(self._asking(required, key))
        keys = [key] if key is not None else self._look(self._keys())
        found = []
        for done, each in enumerate(keys, 1):
            made: list[MaintenanceStep] = []
            problem: str | None = None
            try:
                plan = self._look(self._about(partial(maintain.plan, full=True), each))
                made += plan.steps if dry_run else ()
                if not dry_run:
                    if self._upkeep is not None:
                        self._upkeep.leave(each)
                    self._maintained(plan, made, progress if key is not None else None, pausing)
            except UNREADABLE as error:
                problem = f"{error.kind}: {error}"
            works = tuple(step.work for step in made)
            found.append(Maintained(each, works, tuple(made), problem))
            if progress is not None and (key is None or dry_run):
                progress(done, len(keys))
        if key is None and not dry_run:
            self._look(maintain.discard_abandoned(self._driver.store_id))
        return found

    def _maintained(
        self,
        plan: maintain.Plan,
        made: list[MaintenanceStep],
        progress: Progress | None,
        pausing: Callable[[], None] | None,
    ) -> None:
        """Maintain one state; the steps that were made are added to `made`."""
        total, reached = plan.checkpoints, 0

        def done(step: MaintenanceStep) -> None:
            nonlocal reached
            made.append(step)
            if step.work == "pack":
                reached = min(max(reached, step.last), total)
            if progress is not None:
                progress(reached, total)

        work = self._about(partial(maintain.maintain, full=True, done=done), plan.key)
        self._driver.run(work, makes=False, pausing=pausing)
        if progress is not None:
            progress(total, total)

    def _compacting(self, progress: Progress | None) -> int:
        return self._driver.backend.compact(progress) if self._driver.is_made() else 0


class Maintaining(_Maintaining, is_part=True):
    """Maintenance that is asked for."""

    def maintain(
        self,
        key: str | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> list[Maintained]:
        """Do the maintenance that is due, of one state or of all; what was done, state by state.

        Snapshots make resuming cost what is read, packs make history small, and pages that nothing
        refers to are removed. It goes on beside sessions in any process, and may be interrupted or
        killed at any moment: what it did by then stays done. Over all states, it also removes what
        abandoned copies and imports left behind. Pages of snapshots that are damaged or missing are
        made anew from the records, for which all are read. What else cannot be read is left as it
        is, and told of in `problem`; everything else is done.

        Args:
            key: the state's key; all states by default.
            dry_run: only say what would be done first.
            progress: called with (states done, all); for one state, with (checkpoints gone over,
                all).

        Raises:
            StateNotFound: there is no such state.
        """
        return self._maintaining(key, dry_run, progress)

    def compact(self, *, progress: Progress | None = None) -> int:
        """Give space that is not used any more back to the file system; how many bytes.

        Args:
            progress: called with (done, all), in the backend's units.
        """
        return self._compacting(progress)


class AsyncMaintaining(_Maintaining, is_part=True):
    """Maintenance that is asked for."""

    async def maintain(
        self,
        key: str | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> list[Maintained]:
        """Do the maintenance that is due, of one state or of all; what was done, state by state.

        Snapshots make resuming cost what is read, packs make history small, and pages that nothing
        refers to are removed. It goes on beside sessions in any process, and may be interrupted or
        killed at any moment: what it did by then stays done. Over all states, it also removes what
        abandoned copies and imports left behind. Pages of snapshots that are damaged or missing are
        made anew from the records, for which all are read. What else cannot be read is left as it
        is, and told of in `problem`; everything else is done.

        Args:
            key: the state's key; all states by default.
            dry_run: only say what would be done first.
            progress: called with (states done, all); for one state, with (checkpoints gone over,
                all).

        Raises:
            StateNotFound: there is no such state.
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._maintaining, key, dry_run, progress, breaks())

    async def compact(self, *, progress: Progress | None = None) -> int:
        """Give space that is not used any more back to the file system; how many bytes.

        Args:
            progress: called with (done, all), in the backend's units.
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._compacting, progress)
