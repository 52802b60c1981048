"""What `Store` and `AsyncStore` do with history that is old: the same method, awaited or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from perdure.engine.around import UNREADABLE
from perdure.errors import Retryable, StateNotFound, UsageError
from perdure.reports import Pruned
from perdure.upkeep import breaks

if TYPE_CHECKING:
    from perdure.core.retention import Retention
    from perdure.drive import Driver
    from perdure.engine.read import Site
    from perdure.engine.requests import Steps
    from perdure.store_base import Progress
    from perdure.upkeep import Upkeep

T = TypeVar("T")


class _Pruning:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver
        _upkeep: Upkeep | None

        def _look(self, steps: Steps[T]) -> T: ...
        def _asking(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]: ...
        def _about(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]: ...
        def _keys(self) -> Steps[list[str]]: ...

    def _pruning(
        self,
        policy: Retention,
        key: str | None,
        dry_run: bool,
        progress: Progress | None,
        pausing: Callable[[], None] | None = None,
    ) -> list[Pruned]:
        from perdure.core.retention import Retention  # only who prunes needs it, as the engine's

        if not isinstance(policy, Retention):
            raise UsageError(f"what to keep is said by a perdure.Retention, not by {policy!r}")
        if key is not None:
            return [self._pruned(self._asking, key, policy, dry_run, pausing)]
        found = []
        keys = self._look(self._keys())
        for done, each in enumerate(keys, 1):
            try:
                found.append(self._pruned(self._about, each, policy, dry_run, pausing))
            except StateNotFound:
                pass  # it is, or was meanwhile, deleted
            except (*UNREADABLE, Retryable) as error:
                found.append(Pruned(each, dry_run=dry_run, problem=f"{error.kind}: {error}"))
            if progress is not None:
                progress(done, len(keys))
        return found

    def _pruned(
        self,
        about: Callable[[Callable[[Site], Steps[Pruned]], str], Steps[Pruned]],
        key: str,
        policy: Retention,
        dry_run: bool,
        pausing: Callable[[], None] | None,
    ) -> Pruned:
        from perdure.engine.prune import prune

        if self._upkeep is not None and not dry_run:
            self._upkeep.leave(key)
        work = about(partial(prune, policy=policy, dry_run=dry_run), key)
        return self._driver.run(work, makes=False, pausing=pausing)


class Pruning(_Pruning):
    """Removing what a policy does not keep."""

    def prune(
        self,
        policy: Retention,
        key: str | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> list[Pruned]:
        """Remove the checkpoints that a policy does not keep, of one state or of all; for good.

        The policy is applied to each branch; what any branch keeps stays. The newest checkpoint of
        each stays, and whatever stays can be read, rolled back to and forked from as before. The
        chain goes on from where it was cut off, and the receipt is a movement of the journal. What
        branches left goes by the same policy, and altogether after `keep_left`; then it cannot be
        undone any more. Sessions go on meanwhile. It may be killed at any moment: either nothing
        was removed, or the next maintenance removes the rest. `compact` then gives the space back
        to the file system.

        Args:
            policy: what to keep.
            key: the state's key; all states by default.
            dry_run: remove nothing; say what would go.
            progress: called with (states done, all), over all states.

        Returns:
            State by state what went, or would. Over all states, one that cannot be read, or that
            others keep busy, is told of in `problem`, and stays as it is.

        Raises:
            StateNotFound: there is no such state.
            Damaged: something of the state cannot be read; nothing of it was removed.
            Busy: its branches were moved again and again meanwhile; nothing was removed.

        Example:
            >>> day = timedelta(days=1)
            >>> policy = perdure.Retention(keep_last=100, max_age=90 * day, thin=[(7 * day, day)])
            >>> [each.removed for each in store.prune(policy, "support/alice", dry_run=True)]
            [9900]
        """
        return self._pruning(policy, key, dry_run, progress)


class AsyncPruning(_Pruning):
    """Removing what a policy does not keep."""

    async def prune(
        self,
        policy: Retention,
        key: str | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> list[Pruned]:
        """Remove the checkpoints that a policy does not keep, of one state or of all; for good.

        The policy is applied to each branch; what any branch keeps stays. The newest checkpoint of
        each stays, and whatever stays can be read, rolled back to and forked from as before. The
        chain goes on from where it was cut off, and the receipt is a movement of the journal. What
        branches left goes by the same policy, and altogether after `keep_left`; then it cannot be
        undone any more. Sessions go on meanwhile. It may be killed at any moment: either nothing
        was removed, or the next maintenance removes the rest. `compact` then gives the space back
        to the file system.

        Args:
            policy: what to keep.
            key: the state's key; all states by default.
            dry_run: remove nothing; say what would go.
            progress: called with (states done, all), over all states.

        Returns:
            State by state what went, or would. Over all states, one that cannot be read, or that
            others keep busy, is told of in `problem`, and stays as it is.

        Raises:
            StateNotFound: there is no such state.
            Damaged: something of the state cannot be read; nothing of it was removed.
            Busy: its branches were moved again and again meanwhile; nothing was removed.

        Example:
            >>> day = timedelta(days=1)
            >>> policy = perdure.Retention(keep_last=100, max_age=90 * day, thin=[(7 * day, day)])
            >>> [each.removed for each in store.prune(policy, "support/alice", dry_run=True)]
            [9900]
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._pruning, policy, key, dry_run, progress, breaks())
