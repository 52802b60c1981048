"""`Store`: where states live, and everything that can be asked of one without opening it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar, Unpack, overload

from perdure import unsaved
from perdure.acting import Acting
from perdure.attending import Attending
from perdure.branching import Branching
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import audit, marks, states
from perdure.events import reported
from perdure.expiring import Expiring, expires_us
from perdure.migrating import Migrating
from perdure.opening import Loading
from perdure.pruning import Pruning
from perdure.session import Session
from perdure.session_base import Effects, OnCancel, OnError, OpenOptions, checked_effects
from perdure.store_base import Progress, StoreBase
from perdure.types import (
    Checkpoint,
    Exported,
    Maintained,
    OnConflict,
    SessionInfo,
    StateInfo,
    Stats,
    Strategies,
    Unreferenced,
    Verified,
)
from perdure.upgrading import Upgrading

if TYPE_CHECKING:
    from perdure.core.diff import Difference
    from perdure.engine.blame import Parts
    from perdure.views import View
    from perdure.watching import Watch

T = TypeVar("T")


class Store(StoreBase, Acting, Attending, Branching, Expiring, Migrating, Pruning, Upgrading):
    """Where states live. Its methods may be called from any thread.

    Example:
        >>> store = perdure.Store("agents.db")
        >>> with store.open("support/alice") as session:
        ...     session.state["goal"] = "refund order 17"
    """

    @overload
    def open(self, key: str, *, schema: None = None, **options: Unpack[OpenOptions]) -> Session: ...

    @overload
    def open(self, key: str, *, schema: type[T], **options: Unpack[OpenOptions]) -> Session[T]: ...

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
        schema: type[Any] | None = None,
    ) -> Session[Any]:
        """Begin a session on a state, resuming where the last one stopped.

        Nothing is written until something is saved.

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
            schema: a class whose annotations are the sections: a dataclass, TypedDict,
                `msgspec.Struct` or pydantic model. `session.state` is one then. A state in an older
                version of it is migrated, and written so by the first save; one in a newer version
                is seen, and edited, as this version has it.

        Raises:
            StateNotFound: `must_exist`, and there is none.
            BranchNotFound: the state has no such branch.
            Busy: another session holds the branch exclusively; `lease` says who.
            Damaged: what is stored is not what was saved.
            MigrationFailed: what is stored does not fit a migration.
            SchemaMismatch: the state was saved under another schema.
            UsageError: `expires_in` is no such duration, or there is no such strategy or pattern.
        """
        expires = expires_us(expires_in)
        checked_effects(effects)
        claim = self._keeper.claim(key, branch, exclusive, wait)
        loading = Loading(must_exist, sections, windows or {}, lazy=True, schema=schema)
        with claim or nullcontext(), reported(self._on_event, "open", key) as detail:
            while True:
                while claim and (pause := self._look(self._taking(claim, key))) is not None:
                    time.sleep(pause)
                with reported(self._on_event, "load", key):
                    opened = self._look(self._opening(key, loading, branch, claim))
                args, options = self._session_parts(
                    opened,
                    on_error,
                    on_cancel,
                    on_conflict,
                    strategies,
                    claim,
                    expires,
                    lazy=True,
                )
                founding = self._founding(args[1])
                if founding is None or self._driver.run(founding):
                    break
            session: Session[Any] = Session(*args, **options, effects=effects)
            detail["number"] = session.checkpoint.number if session.checkpoint else 0
            return session

    def history(
        self,
        key: str,
        *,
        limit: int | None = None,
        before: Ref | None = None,
        changes: bool = False,
        branch: str = MAIN,
        every: bool = False,
    ) -> list[Checkpoint]:
        """Checkpoints of a state, newest first.

        Args:
            key: the state's key.
            limit: at most so many.
            before: only those before this one (for paging).
            changes: give each its changes too.
            branch: whose checkpoints.
            every: those of all branches, and of what they left, instead.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: `before` names none.
        """
        return self._look(self._history(key, limit, before, changes, branch, every))

    @overload
    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: None = None,
    ) -> View: ...

    @overload
    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: type[T],
    ) -> View[T]: ...

    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: type[Any] | None = None,
    ) -> View[Any]:
        """The state as it was at a checkpoint, read-only.

        Only what is asked for is read, and of a window only its items.

        Args:
            key: the state's key.
            ref: the checkpoint: its number, its id or the beginning of that, `"branch@number"`,
                `"~3"`, `perdure.label(…)` or `perdure.time(…)`.
            sections: read these at once, the others when they are touched (`AsyncStore`: not at
                all). By default each is read when touched (`AsyncStore`: all at once).
            windows: by name of a section that is a list, how many of its last items to read: it is
                then a list of these alone, whose `offset` is the number of those before them.
            schema: show it as this class has it, whatever version it was saved in: `View.state`.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            UsageError: a section of which a window was asked for is no list.
            MigrationFailed: what is stored does not fit a migration.
        """
        loading = Loading(True, sections, windows or {}, lazy=True, schema=schema)
        return self._look(self._viewing(key, ref, loading))

    def diff(
        self,
        key: str,
        before: Ref,
        after: Ref,
        *,
        other: str | None = None,
        schema: type[Any] | None = None,
    ) -> list[Difference]:
        """What differs between two checkpoints, on whatever branches, or between two states.

        Two checkpoints of one state cost what differs; of two states, both are read whole.

        Args:
            key: the state's key.
            before: a checkpoint of it; which of both is the older does not matter.
            after: the other checkpoint.
            other: the key of the state that has `after`; by default the same.
            schema: compare them as this class has them, whatever versions they were saved in. Both
                are read whole then.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            BranchNotFound: a reference names a branch that is not there.

        Example:
            >>> store.diff("support/alice", "main", "what-if")
            >>> store.diff("support/alice", "main", "main", other="support/bob")
        """
        return self._look(self._diffing(key, before, after, other, schema))

    def blame(self, key: str, path: Parts, *, at: Ref | None = None) -> Checkpoint:
        """The checkpoint that last wrote what is at a path, and with it the session.

        That is the newest that set the value itself, changed something in it, or set a whole that
        it is part of. Items of lists are followed through what was put in and taken out before
        them; one that was taken out and put in again elsewhere was written then. What `merge` took
        from a branch was written there: `Checkpoint.branch` says where. The merge itself is named
        for what it made of both sides, and where that branch's past was pruned. Records are read
        back from the newest, so it costs more the longer ago it was.

        Args:
            key: the state's key.
            path: a section and what leads on from it: written as `perdure show` takes it, such as
                `"plan/3/status"`, or its parts, such as `("plan", 3, "status")`.
            at: the checkpoint at which to look it up; the newest by default.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            PathNotFound: nothing is there; the message says how far the path goes.
        """
        return self._look(self._blaming(key, path, at))

    def states(
        self,
        prefix: str = "",
        *,
        limit: int = 100,
        after: str | None = None,
        deleted: bool = False,
    ) -> list[StateInfo]:
        """States whose key begins with `prefix`, in key order, none of them opened.

        A state whose head is damaged is listed with the status `"damaged"`, deleted or not. Of one
        key there may be several deleted states, listed newest first; `StateInfo.life` tells them
        apart.

        Args:
            prefix: beginning of the keys.
            limit: at most so many keys; the next page is `after=page[-1].key`.
            after: only keys after this one.
            deleted: the deleted ones instead, also of keys that are in use again.
        """
        return self._look(self._listing(prefix, limit, after, deleted))

    def info(self, key: str) -> StateInfo:
        """What `states` says of one state.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(states.info, key))

    def watch(
        self,
        key: str,
        *,
        cursor: str | None = None,
        since: Literal["now", "start"] = "now",
        interval: float = 0.1,
        timeout: float | None = None,
        branch: str = MAIN,
    ) -> Watch:
        """New checkpoints as they land, from any process, each with its changes.

        Of each state they come in order, none twice, and none is left out, also over restarts of
        the watcher, as long as it goes on with the cursor of the last one that it handled. A branch
        that was rolled back goes on at an earlier number; what it left is given too. States that
        are made later are watched from their first checkpoint. The store may be made later as well.

        Args:
            key: the state's key; with a `*` at its end, all that begin so; `"*"` is all.
            cursor: `Landed.cursor` or `Watch.cursor` of an earlier watch of the same.
            since: without a cursor, `"now"`, which begins with the call (`AsyncStore`: with `async
                with`, or the first step), or `"start"`, as if it had watched from the start.
            interval: how often to look for what others saved, in seconds; what is saved through
                this store is given at once.
            timeout: end the iteration when nothing came for so long, in seconds.
            branch: the branch to watch.

        Raises:
            UsageError: the cursor is none, or one of another store, key or branch.
            Damaged: the state cannot be read; of several, it is warned of and passed over.

        Example:
            >>> for landed in store.watch("support/*", cursor=kept):
            ...     handle(landed.checkpoint)
            ...     kept = landed.cursor
        """
        from perdure.watching import Watch

        return Watch(
            self._driver,
            key,
            cursor=cursor,
            since=since,
            interval=interval,
            timeout=timeout,
            branch=branch,
        )

    def sessions(self, key: str) -> list[SessionInfo]:
        """Sessions that saved something to a state, newest first.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(marks.sessions_of, key))

    def stats(self, key: str) -> Stats:
        """What a state costs to keep.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(audit.stats, key))

    def copy(self, key: str, new: str, *, at: Ref | None = None) -> StateInfo:
        """A new state with the same content and history, on its own from then on.

        Args:
            key: the state's key.
            new: the key of the copy.
            at: the checkpoint to copy, with all before it; the newest of `main` if left out. Other
                branches are not copied.

        Raises:
            StateNotFound: there is no state `key`.
            StateExists: there is a state `new`.
        """
        return self._look(self._copying(key, new, at))

    def delete(self, key: str) -> StateInfo:
        """Hide a state. Nothing is removed: `undelete` brings it back.

        Sessions open on it can no longer save to it.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(states.delete, key))

    def undelete(self, key: str, *, life: int | None = None) -> StateInfo:
        """Bring back the state that was deleted last under this key, or an earlier one.

        Args:
            key: the state's key.
            life: `StateInfo.life` of the one to bring back, as `states(deleted=True)` lists them.

        Raises:
            StateNotFound: none was deleted, or there is no such life.
            StateExists: the key is in use; delete that state first, which loses nothing.
        """
        return self._look(self._undeleting(key, life))

    def export(
        self,
        key: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Progress | None = None,
    ) -> Exported:
        """Write a state with its whole history as one portable file.

        Args:
            key: the state's key.
            target: a path that does not exist yet, or a binary file object.
            progress: called with (checkpoints done, all).

        Raises:
            StateNotFound: there is no such state.
            UsageError: the file exists or cannot be written.
            StoreUnavailable: its directory is not there, or may not be written to.
        """
        return self._export(key, target, progress)

    def import_(
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
        """
        return self._import(source, key, progress)

    def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """A consistent copy of the whole store, while it is being written to.

        Args:
            path: a file that does not exist yet.
            progress: called with (done, all), in the backend's units.

        Raises:
            UsageError: the file exists, or this store has no files to copy.
            StoreUnavailable: its directory is not there, or may not be written to.
        """
        self._backup(path, progress)

    def verify(self, key: str | None = None, *, progress: Progress | None = None) -> list[Verified]:
        """Read everything of a state, or of all, and check it: tags, chain and replay (P5).

        Args:
            key: the state's key; all states by default, deleted ones included.
            progress: called with (states done, all).

        Raises:
            StateNotFound: there is no such state.
        """
        return self._verify(key, progress)

    def unreferenced(self) -> list[Unreferenced]:
        """What is stored that no state refers to; harmless, though it takes space.

        What belongs to a state, and nothing refers to, is told by `verify`.
        """
        return self._unreferenced()

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

    def close(self) -> None:
        """Let what is under way finish and release the store. Safe to call twice."""
        self._close()
        unsaved.store_closed(self._driver)

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()
