"""`Store`: where states live, and everything that can be asked of one without opening it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial, update_wrapper
from pathlib import Path
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from perdure import host, limits, missing, unsaved
from perdure.branching import Branching
from perdure.cache import Cache
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.drive import Clock, Driver, system_clock
from perdure.engine import audit, maintain, marks, states, unreferenced
from perdure.engine.load import Loaded, LoadedAt, Wanted, everything, load, load_at, read_section
from perdure.engine.read import Site, read_head
from perdure.engine.requests import ListHeads, Now, Random, Steps
from perdure.engine.session import SessionCore
from perdure.engine.unread import Unread
from perdure.engine.view import checkpoint_of
from perdure.engine.window import Elsewhere, opened
from perdure.errors import (
    InvalidKey,
    InvalidStoreURL,
    StateNotFound,
    StoreUnavailable,
    UsageError,
)
from perdure.events import OnEvent, reported
from perdure.expiring import Expiring, expires_us
from perdure.leasing import Claim, Keeper
from perdure.parts import check_windows, require_windows
from perdure.session import OnCancel, OnError, Session
from perdure.types import (
    Checkpoint,
    Durability,
    Exported,
    Maintained,
    MaintenanceStep,
    OnConflict,
    Resumed,
    SessionInfo,
    StateInfo,
    Stats,
    Unreferenced,
    Verified,
)
from perdure.upkeep import Maintenance, Upkeep

if TYPE_CHECKING:
    from perdure.backends.protocol import Backend
    from perdure.core.diff import Difference
    from perdure.engine.blame import Parts
    from perdure.views import View
    from perdure.watching import Watch

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total)."""


