"""`AsyncStore`: the facade for asyncio. The methods of `Store`, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, Unpack, overload

from perdure import unsaved
from perdure.access import guarded
from perdure.acting import AsyncActing
from perdure.aio_branching import AsyncBranching
from perdure.aio_looking import AsyncLooking
from perdure.aio_session import AsyncSession, Opening
from perdure.anchoring import AsyncAnchoring
from perdure.attending import AsyncAttending
from perdure.beginning import Beginning
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import audit, states
from perdure.erasing import AsyncErasing
from perdure.events import reported
from perdure.expiring import AsyncExpiring, expires_us
from perdure.maintaining import AsyncMaintaining
from perdure.migrating import AsyncMigrating
from perdure.opening import Loading
from perdure.pruning import AsyncPruning
from perdure.redacting import AsyncRedacting
from perdure.reports import (
    Exported,
    Stats,
    Unreferenced,
)
from perdure.scanning import AsyncScanning
from perdure.schemas.ephemeral import checked as checked_names
from perdure.sealing import AsyncSealing
from perdure.session_base import (
    Effects,
    OnCancel,
    OnDamage,
    OnError,
    OpenOptions,
    checked_effects,
)
from perdure.store_base import Progress
from perdure.types import OnConflict, StateInfo, Strategies
from perdure.upgrading import AsyncUpgrading
from perdure.verifying import AsyncVerifying

if TYPE_CHECKING:
    pass

T = TypeVar("T")


@guarded
class AsyncStore(
    AsyncLooking,
    AsyncActing,
    AsyncAnchoring,
    AsyncAttending,
    Beginning,
    AsyncBranching,
    AsyncErasing,
    AsyncExpiring,
    AsyncMaintaining,
    AsyncMigrating,
    AsyncPruning,
    AsyncRedacting,
    AsyncVerifying,
    AsyncScanning,
    AsyncSealing,
    AsyncUpgrading,
):
    """Where states live, for asyncio: the methods of `Store`, awaited.

    It never blocks the event loop, and may be used from several loops.

    Example:
        >>> store = perdure.AsyncStore("agents.db")
        >>> async with store.open("support/alice") as session:
        ...     session.state["goal"] = "refund order 17"
    """

    @overload
    def open(self, key: str, *, schema: None = None, **options: Unpack[OpenOptions]) -> Opening: ...

    @overload
    def open(self, key: str, *, schema: type[T], **options: Unpack[OpenOptions]) -> Opening[T]: ...

    def open(
        self,
        key: str,
        *,
        branch: str = MAIN,
        must_exist: bool = False,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        on_error: OnError = "discard",
        on_cancel: OnCancel = "keep",
        on_conflict: OnConflict = "raise",
        strategies: Strategies | None = None,
        exclusive: bool = False,
        wait: float = 30.0,
        expires_in: timedelta | None = None,
        effects: Effects = "allow",
        on_damage: OnDamage | None = None,
        ephemeral: Iterable[str] = (),
        schema: type[Any] | None = None,
    ) -> Opening[Any]:
        """Begin a session on a state, resuming where the last one stopped.

        Nothing is written until something is saved. Await it, or enter it with `async with`.

        Args:
            key: the state's key, such as `"support/alice"`.
            branch: the branch to work on; `fork` makes one.
            must_exist: raise `StateNotFound` rather than begin a new state.
            sections: load these at once, the others when they are touched (`AsyncStore`: by
                `await session.load(…)`). By default each is loaded when touched (`AsyncStore`: all
                at once).
            windows: by name of a section that is a list, how many of its last items to load: it
                is then a list of these alone, whose edits are saved where they belong.
            on_error: what an exception in the `with` block does with unsaved edits.
            on_cancel: what cancellation (or Ctrl-C) does with them.
            on_conflict: what a save does when others saved to the branch meanwhile: `"raise"`s
                `Conflict`, or goes on with all edits on a new branch (`"fork"`): `session.branch`
                is its name then, and `session.diverged` says why; or puts the edits on top of what
                they saved (`"merge"`): `session.state` has both then, and the checkpoint `merged`.
                With `"fork"`, a state that others made first raises `Conflict` all the same: there
                is no checkpoint of this session to fork from.
            strategies: with `"merge"`, what is done where both changed the same place, by path
                pattern, as `merge` takes them; "ours" are this session's edits. Elsewhere such a
                place raises `MergeConflicts`, and nothing is lost. Functions are called in another
                thread, under asyncio.
            exclusive: hold the branch as long as the session is open: no other session can save to
                it. That is written at once; it makes a state that is not there yet, with an empty
                checkpoint. The hold of a process that died is taken over.
            wait: how long to wait for who holds it so, in seconds; 0: not at all.
            expires_in: how long after its last save the state expires, kept with the next save;
                `sweep` deletes it then. By default that stays as it is; `timedelta.max`: never.
            effects: `"refuse"` them, as on a fork that only explores; or a function that is given
                each `Effect` and gives what is taken for its result: nothing is performed.
            on_damage: with a state that is damaged, `"raise"` `Damaged`, or go back (`"last_good"`)
                to the newest checkpoint that can be read whole, by a rollback that `movements`
                tells and `undo` takes back: `session.resumed.loss` says what is lost. By default as
                the store has it. One damaged section does not count: it alone cannot be read.
            ephemeral: names of sections that are never written: they are empty when the session
                begins, and gone when it ends. What is stored under such a name is neither shown
                nor changed. A schema marks them by `Annotated[…, perdure.ephemeral]`.
            schema: a class whose annotations are the sections: a dataclass, TypedDict,
                `msgspec.Struct` or pydantic model. `session.state` is one then. A state in an older
                version of it is migrated, and written so by the first save; one in a newer version
                is seen, and edited, as this version has it.

        Raises:
            StateNotFound: `must_exist`, and there is none.
            BranchNotFound: the state has no such branch.
            Busy: another session holds the branch exclusively; `lease` says who.
            Damaged: what is stored is not what was saved; nothing was changed.
            MigrationFailed: what is stored does not fit a migration, or what one makes by a
                function does not fit the schema.
            MigrationChanged: a migration is declared otherwise than the state has it.
            SchemaMismatch: the state was saved under another schema.
            UsageError: `expires_in` is no such duration, or there is no such strategy or pattern.
        """
        expires = expires_us(expires_in)
        checked_effects(effects)
        unwritten = checked_names(ephemeral)
        loading = Loading(
            must_exist, sections, windows or {}, lazy=False, schema=schema, ephemeral=unwritten
        )
        alone = exclusive, wait
        return Opening(
            partial(
                self._open,
                key,
                loading,
                branch,
                on_error,
                on_cancel,
                on_conflict,
                strategies,
                alone,
                expires,
                effects,
                on_damage,
            )
        )

    async def _open(
        self,
        key: str,
        loading: Loading,
        branch: str,
        on_error: OnError,
        on_cancel: OnCancel,
        on_conflict: OnConflict,
        strategies: Strategies | None,
        alone: tuple[bool, float],
        expires: int | None,
        effects: Effects,
        on_damage: OnDamage | None,
    ) -> AsyncSession[Any]:
        claim = self._keeper.claim(key, branch, *alone)
        with claim or nullcontext(), reported(self._on_event, "open", key) as detail:
            while True:
                while claim and (pause := await self._ask(self._taking(claim, key))) is not None:  # noqa: ASYNC110 - others end it
                    await asyncio.sleep(pause)
                with reported(self._on_event, "load", key):
                    opened = await self._ask(self._opening(key, loading, branch, claim, on_damage))
                    # In a thread, too: a node for each container of a long state takes its time.
                    args, options = await asyncio.to_thread(
                        self._session_parts,
                        opened,
                        on_error,
                        on_cancel,
                        on_conflict,
                        strategies,
                        claim,
                        expires,
                        lazy=False,
                    )
                founding = self._founding(args[1])
                if founding is None or await self._driver.arun(founding):
                    break
            session: AsyncSession[Any] = AsyncSession(*args, **options, effects=effects, store=self)
            detail["number"] = session.checkpoint.number if session.checkpoint else 0
            return session

    async def stats(self, key: str) -> Stats:
        """What a state costs to keep.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(audit.stats, key))

    async def copy(self, key: str, new: str, *, at: Ref | None = None) -> StateInfo:
        """A new state with the same content and history, on its own from then on.

        Args:
            key: the state's key.
            new: the key of the copy.
            at: the checkpoint to copy, with all before it; the newest of `main` if left out. Other
                branches are not copied.

        Raises:
            StateNotFound: there is no state `key`.
            StateExists: there is a state `new`.
            SecretFound: the store has a policy about secrets, and there is one in what the copy
                would have; nothing was written.
        """
        return await self._ask(self._copying(key, new, at))

    async def delete(self, key: str) -> StateInfo:
        """Hide a state. Nothing is removed: `undelete` brings it back.

        Sessions open on it can no longer save to it.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(states.delete, key))

    async def undelete(self, key: str, *, life: int | None = None) -> StateInfo:
        """Bring back the state that was deleted last under this key, or an earlier one.

        Args:
            key: the state's key.
            life: `StateInfo.life` of the one to bring back, as `states(deleted=True)` lists them.

        Raises:
            StateNotFound: none was deleted, or there is no such life.
            StateExists: the key is in use; delete that state first, which loses nothing.
        """
        return await self._ask(self._undeleting(key, life))

    async def export(
        self,
        key: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        in_clear: bool = False,
        progress: Progress | None = None,
    ) -> Exported:
        """Write a state with its whole history as one portable file.

        That of a store with a key is encrypted under the store's root key.

        Args:
            key: the state's key.
            target: a path that does not exist yet, or a binary file object.
            in_clear: not encrypted, whatever the store is.
            progress: called with (checkpoints done, all).

        Raises:
            StateNotFound: there is no such state.
            UsageError: the file exists or cannot be written.
            StoreUnavailable: its directory is not there, or may not be written to.
        """
        return await asyncio.to_thread(self._export, key, target, progress, in_clear)

    async def import_(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        key: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> StateInfo:
        """Read a state that `export` wrote; it appears only when all of it was verified.

        Args:
            source: a path or a binary file object.
            key: the key to give it; its own by default.
            progress: called with (checkpoints done, all).

        Raises:
            StateExists: the key is in use.
            Malformed: the file is not an exported state.
            Damaged: it is not what was exported, or its changes do not apply.
            KeyMissing: it is encrypted, and this store has no key.
            WrongKey: it is encrypted under another root key than this store.
            SecretFound: the store has a policy about secrets, and there is one anywhere in the
                file; nothing was written.
            UsageError: it has one, and the file cannot be read twice.
        """
        return await asyncio.to_thread(self._import, source, key, progress)

    async def backup(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """A consistent copy of the whole store, while it is being written to.

        Args:
            path: a file that does not exist yet.
            progress: called with (done, all), in the backend's units.

        Raises:
            UsageError: the file exists, or this store has no files to copy.
            StoreUnavailable: its directory is not there, or may not be written to.
        """
        await asyncio.to_thread(self._backup, path, progress)

    async def unreferenced(self) -> list[Unreferenced]:
        """What is stored that no state refers to; harmless, though it takes space.

        What belongs to a state, and nothing refers to, is told by `verify`.
        """
        return await asyncio.to_thread(self._unreferenced)

    async def close(self) -> None:
        """Let what is under way finish and release the store. Safe to call twice."""
        await asyncio.to_thread(self._close)
        unsaved.store_closed(self._driver)

    async def __aenter__(self) -> Self:
        """The store itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        await self.close()
