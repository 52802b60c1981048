"""What `Store` and `AsyncStore` share: everything of them that waits for nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeAlias, TypeVar

from perdure import access, limits, missing
from perdure.cache import Cache
from perdure.core.refs import Ref
from perdure.drive import Clock, Driver, system_clock
from perdure.engine import states, unreferenced
from perdure.engine.read import Site, required
from perdure.engine.requests import ListHeads, Steps
from perdure.engine.scope import EVERYTHING, VERBS, Scope, Verb
from perdure.errors import (
    InvalidStoreURL,
    StateNotFound,
    StoreUnavailable,
    UsageError,
)
from perdure.events import OnEvent
from perdure.leasing import Keeper
from perdure.naming import check_key, check_new, key
from perdure.reports import (
    Exported,
    Unreferenced,
)
from perdure.session_base import OnDamage
from perdure.types import (
    Durability,
    StateInfo,
)
from perdure.upkeep import Maintenance, Upkeep

if TYPE_CHECKING:
    from perdure.anchors.protocol import Anchor
    from perdure.backends.protocol import Backend
    from perdure.keys.providers import Key
    from perdure.secrets.policy import Secrets

T = TypeVar("T")

ON_DAMAGE = ("raise", "last_good")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total)."""


class StoreBase:
    """What `Store` and `AsyncStore` have in common."""

    _is_handle = False
    """Whether it was made by `scoped`: the rest of the store is another's."""

    def __init_subclass__(cls, *, is_part: bool = False) -> None:
        # Python's errors name the function that was called: let that be the class the user knows.
        # A part of one (`is_part`) is no such class.
        if not is_part and cls.__init__ is StoreBase.__init__:
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
        secrets: Literal["refuse", "mask"] | Secrets | None = None,
        cache_bytes: int = limits.cache_bytes,
        on_damage: OnDamage = "raise",
        clock: Clock | None = None,
        key: Key | None = None,
        keys_url: str | os.PathLike[str] | Backend | None = None,
        hide_names: bool = False,
        anchor: str | os.PathLike[str] | Anchor | None = None,
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
            read_only: refuse to write, by `ReadOnlyStore`, before anything is done: no file is made
                or changed, and sessions are opened only to read.
            create: let the first save make the store if it is not there.
            maintenance: `"background"` keeps states quick to open and small, in a thread of its
                own; `"off"` leaves that to `maintain`.
            on_event: called with an `Event` after each open, load, save, refresh and close, and
                when maintenance comes upon damage.
            secrets: what to do about secrets (keys, tokens) in what is saved: `"refuse"` the save
                (`SecretFound`), `"mask"` them in the live state, or a `perdure.Secrets`. It takes
                the extra `secrets`.
            cache_bytes: how much to keep in memory of what was read, so that a state that is opened
                again is not read again; 0: nothing.
            on_damage: what `open` does by default with a state that is damaged.
            clock: microseconds since 1970 UTC, for tests.
            key: the root key of an encrypted store: one of `perdure.keys`, 32 bytes, `env:NAME`,
                `file:PATH`, `keyring:SERVICE`, `passphrase`, a function that gives the bytes, or an
                object with `key_id`, `wrap` and `unwrap`. What is made with it is encrypted.
            keys_url: another store, where the data keys are kept; no copy of this one can be read
                without it.
            hide_names: of a store that is made: encrypt the names of its states too.
            anchor: what knows, outside of the store, how far each state had come: a file where
                whoever can write to the store cannot write, or an object with `get` and `put`
                (`perdure.anchors.Anchor`). An older version of a state or of the store is refused
                then, as `Tampered`, and a save is told of only when the anchor knows it.

        Raises:
            InvalidStoreURL: not the name of a store.
            UsageError: an option is not what it can be.
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
        if key is not None:
            from perdure.keys.opening import keyed

            # The keys of a store that is only read are not written to either.
            options = {"busy_timeout": busy_timeout, "read_only": read_only, "create": create}
            backend = keyed(backend, key, keys_url, hide_names, options)
        elif keys_url is not None or hide_names:
            raise UsageError("keys_url and hide_names are of a store with a key: give key= too")
        if anchor is not None:
            from perdure.anchors.opening import anchored

            backend = anchored(backend, anchor, read_only=read_only)
        self.url = os.fspath(url) if isinstance(url, str | os.PathLike) else repr(url)
        self._durability: Durability = durability
        self._check_edits = check_edits
        self._on_damage: OnDamage = one_of(on_damage, "on_damage", ON_DAMAGE)
        self._on_event = on_event
        self._secrets = None if secrets is None else policy_of(secrets)
        cache = Cache(cache_bytes) if _checked_size(cache_bytes) else None
        self._driver = Driver(backend, clock or system_clock, cache)
        if read_only:
            self._driver = access.read_only(self._driver)
        self._keeper = Keeper(self._driver)
        self._upkeep: Upkeep | None = None
        if one_of(maintenance, "maintenance", ("background", "off")) == "background":
            self._upkeep = Upkeep(self._driver, on_event) if not read_only else None

    @property
    def _scope(self) -> Scope | None:
        return self._driver.scope

    def scoped(self, pattern: str, *, allow: Iterable[Verb] = ("read", "write")) -> Self:
        """A handle of this store that can do nothing else: for a tool, or a sub-agent.

        It is a store itself: what it lists is what lies within, and what it opens is kept to the
        same. What is about the whole store is refused. It gives no way back to this store, and
        closing it closes the handle alone. It guards against mistakes and against what a tool is
        told to do, not against code in this process that looks into its private attributes.

        Args:
            pattern: a key, a prefix that ends in `/*`, or `"*"`; of a handle, within its own.
            allow: what it may do: `"read"`, always; `"write"`, what a session does, with branches
                and copies; `"answer"`, what a person says (`answer`, `settle`); `"manage"`:
                `delete`, `undelete`, `prune`, `redact`, `maintain`, `migrate`, `sweep`; `"erase"`:
                `erase`.

        Raises:
            NotAllowed: of a handle, for more than it has itself.
            UsageError: the pattern or a verb is none.

        Example:
            >>> tool = store.scoped("support/*", allow={"read"})
            >>> tool.delete("support/alice")
            Traceback (most recent call last):
            perdure.errors.NotAllowed: delete() needs 'manage', and this handle has read: …
        """
        held = self._scope or Scope(EVERYTHING, VERBS)
        scope = held.narrowed(pattern, allow)
        handle = object.__new__(type(self))
        handle.__dict__.update(self.__dict__)
        handle._driver = access.ScopedDriver(self._driver, scope)
        handle._is_handle = True
        handle.url = f"scoped:{pattern}"
        return handle

    key = staticmethod(key)

    def _close(self) -> None:
        if self._is_handle:
            self._driver.close()
            return
        if self._upkeep is not None:
            self._upkeep.close()
        self._keeper.close()
        self._driver.close()

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

    def _copying(self, key: str, new: str, at: Ref | None) -> Steps[StateInfo]:
        check_new(new)
        target = Site(self._driver.store_id, new)
        check = None
        if self._secrets is not None:
            from perdure.secrets.found import none_copied

            check = none_copied(self._secrets)
        work = partial(states.copy, target=target, at=at, check=check)
        info = yield from self._asking(work, key)
        self._made(target)
        return info

    def _made(self, site: Site) -> None:
        """A state came here with its history: it is quick to open as soon as it has a snapshot."""
        if self._upkeep is not None:
            self._upkeep.ask_for(site)

    def _undeleting(self, key: str, life: int | None) -> Steps[StateInfo]:
        return (yield from self._asking(partial(states.undelete, life=life), key))

    def _export(
        self,
        key: str,
        target: str | os.PathLike[str] | BinaryIO,
        progress: Progress | None,
        in_clear: bool,
    ) -> Exported:
        from perdure.transfer import export_state

        site = self._look(self._asking(required, key))
        root = None if in_clear else getattr(self._driver.backend, "root", None)
        return export_state(self._driver, site, target, progress, root)

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
        root = getattr(self._driver.backend, "root", None)
        look_over = None
        if self._secrets is not None:
            from perdure.secrets.found import Arriving

            look_over = partial(Arriving, self._secrets)
        info = import_state(self._driver, store, source, key, progress, root, look_over)
        self._made(Site(store, info.key))
        return info

    def _backup(self, path: str | os.PathLike[str], progress: Progress | None) -> None:
        if not self._driver.is_made():
            raise StoreUnavailable(f"there is nothing to back up: the store is {self._name()}")
        self._driver.backend.backup(Path(path), progress)

    def _unreferenced(self) -> list[Unreferenced]:
        store = self._driver.store_id if self._driver.is_made() else b""
        return self._look(unreferenced.in_store(store))

    def _keys(self) -> Steps[list[str]]:
        keys: list[str] = []
        while True:
            after = keys[-1] if keys else None
            page = yield ListHeads("", after, limits.heads_listed_max)
            keys += (key for key, _ in page)
            if len(page) < limits.heads_listed_max:
                return keys


def policy_of(secrets: object) -> Secrets | None:
    """The policy that was given.

    Raises:
        UsageError: it is none, or the library that it needs is not installed.
    """
    from perdure.secrets.policy import checked as checked_policy

    return checked_policy(secrets)


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


def one_of(value: Any, name: str, choices: tuple[str, ...]) -> Any:
    """An option that is one of these.

    Raises:
        UsageError: it is none.
    """
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}")
    return value
