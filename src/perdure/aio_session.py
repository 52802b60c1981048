"""`AsyncSession`: one period of work on a state under asyncio, and what opens it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self

from perdure import parts
from perdure.agent.on_async_session import AsyncAgentSession
from perdure.engine.bodies import Overtaken
from perdure.engine.refresh import read_news, take_in
from perdure.errors import PerdureError
from perdure.events import reported
from perdure.state.variable import T_co
from perdure.turn import Turn
from perdure.types import Checkpoint, Durability

if TYPE_CHECKING:
    from perdure.engine.claims import Settling


class AsyncSession(AsyncAgentSession[T_co]):
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
            MergeConflicts: both changed the same places, where a session that merges knows no
                strategy for them; nothing is lost.
            LeaseLost: this session held the branch exclusively, and does not any more.
            CommitUnknown: its fate is not known; saving again settles it, once.
            Busy: others kept the store too long, or another session holds the branch exclusively;
                nothing was written.
            UntrackedEdit: a container was changed behind Perdure's back.
        """
        return await self._saved_with(label, metadata, durability)

    async def _saved_with(
        self,
        label: str | None = None,
        metadata: dict[str, Any] | None = None,
        durability: Durability | None = None,
        settles: tuple[Settling, ...] = (),
    ) -> Checkpoint:
        """Save, and with it the outcomes of claims."""
        self._require_open()
        self._refuse_inside_atomic()
        began = time.monotonic()
        with reported(self._on_event, "save", self.key) as detail:
            async with self._editing:  # no wait before the capture, unless a block is open
                self._require_open()
                body = self._stage(label, metadata, durability, settles)
            await self._flush(durability or self._durability)
            checkpoint = self._saved(body, detail)
        if self._upkeep is not None:
            took = time.monotonic() - began
            if (share := self._upkeep.saved(self._core, took)) > 0:
                await asyncio.sleep(share)
        return checkpoint

    async def _flush(self, durability: Durability) -> None:
        """Write what was captured; if it has to be merged, with the edits of others held off."""
        overtaken: Overtaken | None = None
        async with self._saving:
            try:
                await self._driver.arun(self._in_store(self._core.flush(durability)))
            except Overtaken as found:
                overtaken = found
        if overtaken is not None:
            async with self._editing, self._saving:
                self._require_open()
                flushing = partial(self._core.flush, durability)
                await self._driver.arun(self._in_store(self._merging(flushing, overtaken)))

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
            if count is not None:  # which is the caller's, and belongs to this thread
                return await self._driver.arun(reading, makes=False)
            try:
                request = next(reading)  # what is live is taken here, where it is edited
            except StopIteration as done:
                items: list[Any] = done.value
                return items
            rest = parts.resumed(reading, request)
            return await asyncio.to_thread(self._driver.run, rest, makes=False)

    async def refresh(self, keep_changes: bool = False) -> Checkpoint | None:
        """Take in what others saved since, into the live containers; the newest checkpoint.

        Args:
            keep_changes: keep this session's unsaved edits, if they touch other sections or the
                session merges (`on_conflict="merge"`); by default they are given up.

        Raises:
            Conflict: both sides changed the same sections; nothing was changed here.
            MergeConflicts: the same, of a session that merges: the same places.
            SchemaChanged: the state was migrated to another version of its schema: open it again.
                What was to be given up is.
            StateDeleted: the state is gone.
        """
        self._require_open()
        self._refuse_inside_atomic()
        with reported(self._on_event, "refresh", self.key):
            async with self._editing, self._saving:
                self._require_open()
                if keep_changes:
                    self._document.push()
                if keep_changes and self._core.merges:
                    refreshing = self._in_store(self._core.refresh(keep_changes))
                    return await self._driver.arun(refreshing, makes=False)
                await self._driver.arun(self._in_store(self._core.settle()), makes=False)
                while True:
                    # Read in a thread, where decoding what others saved does not hold the loop up;
                    # one that is left behind by a cancellation has changed nothing.
                    reading = self._in_store(read_news(self._core, keep_changes))
                    with self._refreshing(keep_changes):
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
        if self._last_acts and self._keeps_edits(error):
            await self._act_last()
        with reported(self._on_event, "close", self.key) as detail:
            try:
                async with self._editing, self._saving:
                    if self._closed:
                        return
                    with self._closing():
                        how, named = self._ending(error, detail)
                        ending = self._in_store(self._ended(how, named))
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


class Opening(Generic[T_co]):
    """A session about to be opened: `await` it, or enter it with `async with`."""

    def __init__(self, opening: Callable[[], Coroutine[Any, Any, AsyncSession[T_co]]]) -> None:
        self._begin = opening  # a coroutine made before it is awaited is complained of if it is not
        self._coroutine: Coroutine[Any, Any, AsyncSession[T_co]] | None = None
        self._session: AsyncSession[T_co] | None = None

    def __await__(self) -> Generator[Any, Any, AsyncSession[T_co]]:
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

    async def __aenter__(self) -> AsyncSession[T_co]:
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
