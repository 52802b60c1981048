"""What both kinds of session share: what is known of one, and how it saves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypedDict, TypeVar
from weakref import WeakSet

from msgspec.structs import replace

from perdure import limits, parts, unsaved
from perdure.core.values import take
from perdure.ending import Ending
from perdure.engine.bodies import Body, Overtaken
from perdure.engine.requests import Steps
from perdure.engine.session import SessionCore
from perdure.errors import (
    Forked,
    SaveInsideAtomic,
    SchemaChanged,
    SessionClosed,
    UsageError,
)
from perdure.events import OnEvent
from perdure.state.variable import T_co
from perdure.strategies import checked
from perdure.types import Checkpoint, Durability, OnConflict, Resumed, Strategies, Strategy

if TYPE_CHECKING:
    from perdure.agent.acts import Acts
    from perdure.agent.tasks import TaskBase
    from perdure.agent.work import Work
    from perdure.core.changes import Change
    from perdure.drive import Driver
    from perdure.engine.claims import Settling
    from perdure.errors import Conflict
    from perdure.evolving import Evolution
    from perdure.leasing import Claim
    from perdure.state.document import Document
    from perdure.state.sections import State
    from perdure.upkeep import Upkeep

T = TypeVar("T")

OnError: TypeAlias = Literal["discard", "save"]
Effects: TypeAlias = Literal["allow", "refuse"] | Callable[[Any], Any]
"""What a session does for an effect: performs it, refuses, or takes what a function gives."""

OnCancel: TypeAlias = Literal["keep", "discard"]

OnDamage: TypeAlias = Literal["raise", "last_good"]
"""What opening a state does that is damaged: fails, or goes back to what is whole."""


def checked_effects(effects: Effects) -> None:
    """Refuse what no session can do for an effect.

    Raises:
        UsageError: it is none of these.
    """
    if effects not in ("allow", "refuse") and not callable(effects):
        raise UsageError(f'effects is "allow", "refuse" or a function, not {effects!r}')


class OpenOptions(TypedDict, total=False):
    """The options of `open` besides the schema; see there."""

    branch: str
    must_exist: bool
    sections: Iterable[str] | None
    windows: Mapping[str, int] | None
    on_error: OnError
    on_cancel: OnCancel
    on_conflict: OnConflict
    strategies: Strategies | None
    exclusive: bool
    wait: float
    expires_in: timedelta | None
    effects: Effects
    on_damage: OnDamage | None
    ephemeral: Iterable[str]


class SessionBase(Ending, Generic[T_co]):
    """What `Session` and `AsyncSession` have in common: everything that waits for nothing."""

    _with: ClassVar[str]
    """How such a session is opened for a block, and ended without one."""
    _close: ClassVar[str]
    _closed = True  # until it is made: one whose making failed has nothing to lose
    _performing: ClassVar[dict[tuple[object, ...], object]] = {}
    """What this process is at, by itself, store, state and effect key: shared by its sessions.

    A forked child finds there what its parent was at, and is another process.
    """

    def __init__(
        self,
        driver: Driver,
        core: SessionCore,
        document: Document,
        resumed: Resumed | None,
        *,
        durability: Durability,
        on_error: OnError,
        on_cancel: OnCancel,
        on_event: OnEvent | None,
        upkeep: Upkeep | None = None,
        claim: Claim | None = None,
        evolution: Evolution | None = None,
        effects: Effects = "allow",
        store: Any = None,
    ) -> None:
        self._store = store
        """What opened it, and opens its children."""
        self._driver = driver
        self._upkeep = upkeep
        self._claim = claim
        self._core = core
        self._document = document
        self._evolution = evolution
        self._effects = effects
        self._state: Any = document.state if evolution is None else evolution.typed(document)
        self._resumed = resumed
        self._durability: Durability = durability
        self._on_error = on_error
        self._on_cancel = on_cancel
        self._on_event = on_event
        self._last_acts: dict[str, Callable[[], Acts[None]]] = {}
        """What the agent's record notes as the session ends, by section."""
        self._tasks: dict[str, TaskBase] = {}
        """The tasks that are entered, by name."""
        self._works: WeakSet[Work] = WeakSet()
        """Those who take tasks for it."""
        self._counting = threading.Lock()
        """Held while the number of steps that run changes."""
        self._pid = os.getpid()
        self._closed = False
        unsaved.watch(self)
        if claim is not None:
            claim.kept_by(self)

    def __del__(self) -> None:
        if not self._closed:
            unsaved.tell(self, f"nothing refers any more to a session on {self.key!r}")
            # Whoever still has a container of it could edit that to no effect.
            self._document.close()

    @property
    def key(self) -> str:
        """Key of the state."""
        return self._core.site.key

    @property
    def branch(self) -> str:
        """The branch that it works on."""
        return self._core.branch

    @property
    def diverged(self) -> Conflict | None:
        """What made this session go on on a branch of its own (`on_conflict="fork"`), or None."""
        return self._core.diverged

    @property
    def strategies(self) -> dict[Any, Strategy]:
        """By path pattern, what a merge does where both sides changed the same place.

        As given to `open(on_conflict="merge", strategies=…)`. May be edited, or set: after
        `MergeConflicts`, say here which side is right, and save again.

        Raises:
            UsageError: on setting it to what are no strategies, or of a session that never merges.

        Example:
            >>> session.strategies |= {each.path: "ours" for each in error.conflicts}
        """
        return self._core.strategies

    @strategies.setter
    def strategies(self, strategies: Strategies) -> None:
        self._core.strategies = checked(strategies, merges=self._core.merges)

    @property
    def id(self) -> str:
        """This session's id (32 hex digits)."""
        return self._core.id.hex()

    @property
    def state(self) -> T_co:
        """The state: a mapping of sections, whose containers know what changed in them.

        Of a session that was opened with a schema, an object of that: its attributes are sections.
        """
        state: T_co = self._state
        return state

    @property
    def raw(self) -> State:
        """The sections as they are stored, whatever the schema says; the same live state.

        Sections that do not fit the schema can be read and put right here.
        """
        return self._document.state

    @property
    def resumed(self) -> Resumed | None:
        """What was taken up: checkpoint, age, how the last session ended; None if new."""
        return self._resumed

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint this session has read or saved."""
        return self._core.checkpoint

    @property
    def summary(self) -> str | None:
        """A line about the state that `Store.states` shows; kept with the next save."""
        return self._core.summary

    @summary.setter
    def summary(self, text: str | None) -> None:
        self._require_open()
        self._core.summary = short(text, "summary", limits.summary_chars_max)

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed

    def changes(self) -> list[Change]:
        """What the next save would write, in order; nothing is saved or cleared by asking.

        Raises:
            UntrackedEdit: a container was changed behind Perdure's back, as the save would say.
        """
        first = [] if self._evolution is None else self._evolution.waiting(self._core)
        return [*first, *self._core.waiting(), *self._document.pending()]

    def __repr__(self) -> str:
        number = self.checkpoint.number if self.checkpoint else 0
        state = "open"
        if self._closed:
            state = "closed"
        elif self._driver.closed:
            state = "its store is closed"
        return f"<{type(self).__name__} {self.key!r} at checkpoint {number}, {state}>"

    def length(self, name: str) -> int:
        """How much a section holds: items of a list, keys of a dict, characters of a text.

        Of a list or text that is not loaded, nothing is read; of a window, the whole list counts.
        Other sections load if they have to.

        Raises:
            KeyError: there is no such section.
            TypeError: it has no length.
            SectionNotLoaded: under asyncio, where one would have to load.
        """
        return parts.length_of(self._document, self._core, name)

    def _missing_of(self, name: str) -> Steps[Any] | None:
        """What reads as much of a section as is not live; None if all of it is."""
        if not self._document.is_loaded(name):
            return self._reading(name)
        before, _ = self._document.windows().get(name, (0, 0))
        return self._core.part(name, 0, before) if before else None

    def _reading(self, name: str) -> Steps[Any]:
        """Read a section; of a view, what it is made of."""
        source = self._document.stored
        if source is self._document:
            return (yield from self._core.read(name))
        for each in self._document.sources_of(name):
            if each in source.state and not source.is_loaded(each):
                source.put(each, (yield from self._core.read(each)))
        return self._document.seen(name)

    def _take_in(self, name: str, value: Any) -> None:
        """Make live what was missing, unless the section was assigned meanwhile."""
        if not self._document.is_loaded(name):
            self._document.put(name, value)
        elif self._document.windows().get(name, (0, 0))[0] == len(value):
            self._document.widen(name, value)

    # ---- what both facades do around their waiting ----------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise SessionClosed(f"this session on {self.key!r} has ended; open a new one")
        if self._pid != os.getpid():
            raise Forked(
                f"this session on {self.key!r} belongs to the parent process; open one of its own "
                "in the child"
            )

    def _in_store(self, steps: Steps[T]) -> Steps[T]:
        """`steps`, for a session that may have been opened before its store was made."""
        return steps if self._core.site.store else self._first_in_store(steps)

    def _first_in_store(self, steps: Steps[T]) -> Steps[T]:
        core = self._core
        core.site = replace(core.site, store=self._driver.store_id)
        return (yield from steps)

    def _merging(
        self, steps: Callable[[], Steps[T]], overtaken: Overtaken | None = None
    ) -> Steps[T]:
        """`steps`, which save; merged with what others saved first, if the session merges."""
        if not self._core.merges:
            return steps()
        from perdure.engine.rebase import saving

        return saving(self._core, steps, overtaken)

    def _has_unsaved(self) -> bool:
        core = self._core
        return core.unsaved or core.is_summary_unsaved or self._document.has_edits()

    def _stage(
        self,
        label: str | None,
        metadata: dict[str, Any] | None,
        durability: Durability | None,
        settles: tuple[Settling, ...] = (),
    ) -> Body | None:
        if durability not in (None, "power", "process"):
            raise UsageError(f'durability is "power" or "process", not {durability!r}')
        label = short(label, "label", limits.label_chars_max)
        if metadata is not None:
            metadata = take(metadata, ("metadata",))
            if not isinstance(metadata, dict):
                raise UsageError("metadata is a dict")
        durability = durability or self._durability
        self._before_save(durability)
        return self._core.stage(label, metadata, durability=durability, settles=settles)

    def _before_save(self, durability: Durability, *, ending: bool = False) -> None:
        """See to it that what is captured next is in the layout of the state, and says which.

        Raises:
            NotAllowed: the session may only read.
            ReadOnlyStore: the store was opened so.
        """
        if self._driver.scope is not None:
            self._driver.scope.require("write", f"a save of {self.key!r}")
        if self._evolution is not None:
            parts = self._core, self._document, durability
            self._evolution.before_save(*parts, ending=ending)

    def _saved(self, body: Body | None, detail: dict[str, Any]) -> Checkpoint:
        if body is not None and body.saved is None:
            self._require_open()  # the session ended meanwhile, and gave up what was not saved
        checkpoint = body.saved if body is not None else self._core.checkpoint
        assert checkpoint is not None
        detail["number"] = checkpoint.number
        if checkpoint.masked:
            detail["masked"] = checkpoint.masked
        return checkpoint

    @contextmanager
    def _refreshing(self, keep_changes: bool) -> Iterator[None]:
        """Around a refresh: what is to be given up is, also where nothing can be taken in."""
        try:
            yield
        except SchemaChanged:
            if not keep_changes:
                self._core.drop_waiting()
                for document in (self._document, self._document.stored):
                    document.capture()
            raise

    def _refuse_inside_atomic(self) -> None:
        if self._document.is_within_block():
            raise SaveInsideAtomic(
                "no save takes effect inside an atomic block, nor in a task started in one; save "
                "after it has ended"
            )


def short(text: str | None, what: str, chars_max: int) -> str | None:
    """A label or a summary as it can be kept; `what` is what to call it.

    Raises:
        UsageError: it cannot be.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise UsageError(f"a {what} is a string, not {type(text).__name__}")
    if len(text) > chars_max:
        raise UsageError(f"a {what} has at most {chars_max} characters; this one has {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {what} {text!r} holds a lone surrogate, which is no text") from None
    return str(text)
