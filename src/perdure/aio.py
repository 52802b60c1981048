"""`AsyncStore` and `AsyncSession`: the facade for asyncio. Same methods, awaited."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NoReturn, Self, TypeVar

from perdure import parts, unsaved
from perdure.branching import AsyncBranching
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import audit, marks, states
from perdure.engine.refresh import read_news, take_in
from perdure.engine.requests import Steps
from perdure.errors import PerdureError
from perdure.events import reported
from perdure.expiring import AsyncExpiring, expires_us
from perdure.opening import Loading
from perdure.session import OnCancel, OnError, SessionBase
from perdure.store_base import Progress, StoreBase
from perdure.turn import Turn
from perdure.types import (
    Checkpoint,
    Durability,
    Exported,
    Maintained,
    OnConflict,
    SessionInfo,
    StateInfo,
    Stats,
    Unreferenced,
    Verified,
)
from perdure.upkeep import breaks

if TYPE_CHECKING:
    from perdure.aio_watch import AsyncWatch
    from perdure.core.diff import Difference
    from perdure.engine.blame import Parts
    from perdure.views import View

T = TypeVar("T")


class AsyncSession(SessionBase):
    """One period of work on a state, as `AsyncStore.open` gives it; see `Session`.

    Example:
        >>> async with store.open("support/alice") as session:
        ...     session.state.setdefault("messages", []).append({"role": "user", "content": "Hi"})
        ...     await session.save()
    """

    _with, _close = "async with", "await session.close()"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._saving = Turn()
        self._editing = Turn()

    async def save(
        self,
        label: str | None = None,
        metadata: dict[str, Any] | None = None,
        durability: Durability | None = None,
    ) -> Checkpoint:
        """Make every edit so far durable, as one checkpoint; writes only what changed.

        With nothing to save it adds nothing and returns the newest checkpoint.

        Args:
            label: a name to find the checkpoint by.
            metadata: any storable dict to keep with it.
            durability: `"power"` or `"process"` for this save; the store's by default.

        Raises:
            Conflict: someone else saved since this session read; see `refresh`.
            LeaseLost: this session held the branch exclusively, and does not any more.
            CommitUnknown: its fate is not known; saving again settles it, once.
            Busy: others kept the store too long, or another session holds the branch exclusively;
                nothing was written.
            UntrackedEdit: a container was changed behind Perdure's back.
        """
        self._require_open()
        self._refuse_inside_atomic()
        began = time.monotonic()
        with reported(self._on_event, "save", self.key) as detail:
            async with self._editing:  # no wait before the capture, unless a block is open
                self._require_open()
                body = self._stage(label, metadata, durability)
            async with self._saving:
                steps = self._in_store(self._core.flush(durability or self._durability))
                await self._driver.arun(steps)
            checkpoint = self._saved(body, detail)
        if self._upkeep is not None:
            took = time.monotonic() - began
            if (share := self._upkeep.saved(self._core, took)) > 0:
                await asyncio.sleep(share)
        return checkpoint

    def _outside_block(self) -> AbstractAsyncContextManager[object]:
        """The turn of what must not come into others' blocks; code inside a block has it."""
        return nullcontext() if self._document.is_within_block() else self._editing

    def atomic(self) -> AtomicBlock:
        """Edits that belong together: no save takes effect inside, an exception undoes them.

        A save or a block in another thread or task waits for the end of the block; an edit there
        is refused. Tasks started in the block belong to it.

        Raises:
            SaveInsideAtomic: on a save inside the block.
            ConcurrentEdit: on an edit from elsewhere meanwhile.
        """
        return AtomicBlock(self._atomic())

    @asynccontextmanager
    async def _atomic(self) -> AsyncIterator[None]:
        self._require_open()
        if self._document.is_within_block():
            with self._document.block():
                yield
        else:
            async with self._editing:
                self._require_open()
                with self._document.block():
                    yield

    async def load(self, *names: str) -> None:
        """Load sections whole, and all that are not loaded if none is named.

        A window that is named shows the whole list from then on, and stays the same live list.

        Raises:
            KeyError: there is no such section.
            Damaged: what is stored is not what was saved.
        """
        self._require_open()
        async with self._outside_block(), self._saving:
            for name in names:
                parts.require(self._document, name)
            for name in names or sorted(self._document.unloaded()):
                reading = self._missing_of(name)
                if reading is not None:
                    with reported(self._on_event, "load", self.key) as detail:
                        detail["section"] = name
                        run = self._driver.run
                        self._take_in(name, await asyncio.to_thread(run, reading, makes=False))

    async def window(
        self,
        name: str,
        start: int | None = None,
        stop: int | None = None,
        *,
        last: int | None = None,
        tokens: int | None = None,
        count: Callable[[Any], int] | None = None,
    ) -> list[Any]:
        """Items of a long list, as plain copies; reads only what it needs of what is not loaded.

        Args:
            name: of the section.
            start: position of the first, as in a slice.
            stop: position after the last, as in a slice.
            last: instead: the newest so many items.
            tokens: instead: the newest items that count at most so much together; none, if the
                newest alone counts more.
            count: what one item counts, with `tokens`.

        Raises:
            KeyError: there is no such section.
            UsageError: it is no list, or the arguments do not go together.

        Example:
            >>> session.window("messages", last=20)
            >>> session.window("messages", tokens=8000, count=estimate)
        """
        self._require_open()
        asked = parts.Asked(start, stop, last, tokens, count)
        async with self._saving:
            reading = parts.read_part(self._document, self._core, name, asked)
            return await self._driver.arun(reading, makes=False)

    async def refresh(self, keep_changes: bool = False) -> Checkpoint | None:
        """Take in what others saved since, into the live containers; the newest checkpoint.

        Args:
            keep_changes: keep this session's unsaved edits, if they touch other sections; by
                default they are given up.

        Raises:
            Conflict: both sides changed the same sections; nothing was changed here.
            StateDeleted: the state is gone.
        """
        self._require_open()
        self._refuse_inside_atomic()
        with reported(self._on_event, "refresh", self.key):
            async with self._editing, self._saving:
                self._require_open()
                await self._driver.arun(self._in_store(self._core.settle()), makes=False)
                while True:
                    # Read in a thread, where decoding what others saved does not hold the loop up;
                    # one that is left behind by a cancellation has changed nothing.
                    reading = self._in_store(read_news(self._core, keep_changes))
                    news = await asyncio.to_thread(self._driver.run, reading, makes=False)
                    if take_in(self._core, news, keep_changes):
                        return self.checkpoint

    async def close(self) -> None:
        """Save what is unsaved and end the session. Safe to call twice."""
        await self._finish(None)

    async def _finish(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._require_open()
        self._refuse_inside_atomic()
        with reported(self._on_event, "close", self.key) as detail:
            try:
                async with self._editing, self._saving:
                    if self._closed:
                        return
                    with self._closing():
                        how, named = self._ending(error)
                        detail["ended"] = how
                        ending = self._in_store(self._core.end(how, named, self._durability))
                        await self._driver.arun(ending, makes=self._core.unsaved)
            except PerdureError as failure:
                self._end_failed(failure, error)
        if self._upkeep is not None:
            self._upkeep.saved(self._core, math.inf)  # asked for, not waited for

    async def __aenter__(self) -> Self:
        """The session itself.

        Raises:
            SessionClosed: it has ended.
        """
        self._require_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session as the block ended."""
        await self._finish(error)


class Opening:
    """A session about to be opened: `await` it, or enter it with `async with`."""

    def __init__(self, opening: Callable[[], Coroutine[Any, Any, AsyncSession]]) -> None:
        self._begin = opening  # a coroutine made before it is awaited is complained of if it is not
        self._coroutine: Coroutine[Any, Any, AsyncSession] | None = None
        self._session: AsyncSession | None = None

    def __await__(self) -> Generator[Any, Any, AsyncSession]:
        """The session."""
        if self._coroutine is None:
            self._coroutine = self._begin()
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(AsyncSession, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"the session is not open yet, so it has no {name!r}: write `session = await "
            "store.open(key)`, or `async with store.open(key) as session:`"
        )

    def __enter__(self) -> NoReturn:
        """Refuse, and say how it is entered."""
        raise TypeError(
            "a session of an AsyncStore is entered with `async with`: "
            "`async with store.open(key) as session:`"
        )

    def __exit__(self, *_: object) -> None:
        """Never reached."""

    async def __aenter__(self) -> AsyncSession:
        """Open the session."""
        self._session = await self
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session as the block ended."""
        assert self._session is not None
        await self._session.__aexit__(kind, error, trace)


class AtomicBlock(AbstractAsyncContextManager[None]):
    """What `AsyncSession.atomic` gives: enter it with `async with`."""

    def __init__(self, block: AbstractAsyncContextManager[None]) -> None:
        self._block = block

    def __enter__(self) -> NoReturn:
        """Refuse, and say how it is entered."""
        raise TypeError(
            "a block of an AsyncSession is entered with `async with`: "
            "`async with session.atomic():`"
        )

    def __exit__(self, *_: object) -> None:
        """Never reached."""

    async def __aenter__(self) -> None:
        """Begin the block."""
        await self._block.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """End the block."""
        return await self._block.__aexit__(kind, error, trace)


class AsyncStore(StoreBase, AsyncBranching, AsyncExpiring):
    """Where states live, for asyncio: the methods of `Store`, awaited.

    It never blocks the event loop, and may be used from several loops.

    Example:
        >>> store = perdure.AsyncStore("agents.db")
        >>> async with store.open("support/alice") as session:
        ...     session.state["goal"] = "refund order 17"
    """

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
        exclusive: bool = False,
        wait: float = 30.0,
        expires_in: timedelta | None = None,
    ) -> Opening:
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
                is its name then, and `session.diverged` says why.
            exclusive: hold the branch as long as the session is open: no other session can save to
                it. That is written at once; it makes a state that is not there yet, with an empty
                checkpoint. The hold of a process that died is taken over.
            wait: how long to wait for who holds it so, in seconds; 0: not at all.
            expires_in: how long after its last save the state expires, kept with the next save;
                `sweep` deletes it then. By default that stays as it is; `timedelta.max`: never.

        Raises:
            StateNotFound: `must_exist`, and there is none.
            BranchNotFound: the state has no such branch.
            Busy: another session holds the branch exclusively; `lease` says who.
            Damaged: what is stored is not what was saved.
            UsageError: `expires_in` is no such duration.
        """
        expires = expires_us(expires_in)
        loading = Loading(must_exist, sections, windows or {}, lazy=False)
        alone = exclusive, wait
        return Opening(
            partial(
                self._open, key, loading, branch, on_error, on_cancel, on_conflict, alone, expires
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
        alone: tuple[bool, float],
        expires: int | None,
    ) -> AsyncSession:
        claim = self._keeper.claim(key, branch, *alone)
        with claim or nullcontext(), reported(self._on_event, "open", key) as detail:
            while True:
                while claim and (pause := await self._ask(self._taking(claim, key))) is not None:  # noqa: ASYNC110 - others end it
                    await asyncio.sleep(pause)
                with reported(self._on_event, "load", key):
                    opened = await self._ask(self._opening(key, loading, branch, claim))
                    # In a thread, too: a node for each container of a long state takes its time.
                    args, options = await asyncio.to_thread(
                        self._session_parts,
                        opened,
                        on_error,
                        on_cancel,
                        on_conflict,
                        claim,
                        expires,
                        lazy=False,
                    )
                founding = self._founding(args[1])
                if founding is None or await self._driver.arun(founding):
                    break
            session = AsyncSession(*args, **options)
            detail["number"] = session.checkpoint.number if session.checkpoint else 0
            return session

    async def _ask(self, steps: Steps[T]) -> T:
        # In a thread as a whole: decoding and replaying a long history would hold the loop up.
        return await asyncio.to_thread(self._look, steps)

    async def history(
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
        return await self._ask(self._history(key, limit, before, changes, branch, every))

    async def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
    ) -> View:
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

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            UsageError: a section of which a window was asked for is no list.
        """
        loading = Loading(True, sections, windows or {}, lazy=False)
        return await self._ask(self._viewing(key, ref, loading))

    async def diff(self, key: str, before: Ref, after: Ref) -> list[Difference]:
        """What changed in a state between two checkpoints.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
        """
        return await self._ask(self._diffing(key, before, after))

    async def blame(self, key: str, path: Parts, *, at: Ref | None = None) -> Checkpoint:
        """The checkpoint that last wrote what is at a path, and with it the session.

        That is the newest that set the value itself, changed something in it, or set a whole that
        it is part of. Items of lists are followed through what was put in and taken out before
        them; one that was taken out and put in again elsewhere was written then. Records are read
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
        return await self._ask(self._blaming(key, path, at))

    async def states(
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
        return await self._ask(self._listing(prefix, limit, after, deleted))

    async def info(self, key: str) -> StateInfo:
        """What `states` says of one state.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(states.info, key))

    def watch(
        self,
        key: str,
        *,
        cursor: str | None = None,
        since: Literal["now", "start"] = "now",
        interval: float = 0.1,
        timeout: float | None = None,
        branch: str = MAIN,
    ) -> AsyncWatch:
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
        from perdure.aio_watch import AsyncWatch

        return AsyncWatch(
            self._driver,
            key,
            cursor=cursor,
            since=since,
            interval=interval,
            timeout=timeout,
            branch=branch,
        )

    async def sessions(self, key: str) -> list[SessionInfo]:
        """Sessions that saved something to a state, newest first.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(marks.sessions_of, key))

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
        return await asyncio.to_thread(self._export, key, target, progress)

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

    async def verify(
        self, key: str | None = None, *, progress: Progress | None = None
    ) -> list[Verified]:
        """Read everything of a state, or of all, and check it: tags, chain and replay (P5).

        Args:
            key: the state's key; all states by default, deleted ones included.
            progress: called with (states done, all).

        Raises:
            StateNotFound: there is no such state.
        """
        return await asyncio.to_thread(self._verify, key, progress)

    async def unreferenced(self) -> list[Unreferenced]:
        """What is stored that no state refers to; harmless, though it takes space.

        What belongs to a state, and nothing refers to, is told by `verify`.
        """
        return await asyncio.to_thread(self._unreferenced)

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
        return await asyncio.to_thread(self._maintaining, key, dry_run, progress, breaks())

    async def compact(self, *, progress: Progress | None = None) -> int:
        """Give space that is not used any more back to the file system; how many bytes.

        Args:
            progress: called with (done, all), in the backend's units.
        """
        return await asyncio.to_thread(self._compacting, progress)

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
