"""What `Store` and `AsyncStore` do with fleets of states: the same methods, awaited or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.schemas.report import Migrated, Migrations, Unmigrated
    from perdure.store_base import Progress


class _Migrating:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver

    def _migrating(
        self,
        prefix: str,
        schema: type,
        dry_run: bool,
        skip_failures: bool,
        verify_first: bool | Migrated,
        progress: Progress | None,
        pausing: Callable[[], None] | None = None,
    ) -> Migrated:
        from perdure.fleet.runs import Fleet, migrate  # few migrate
        from perdure.schemas.annotations import kind_of
        from perdure.schemas.declare import declared_of

        declared_of(schema)  # before anything is listed
        kind_of(schema)  # of a class that is no schema all states would seem to be current
        rounds = 2 if verify_first is True and not dry_run else 1
        fleet = Fleet(self._driver, prefix, rounds, progress, pausing)
        return migrate(
            fleet, schema, dry_run=dry_run, skip_failures=skip_failures, first=verify_first
        )

    def _unmigrating(
        self,
        run: str,
        prefix: str,
        dry_run: bool,
        progress: Progress | None,
        pausing: Callable[[], None] | None = None,
    ) -> Unmigrated:
        from perdure.fleet.runs import Fleet, unmigrate

        fleet = Fleet(self._driver, prefix, 1, progress, pausing)
        return unmigrate(fleet, run, dry_run=dry_run)

    def _listing_runs(
        self, prefix: str, progress: Progress | None, pausing: Callable[[], None] | None = None
    ) -> Migrations:
        from perdure.fleet.runs import Fleet, migrations

        return migrations(Fleet(self._driver, prefix, 1, progress, pausing))


class Migrating(_Migrating):
    """Migrating many states."""

    def migrate(
        self,
        prefix: str,
        schema: type,
        *,
        dry_run: bool = False,
        skip_failures: bool = False,
        verify_first: bool | Migrated = True,
        progress: Progress | None = None,
    ) -> Migrated:
        """Migrate every state below a prefix to the newest version of a schema.

        All are looked at first: migrations run, what they would write is replayed and compared, and
        nothing is written. If any fails, nothing is migrated, unless `skip_failures`. Then each
        branch of each state is migrated in one commit of its own, never half; many commits share a
        transaction. It may be stopped or killed at any moment: run again, it goes on with those
        that are left. Agents may go on meanwhile: what they save in between is migrated with it,
        and a session that was open is told at its next save. A branch that a session holds
        exclusively is passed over, and counted as busy. Deleted states stay as they are, and those
        that expire do so when they would have: being migrated is no use of them.

        Args:
            prefix: of the states' keys, with or without a `*` behind it; empty for all.
            schema: the class of the newest version.
            dry_run: only look.
            skip_failures: migrate all others where some fail.
            verify_first: whether to look at all first; or the report of a dry run, which did.
            progress: called with (states done, all); looking and migrating count apart.

        Returns:
            What was done: counts, failures and samples, and the run's id for `unmigrate`.

        Raises:
            UsageError: the class is no schema, or the report is of something else.
            StorageFull: the disk is full; what was migrated until then stays, as with whatever else
                tells of the store and not of a state (`CommitUnknown`, `StoreUnavailable`, …).
                What ends it in the middle has a note (`__notes__`) with the run's id.

        Example:
            >>> store.migrate("support/", Research, dry_run=True).summary()
            'would migrate 812 to Research 3; 9 current; 821 states in 0.4 s, 2,052 a second'
            >>> run = store.migrate("support/", Research).run
        """
        parts = prefix, schema, dry_run, skip_failures, verify_first, progress
        return self._migrating(*parts)

    def unmigrate(
        self,
        run: str,
        *,
        prefix: str = "",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Unmigrated:
        """Take a migration of many states back: roll back each that nobody saved to since.

        Those that were saved to since are named, and stay as they are; so does every branch that
        the run did not migrate. What is left of the migrations stays in the store, as of any
        rollback, and `undo` goes back there.

        Args:
            run: the run's id, as the report of `migrate` and the checkpoints' metadata have it.
            prefix: of the keys of the states that are looked at; by default all.
            dry_run: only say what would be rolled back.
            progress: called with (states done, all).

        Raises:
            UsageError: this is no run's id.

        Example:
            >>> store.unmigrate(run).left
            (('support/alice', 'main'),)
        """
        return self._unmigrating(run, prefix, dry_run, progress)

    def migrations(self, prefix: str = "", *, progress: Progress | None = None) -> Migrations:
        """List the runs of `migrate` that states tell of, the newest first.

        Each branch of each state has with its version which runs brought it there. So what was
        rolled back since is not counted, and a run that was taken back is not listed.

        Args:
            prefix: of the states' keys, with or without a `*` behind it; empty for all.
            progress: called with (states done, all).

        Returns:
            Of each run its id, when it began, the schema, the version, how many branches it
            migrated, and how many are left in an older version.

        Example:
            >>> [(each.run, each.migrated, each.is_done) for each in store.migrations().runs]
            [('06612da10217cc-f7a572a4', 812, True)]
        """
        return self._listing_runs(prefix, progress)


class AsyncMigrating(_Migrating):
    """Migrating many states."""

    async def migrate(
        self,
        prefix: str,
        schema: type,
        *,
        dry_run: bool = False,
        skip_failures: bool = False,
        verify_first: bool | Migrated = True,
        progress: Progress | None = None,
    ) -> Migrated:
        """Migrate every state below a prefix to the newest version of a schema.

        All are looked at first: migrations run, what they would write is replayed and compared, and
        nothing is written. If any fails, nothing is migrated, unless `skip_failures`. Then each
        branch of each state is migrated in one commit of its own, never half; many commits share a
        transaction. It may be stopped or killed at any moment: run again, it goes on with those
        that are left. Agents may go on meanwhile: what they save in between is migrated with it,
        and a session that was open is told at its next save. A branch that a session holds
        exclusively is passed over, and counted as busy. Deleted states stay as they are, and those
        that expire do so when they would have: being migrated is no use of them.

        Args:
            prefix: of the states' keys, with or without a `*` behind it; empty for all.
            schema: the class of the newest version.
            dry_run: only look.
            skip_failures: migrate all others where some fail.
            verify_first: whether to look at all first; or the report of a dry run, which did.
            progress: called with (states done, all); looking and migrating count apart.

        Returns:
            What was done: counts, failures and samples, and the run's id for `unmigrate`.

        Raises:
            UsageError: the class is no schema, or the report is of something else.
            StorageFull: the disk is full; what was migrated until then stays, as with whatever else
                tells of the store and not of a state (`CommitUnknown`, `StoreUnavailable`, …).
                What ends it in the middle has a note (`__notes__`) with the run's id.

        Example:
            >>> store.migrate("support/", Research, dry_run=True).summary()
            'would migrate 812 to Research 3; 9 current; 821 states in 0.4 s, 2,052 a second'
            >>> run = store.migrate("support/", Research).run
        """
        from perdure.fleet.beside import beside

        work = partial(
            self._migrating, prefix, schema, dry_run, skip_failures, verify_first, progress
        )
        return await beside(work)

    async def unmigrate(
        self,
        run: str,
        *,
        prefix: str = "",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Unmigrated:
        """Take a migration of many states back: roll back each that nobody saved to since.

        Those that were saved to since are named, and stay as they are; so does every branch that
        the run did not migrate. What is left of the migrations stays in the store, as of any
        rollback, and `undo` goes back there.

        Args:
            run: the run's id, as the report of `migrate` and the checkpoints' metadata have it.
            prefix: of the keys of the states that are looked at; by default all.
            dry_run: only say what would be rolled back.
            progress: called with (states done, all).

        Raises:
            UsageError: this is no run's id.

        Example:
            >>> store.unmigrate(run).left
            (('support/alice', 'main'),)
        """
        from perdure.fleet.beside import beside

        return await beside(partial(self._unmigrating, run, prefix, dry_run, progress))

    async def migrations(self, prefix: str = "", *, progress: Progress | None = None) -> Migrations:
        """List the runs of `migrate` that states tell of, the newest first.

        Each branch of each state has with its version which runs brought it there. So what was
        rolled back since is not counted, and a run that was taken back is not listed.

        Args:
            prefix: of the states' keys, with or without a `*` behind it; empty for all.
            progress: called with (states done, all).

        Returns:
            Of each run its id, when it began, the schema, the version, how many branches it
            migrated, and how many are left in an older version.

        Example:
            >>> [(each.run, each.migrated, each.is_done) for each in store.migrations().runs]
            [('06612da10217cc-f7a572a4', 812, True)]
        """
        from perdure.fleet.beside import beside

        return await beside(partial(self._listing_runs, prefix, progress))
