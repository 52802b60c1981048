"""`Store`: where states live, and everything that can be asked of one without opening it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias, TypeVar

from perdure import host, limits
from perdure.drive import Clock, Driver, system_clock
from perdure.engine import marks, states
from perdure.engine.load import Loaded, load, load_at
from perdure.engine.read import Site
from perdure.engine.requests import ListHeads, Now, Random, Steps
from perdure.engine.session import SessionCore
from perdure.engine.view import checkpoint_of
from perdure.errors import InvalidKey, InvalidStoreURL, StateNotFound, UsageError
from perdure.events import OnEvent, reported
from perdure.session import OnCancel, OnError, Session
from perdure.types import (
    Checkpoint,
    Durability,
    Exported,
    Resumed,
    SessionInfo,
    StateInfo,
    Stats,
    Verified,
)

if TYPE_CHECKING:
    from perdure.backends.protocol import Backend
    from perdure.core.diff import Difference

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total)."""

Ref: TypeAlias = int | str
"""A checkpoint: its number, its id, or a unique prefix of its id (4 digits or more)."""


class View(Mapping[str, Any]):
    """A state as it was at one checkpoint: a read-only mapping of its sections.

    Its values are a copy of their own, so nothing done to them reaches the store.

    Example:
        >>> store.at("support/alice", 17)["plan"]
        ['find the order', 'refund it']
    """

    def __init__(self, sections: dict[str, Any], checkpoint: Checkpoint) -> None:
        self._sections = sections
        self.checkpoint = checkpoint

    def __getitem__(self, section: str) -> Any:
        """One section."""
        return self._sections[section]

    def __iter__(self) -> Iterator[str]:
        """Names of the sections, in order."""
        return iter(self._sections)

    def __len__(self) -> int:
        """Number of sections."""
        return len(self._sections)

    def __repr__(self) -> str:
        return f"<View of {self.checkpoint.key!r} at {self.checkpoint.number}: {list(self)}>"

    def plain(self) -> dict[str, Any]:
        """All sections, as a deep copy."""
        return deepcopy(self._sections)


