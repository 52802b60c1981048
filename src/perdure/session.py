"""`Session`: one period of work on a state."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from perdure import parts
from perdure.agent.on_session import AgentSession
from perdure.engine.bodies import Overtaken
from perdure.errors import PerdureError
from perdure.events import reported
from perdure.state.variable import T_co
from perdure.types import Checkpoint, Durability

if TYPE_CHECKING:
    from perdure.engine.claims import Settling


class Session(AgentSession[T_co]):
    """One period of work on a state, as `Store.open` gives it.

    A context manager: leaving it normally saves; an exception discards what was not saved
    (`on_error="save"` keeps it). Its methods may be called from any thread, its containers from
    one at a time.

    Example:
        >>> with store.open("support/alice") as session:
        ...     session.state.setdefault("messages", []).append({"role": "user", "content": "Hi"})
        ...     session.save()
    """

    _with, _close = "with", "session.close()"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._saving = threading.RLock()
        self._editing = threading.RLock()

    def save(
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
        return self._saved_with(label, metadata, durability)

    def _saved_with(
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
            with self._editing:
                self._require_open()
                body = self._stage(label, metadata, durability, settles)
            self._flush(durability or self._durability)
            checkpoint = self._saved(body, detail)
        if self._upkeep is not None:
            took = time.monotonic() - began
            if (share := self._upkeep.saved(self._core, took)) > 0:
                self._upkeep.wait(self._core.site, share)
        return checkpoint

    def _flush(self, durability: Durability) -> None:
        """Write what was captured; if it has to be merged, with the edits of others held off."""
        overtaken: Overtaken | None = None
        with self._saving:
            try:
                self._driver.run(self._in_store(self._core.flush(durability)))
            except Overtaken as found:
                overtaken = found
        if overtaken is not None:
            with self._editing, self._saving:
                self._require_open()
                flushing = partial(self._core.flush, durability)
                self._driver.run(self._in_store(self._merging(flushing, overtaken)))

    def _outside_block(self) -> AbstractContextManager[object]:
        """The turn of what must not come into others' blocks; code inside a block has it."""
        return nullcontext() if self._document.is_within_block() else self._editing

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Edits that belong together: no save takes effect inside, an exception undoes them.

        A save or a block in another thread or task waits for the end of the block; an edit there
        is refused. Tasks started in the block belong to it.

        Raises:
            SaveInsideAtomic: on a save inside the block.
            ConcurrentEdit: on an edit from elsewhere meanwhile.
        """
        self._require_open()
        with self._editing:
            self._require_open()
            with self._document.block():
                yield

    def load(self, *names: str) -> None:
        """Load sections whole, and all that are not loaded if none is named.

        A window that is named shows the whole list from then on, and stays the same live list.

        Raises:
            KeyError: there is no such section.
            Damaged: what is stored is not what was saved.
        """
        self._require_open()
        with self._outside_block(), self._saving:
            for name in names:
                parts.require(self._document, name)
            for name in names or sorted(self._document.unloaded()):
                reading = self._missing_of(name)
                if reading is not None:
                    with reported(self._on_event, "load", self.key) as detail:
                        detail["section"] = name
                        self._take_in(name, self._driver.run(reading, makes=False))

    def window(
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
        with self._saving:
            reading = parts.read_part(self._document, self._core, name, asked)
            return self._driver.run(reading, makes=False)

    def refresh(self, keep_changes: bool = False) -> Checkpoint | None:
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
        with reported(self._on_event, "refresh", self.key), self._editing, self._saving:
            self._require_open()
            if keep_changes:
                self._document.push()
            refreshing = self._in_store(self._core.refresh(keep_changes))
            with self._refreshing(keep_changes):
                return self._driver.run(refreshing, makes=False)

    def close(self) -> None:
        """Save what is unsaved and end the session. Safe to call twice."""
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._require_open()
        self._refuse_inside_atomic()
        if self._last_acts and self._keeps_edits(error):
            self._act_last()
        with reported(self._on_event, "close", self.key) as detail:
            try:
                with self._editing, self._saving:
                    if self._closed:
                        return
                    with self._closing():
                        how, named = self._ending(error, detail)
                        ending = self._in_store(self._ended(how, named))
                        self._driver.run(ending, makes=self._core.unsaved)
            except PerdureError as failure:
                self._end_failed(failure, error)
        if self._upkeep is not None:
            self._upkeep.saved(self._core, math.inf)  # asked for, not waited for

    def __enter__(self) -> Self:
        """The session itself.

        Raises:
            SessionClosed: it has ended.
        """
        self._require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the session as the block ended."""
        self._finish(error)