class StoreBase:
    """What `Store` and `AsyncStore` have in common."""

    def __init_subclass__(cls) -> None:
        # Python's errors name the function that was called: let that be the class the user knows.
        if StoreBase in cls.__bases__ and "__init__" not in vars(cls):
            shared: Any = StoreBase.__init__
            own = FunctionType(shared.__code__, shared.__globals__)
            update_wrapper(own, shared)
            own.__kwdefaults__ = shared.__kwdefaults__
            own.__qualname__ = f"{cls.__qualname__}.__init__"
            cls.__init__ = own  # type: ignore[method-assign]

    def __init__(
        self,
        url: str | os.PathLike[str] | Backend,
        *,
        durability: Durability = "power",
        busy_timeout: float = 5.0,
        check_edits: bool = False,
        read_only: bool = False,
        create: bool = True,
        maintenance: Maintenance = "background",
        on_event: OnEvent | None = None,
        cache_bytes: int = limits.cache_bytes,
        clock: Clock | None = None,
    ) -> None:
        """Name a store; it is opened when it is used, and made when it is first written to.

        Args:
            url: a path, `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory:`,
                `memory:NAME`, or a ready `Backend`.
            durability: what a save survives by default: `"power"` (a power cut) or `"process"`
                (the death of the process, about 15 times faster).
            busy_timeout: how long to wait for other processes before `Busy`, in seconds.
            check_edits: compare touched sections with their last saved form at every save, to
                find edits made behind Perdure's back (slow; for tests).
            read_only: refuse to write.
            create: let the first save make the store if it is not there.
            maintenance: `"background"` keeps states quick to open and small, in a thread of its
                own; `"off"` leaves that to `maintain`.
            on_event: called with an `Event` after each open, load, save, refresh and close.
            cache_bytes: how much to keep in memory of what was read, so that a state that is opened
                again is not read again; 0: nothing.
            clock: microseconds since 1970 UTC, for tests.

        Raises:
            InvalidStoreURL: not the name of a store.
        """
        if durability not in ("power", "process"):
            raise UsageError(f'durability is "power" or "process", not {durability!r}')
        _check_wait(busy_timeout)
        if isinstance(url, str | os.PathLike):
            from perdure.backends.url import backend_for

            backend = backend_for(
                url, busy_timeout=busy_timeout, read_only=read_only, create=create
            )
        elif hasattr(url, "perform"):
            backend = url
        else:
            raise InvalidStoreURL(f"not a path, a URL or a backend: {url!r}")
        self.url = os.fspath(url) if isinstance(url, str | os.PathLike) else repr(url)
        self._durability: Durability = durability
        self._check_edits = check_edits
        self._on_event = on_event
        cache = Cache(cache_bytes) if _checked_size(cache_bytes) else None
        self._driver = Driver(backend, clock or system_clock, cache)
        self._keeper = Keeper(self._driver)
        self._upkeep: Upkeep | None = None
        if _one_of(maintenance, "maintenance", ("background", "off")) == "background":
            self._upkeep = Upkeep(self._driver) if not read_only else None

    def _close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.close()
        self._keeper.close()
        self._driver.close()

    def _maintaining(
        self,
        key: str | None,
        dry_run: bool,
        progress: Progress | None,
        pausing: Callable[[], None] | None = None,
    ) -> list[Maintained]:
        if key is not None:
            self._look(self._asking(_required, key))
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
            except maintain.UNREADABLE as error:
                problem = f"{error.kind}: {error}"
            works = tuple(step.work for step in made)
            found.append(Maintained(each, works, tuple(made), problem))
            if progress is not None and (key is None or dry_run):
                progress(done, len(keys))
        if key is None and not dry_run:
            self._look(maintain.discard_abandoned())
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _look(self, steps: Steps[T]) -> T:
        """Run steps that read, or read before they write: a store that is not there is not made."""
        return self._driver.run(steps, makes=False)

    def _asking(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]:
        """Ask the engine something about one state; tell more if there is none."""
        check_key(key)
        return (yield from self._about(what, key))

    def _site(self, key: str) -> Site:
        """Where a key's state is; opens the store."""
        check_key(key)
        self._driver.connect()
        return Site(self._driver.store_id, key, self._driver.cache)

    def _about(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]:
        """The same, for a key that came out of the store: damage may have made it an odd one."""
        site = Site(self._driver.store_id, key, self._driver.cache)
        try:
            return (yield from what(site))
        except StateNotFound as error:
            deleted = getattr(what, "func", what) is states.undelete
            raise (yield from missing.told(error, site, self._name(), deleted=deleted)) from None

    def _name(self) -> str:
        """What to call the store in an error's message."""
        name = str(getattr(self._driver.backend, "path", self.url))
        return name if self._driver.store_id else f"{name}, to which nothing was saved yet"

    def _opening(
        self, key: str, loading: Loading, branch: str, claim: Claim | None
    ) -> Steps[_Opened]:
        """What a session starts from."""
        id_ = claim.id if claim is not None else None
        opening = partial(_open, loading=loading, branch=branch, id_=id_)
        return (yield from self._asking(opening, key))

    def _taking(self, claim: Claim, key: str) -> Steps[float | None]:
        """Have a branch held; None: it is, or there is no state yet.

        How long to wait before the next try else (seconds).
        """
        return (yield from self._asking(claim.take, key))

    def _founding(self, core: SessionCore) -> Steps[bool] | None:
        """Make the state that a session is to hold, if there is none; whether the session has it.

        None: there is nothing to be made.
        """
        if not core.exclusive or core.holds:
            return None

        def founding() -> Steps[bool]:
            if not core.is_new:
                return False  # it was made meanwhile
            core.site = replace(core.site, store=self._driver.store_id)
            return (yield from core.found(self._durability))

        return founding()

    def _session_parts(
        self,
        opened: _Opened,
        on_error: OnError,
        on_cancel: OnCancel,
        on_conflict: OnConflict,
        claim: Claim | None,
        expires: int | None,
        *,
        lazy: bool,
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the session class; if `lazy`, sections load when they are touched."""
        from perdure.state.document import MISSING, UNLOADED, Document

        def read(name: str) -> Any:
            return self._driver.run(core.read(name))

        site, loaded = opened.site, opened.loaded
        content = {
            name: UNLOADED if type(value) is Unread else value
            for name, value in opened.content.items()
        }
        document = Document(content, load=read if lazy else None, check_edits=self._check_edits)
        if not lazy:
            document.track()
        core = SessionCore(
            site,
            document,
            loaded,
            id=opened.id,
            started_us=opened.now_us,
            holder=host.holder(),
            branch=opened.branch,
            on_conflict=_one_of(on_conflict, "on_conflict", ("raise", "fork")),
            exclusive=claim is not None,
            told=opened.told,
            elsewhere=opened.elsewhere,
            missing=MISSING,
            expires_us=expires,
        )
        options = {
            "durability": self._durability,
            "on_error": _one_of(on_error, "on_error", ("discard", "save")),
            "on_cancel": _one_of(on_cancel, "on_cancel", ("keep", "discard")),
            "on_event": self._on_event,
            "upkeep": self._upkeep,
            "claim": claim,
        }
        return (self._driver, core, document, opened.resumed), options

    def _history(
        self,
        key: str,
        limit: int | None,
        before: Ref | None,
        changes: bool,
        branch: str,
        every: bool,
    ) -> Steps[list[Checkpoint]]:
        if every:
            return (
                yield from self._asking(
                    partial(states.whole_history, limit=limit, before=before, changes=changes), key
                )
            )
        asked = partial(states.history, limit=limit, before=before, changes=changes, branch=branch)
        return (yield from self._asking(asked, key))

    def _copying(self, key: str, new: str, at: Ref | None) -> Steps[StateInfo]:
        check_key(new)
        target = Site(self._driver.store_id, new)
        info = yield from self._asking(partial(states.copy, target=target, at=at), key)
        self._made(target)
        return info

    def _made(self, site: Site) -> None:
        """A state came here with its history: it is quick to open as soon as it has a snapshot."""
        if self._upkeep is not None:
            self._upkeep.ask_for(site)

    def _undeleting(self, key: str, life: int | None) -> Steps[StateInfo]:
        return (yield from self._asking(partial(states.undelete, life=life), key))

    def _export(
        self, key: str, target: str | os.PathLike[str] | BinaryIO, progress: Progress | None
    ) -> Exported:
        from perdure.transfer import export_state

        site = self._look(self._asking(_required, key))
        return export_state(self._driver, site, target, progress)

    def _import(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        key: str | None,
        progress: Progress | None,
    ) -> StateInfo:
        from perdure.transfer import import_state

        if key is not None:
            check_key(key)
        store = self._driver.connect().store_id
        info = import_state(self._driver, store, source, key, progress)
        self._made(Site(store, info.key))
        return info

    def _backup(self, path: str | os.PathLike[str], progress: Progress | None) -> None:
        if not self._driver.is_made():
            raise StoreUnavailable(f"there is nothing to back up: the store is {self._name()}")
        self._driver.backend.backup(Path(path), progress)

    def _verify(self, key: str | None, progress: Progress | None) -> list[Verified]:
        if key is not None:
            check_key(key)
        keys = [key] if key is not None else self._look(self._keys())
        found = []
        for done, each in enumerate(keys, 1):
            found.append(self._look(self._about(audit.verify, each)))
            if progress is not None:
                progress(done, len(keys))
        return found

    def _unreferenced(self) -> list[Unreferenced]:
        store = self._driver.store_id if self._driver.is_made() else b""
        return self._look(unreferenced.in_store(store))

    def _viewing(self, key: str, ref: Ref, loading: Loading) -> Steps[View]:
        from perdure.views import View

        site, loaded, sections = yield from self._asking(
            partial(_at, ref=ref, loading=loading), key
        )
        assert loaded.last is not None
        unread = {name: kept for name, kept in sections.items() if type(kept) is Unread}

        def read(name: str) -> Any:
            reading = read_section(site, loaded.head, loaded.branch, name, unread)
            return self._driver.run(reading, makes=False)

        checkpoint = checkpoint_of(key, loaded.branch, loaded.last)
        return View(sections, checkpoint, unread, read if loading.lazy else None)

    def _diffing(self, key: str, before: Ref, after: Ref) -> Steps[list[Difference]]:
        from perdure.engine.compare import compare

        return (yield from self._asking(partial(compare, before=before, after=after), key))

    def _blaming(self, key: str, path: Parts, at: Ref | None) -> Steps[Checkpoint]:
        from perdure.engine.blame import blame

        return (yield from self._asking(partial(blame, path=path, at=at), key))

    def _listing(
        self, prefix: str, limit: int, after: str | None, deleted: bool
    ) -> Steps[list[StateInfo]]:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, not {limit}")
        return (yield from states.listing(self._driver.store_id, prefix, limit, after, deleted))

    def _keys(self) -> Steps[list[str]]:
        keys: list[str] = []
        while True:
            after = keys[-1] if keys else None
            page = yield ListHeads("", after, limits.heads_listed_max)
            keys += (key for key, _ in page)
            if len(page) < limits.heads_listed_max:
                return keys


class _Opened:
    """What `_opening` read, before it becomes a session."""

    __slots__ = (
        "branch",
        "content",
        "elsewhere",
        "id",
        "loaded",
        "now_us",
        "resumed",
        "site",
        "told",
    )

    def __init__(
        self,
        site: Site,
        branch: str,
        loaded: Loaded | None,
        content: dict[str, Any],
        elsewhere: Elsewhere,
        resumed: Resumed | None,
        told: tuple[Any, ...],
        id: bytes,
        now_us: int,
    ) -> None:
        self.site = site
        self.branch = branch
        self.loaded = loaded
        self.content = content
        self.elsewhere = elsewhere
        self.resumed = resumed
        self.told = told
        self.id = id
        self.now_us = now_us


class Loading(msgspec.Struct, frozen=True):
    """What to load when a session is opened, or a state of the past looked at."""

    must_exist: bool
    sections: Iterable[str] | None
    """At once; None: what there is to be loaded by default."""
    windows: Mapping[str, int]
    lazy: bool
    """Whether sections load when they are touched."""

    def wanted(self) -> Wanted:
        """Which sections to load at once."""
        check_windows(self.windows)
        if isinstance(self.sections, str):
            raise UsageError(f"sections is a list of names: [{self.sections!r}]")
        if self.sections is not None:
            names = frozenset(self.sections) - self.windows.keys()
            if not all(isinstance(name, str) for name in names):
                raise UsageError(f"sections is a list of names, not {self.sections!r}")
            return lambda name: name in names
        if not self.lazy and not self.windows:
            return everything
        return lambda name: not self.lazy and name not in self.windows


def _open(site: Site, *, loading: Loading, branch: str, id_: bytes | None) -> Steps[_Opened]:
    """What a session on a state starts from."""
    loaded = yield from load(site, branch, loading.wanted())
    is_new = loaded is None or loaded.head.deleted_us is not None
    if is_new and (loading.must_exist or branch != MAIN):
        yield from read_head(site)  # raises
    content: dict[str, Any] = {}
    elsewhere: Elsewhere = {}
    if loaded is not None:
        content, elsewhere = yield from opened(site, loaded, branch, loading.windows)
    require_windows(loading.windows, content)
    resumed, told = yield from marks.resumed_from(site, loaded, branch)
    id_ = id_ or (yield Random(16))
    now = yield Now()
    return _Opened(site, branch, loaded, content, elsewhere, resumed, tuple(told), id_, now)


def _at(site: Site, *, ref: Ref, loading: Loading) -> Steps[tuple[Site, LoadedAt, dict[str, Any]]]:
    """What a view of a state at a checkpoint is made of."""
    loaded = yield from load_at(site, ref, wanted=loading.wanted())
    sections, _ = yield from opened(site, loaded, loaded.branch, loading.windows)
    require_windows(loading.windows, sections)
    return site, loaded, sections


def _required(site: Site) -> Steps[Site]:
    """The site of a state that is there."""
    yield from read_head(site)
    return site


class Store(StoreBase, Branching, Expiring):
    """Where states live. Its methods may be called from any thread.

    Example:
        >>> store = perdure.Store("agents.db")
        >>> with store.open("support/alice") as session:
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
    ) -> Session:
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
        claim = self._keeper.claim(key, branch, exclusive, wait)
        loading = Loading(must_exist, sections, windows or {}, lazy=True)
        with claim or nullcontext(), reported(self._on_event, "open", key) as detail:
            while True:
                while claim and (pause := self._look(self._taking(claim, key))) is not None:
                    time.sleep(pause)
                with reported(self._on_event, "load", key):
                    opened = self._look(self._opening(key, loading, branch, claim))
                args, options = self._session_parts(
                    opened, on_error, on_cancel, on_conflict, claim, expires, lazy=True
                )
                founding = self._founding(args[1])
                if founding is None or self._driver.run(founding):
                    break
            session = Session(*args, **options)
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

    def at(
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
        loading = Loading(True, sections, windows or {}, lazy=True)
        return self._look(self._viewing(key, ref, loading))

    def diff(self, key: str, before: Ref, after: Ref) -> list[Difference]:
        """What changed in a state between two checkpoints.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
        """
        return self._look(self._diffing(key, before, after))

    def blame(self, key: str, path: Parts, *, at: Ref | None = None) -> Checkpoint:
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


def check_key(key: str) -> None:
    """That a key can name a state.

    Raises:
        InvalidKey: it cannot; the message says why.
    """
    if not isinstance(key, str):
        raise InvalidKey(f"a key is a string, not {type(key).__name__}")
    if not key or "\x00" in key:
        raise InvalidKey("a key must not be empty or hold a NUL character")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKey(f"the key {key!r} holds a lone surrogate") from None
    if size > limits.key_bytes_max:
        raise InvalidKey(f"a key has at most {limits.key_bytes_max} bytes; this one has {size}")


def _check_wait(seconds: object) -> None:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (is_number and 0 <= float(seconds) <= limits.busy_timeout_max_s):  # type: ignore[arg-type]  # it is a number
        raise UsageError(
            f"busy_timeout is seconds from 0 to {limits.busy_timeout_max_s:,}, not {seconds!r}"
        )


def _checked_size(size_bytes: object) -> int:
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise UsageError(f"cache_bytes is a number of bytes, 0 or more, not {size_bytes!r}")
    return size_bytes


def _one_of(value: Any, name: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}")
    return value