class StoreBase:
    """What `Store` and `AsyncStore` have in common."""

    def __init__(
        self,
        url: str | os.PathLike[str] | Backend,
        *,
        durability: Durability = "power",
        busy_timeout: float = 5.0,
        check_edits: bool = False,
        read_only: bool = False,
        create: bool = True,
        on_event: OnEvent | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Name a store; nothing is opened or made until it is used.

        Args:
            url: a path, `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory:`,
                `memory:NAME`, or a ready `Backend`.
            durability: what a save survives by default: `"power"` (a power cut) or `"process"`
                (the death of the process, about 15 times faster).
            busy_timeout: how long to wait for other processes before `Busy`, in seconds.
            check_edits: compare touched sections with their last saved form at every save, to
                find edits made behind Perdure's back (slow; for tests).
            read_only: refuse to write.
            create: make the store if it is not there.
            on_event: called with an `Event` after each open, load, save, refresh and close.
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
        self._driver = Driver(backend, clock or system_clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _site(self, key: str) -> Site:
        """Where a key's state is; opens the store."""
        check_key(key)
        return Site(self._driver.connect().store_id, key)

    def _opening(self, key: str) -> Steps[_Opened]:
        """What a session starts from."""
        site = self._site(key)
        loaded = yield from load(site)
        resumed, told = yield from marks.resumed_from(site, loaded)
        id_ = yield Random(16)
        now = yield Now()
        return _Opened(site, loaded, resumed, tuple(told), id_, now)

    def _session_parts(
        self, opened: _Opened, must_exist: bool, on_error: OnError, on_cancel: OnCancel
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the session class."""
        from perdure.state.document import MISSING, Document

        site, loaded = opened.site, opened.loaded
        gone = loaded is None or loaded.head.deleted_us is not None
        if must_exist and gone:
            hint = " (it was deleted; `undelete` brings it back)" if loaded is not None else ""
            raise StateNotFound(f"there is no state {site.key!r} in this store{hint}")
        document = Document(
            loaded.sections if loaded is not None else {}, check_edits=self._check_edits
        )
        core = SessionCore(
            site,
            document,
            loaded,
            id=opened.id,
            started_us=opened.now_us,
            holder=host.holder(),
            told=opened.told,
            missing=MISSING,
        )
        options = {
            "durability": self._durability,
            "on_error": _one_of(on_error, "on_error", ("discard", "save")),
            "on_cancel": _one_of(on_cancel, "on_cancel", ("keep", "discard")),
            "on_event": self._on_event,
        }
        return (self._driver, core, document, opened.resumed), options

    def _asking(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]:
        """Ask the engine something about one state."""
        return (yield from what(self._site(key)))

    def _history(
        self, key: str, limit: int | None, before: Ref | None, changes: bool
    ) -> Steps[list[Checkpoint]]:
        return (yield from states.history(self._site(key), limit, before, changes))

    def _copying(self, key: str, new: str) -> Steps[StateInfo]:
        return (yield from states.copy(self._site(key), self._site(new)))

    def _undeleting(self, key: str, life: int | None) -> Steps[StateInfo]:
        return (yield from states.undelete(self._site(key), life))

    def _export(
        self, key: str, target: str | os.PathLike[str] | BinaryIO, progress: Progress | None
    ) -> Exported:
        from perdure.transfer import export_state

        return export_state(self._driver, self._site(key), target, progress)

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
        return import_state(self._driver, store, source, key, progress)

    def _backup(self, path: str | os.PathLike[str], progress: Progress | None) -> None:
        self._driver.connect()
        self._driver.backend.backup(Path(path), progress)

    def _verify(self, key: str | None, progress: Progress | None) -> list[Verified]:
        store = self._driver.connect().store_id
        if key is not None:
            check_key(key)
        keys = [key] if key is not None else self._driver.run(self._keys())
        found = []
        for done, each in enumerate(keys, 1):
            found.append(self._driver.run(states.verify(Site(store, each))))
            if progress is not None:
                progress(done, len(keys))
        return found

    def _viewing(self, key: str, ref: Ref) -> Steps[View]:
        loaded = yield from load_at(self._site(key), ref)
        assert loaded.last is not None
        return View(loaded.sections, checkpoint_of(key, "main", loaded.last))

    def _diffing(self, key: str, before: Ref, after: Ref) -> Steps[list[Difference]]:
        from perdure.core.diff import diff

        site = self._site(key)
        old = yield from load_at(site, before)
        new = yield from load_at(site, after)
        return diff(old.sections, new.sections)

    def _listing(
        self, prefix: str, limit: int, after: str | None, deleted: bool
    ) -> Steps[list[StateInfo]]:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, not {limit}")
        store = self._driver.connect().store_id
        return (yield from states.listing(store, prefix, limit, after, deleted))

    def _keys(self) -> Steps[list[str]]:
        keys: list[str] = []
        while True:
            page = yield ListHeads("", keys[-1] if keys else None, 1000)
            keys += (key for key, _ in page)
            if len(page) < 1000:
                return keys


class _Opened:
    """What `_opening` read, before it becomes a session."""

    __slots__ = ("id", "loaded", "now_us", "resumed", "site", "told")

    def __init__(
        self,
        site: Site,
        loaded: Loaded | None,
        resumed: Resumed | None,
        told: tuple[Any, ...],
        id: bytes,
        now_us: int,
    ) -> None:
        self.site = site
        self.loaded = loaded
        self.resumed = resumed
        self.told = told
        self.id = id
        self.now_us = now_us


class Store(StoreBase):
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
        must_exist: bool = False,
        on_error: OnError = "discard",
        on_cancel: OnCancel = "keep",
    ) -> Session:
        """Begin a session on a state, resuming where the last one stopped.

        Nothing is written until something is saved.

        Args:
            key: the state's key, such as `"support/alice"`.
            must_exist: raise `StateNotFound` rather than begin a new state.
            on_error: what an exception in the `with` block does with unsaved edits.
            on_cancel: what cancellation (or Ctrl-C) does with them.

        Raises:
            StateNotFound: `must_exist`, and there is none.
            Damaged: what is stored is not what was saved.
        """
        with reported(self._on_event, "open", key) as detail:
            with reported(self._on_event, "load", key):
                opened = self._driver.run(self._opening(key))
            args, options = self._session_parts(opened, must_exist, on_error, on_cancel)
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
    ) -> list[Checkpoint]:
        """Checkpoints of a state, newest first.

        Args:
            key: the state's key.
            limit: at most so many.
            before: only those before this one (for paging).
            changes: give each its changes too.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: `before` names none.
        """
        return self._driver.run(self._history(key, limit, before, changes))

    def at(self, key: str, ref: Ref) -> View:
        """The state as it was at a checkpoint, read-only.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
        """
        return self._driver.run(self._viewing(key, ref))

    def diff(self, key: str, before: Ref, after: Ref) -> list[Difference]:
        """What changed in a state between two checkpoints.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
        """
        return self._driver.run(self._diffing(key, before, after))

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
        return self._driver.run(self._listing(prefix, limit, after, deleted))

    def info(self, key: str) -> StateInfo:
        """What `states` says of one state.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._driver.run(self._asking(states.info, key))

    def sessions(self, key: str) -> list[SessionInfo]:
        """Sessions that saved something to a state, newest first.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._driver.run(self._asking(marks.sessions_of, key))

    def stats(self, key: str) -> Stats:
        """What a state costs to keep.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._driver.run(self._asking(states.stats, key))

    def copy(self, key: str, new: str) -> StateInfo:
        """A new state with the same content and history, on its own from then on.

        Raises:
            StateNotFound: there is no state `key`.
            StateExists: there is a state `new`.
        """
        return self._driver.run(self._copying(key, new))

    def delete(self, key: str) -> StateInfo:
        """Hide a state. Nothing is removed: `undelete` brings it back.

        Sessions open on it can no longer save to it.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._driver.run(self._asking(states.delete, key))

    def undelete(self, key: str, *, life: int | None = None) -> StateInfo:
        """Bring back the state that was deleted last under this key, or an earlier one.

        Args:
            key: the state's key.
            life: `StateInfo.life` of the one to bring back, as `states(deleted=True)` lists them.

        Raises:
            StateNotFound: none was deleted, or there is no such life.
            StateExists: the key is in use; delete that state first, which loses nothing.
        """
        return self._driver.run(self._undeleting(key, life))

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

    def close(self) -> None:
        """Let what is under way finish and release the store. Safe to call twice."""
        self._driver.close()

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


def _one_of(value: Any, name: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}")
    return value
