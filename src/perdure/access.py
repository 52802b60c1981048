"""What each method of a store needs, and the check that stands before it.

The table is complete: a method that it does not name is refused to every scope, and by a test.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from perdure.drive import Driver
from perdure.engine.requests import ListHeads, Request, Steps
from perdure.engine.scope import EVERYTHING, Scope, Verb, within
from perdure.errors import NotAllowed, StoreClosed

T = TypeVar("T")
C = TypeVar("C", bound=type[Any])

KEYS = ("key", "new", "other")
"""Parameters that name states."""


class Need(msgspec.Struct, frozen=True):
    """What a method needs."""

    verb: Verb
    whole: bool = False
    """Whether it is about the store itself, and not about states: refused to every part of it."""
    whole_without_key: bool = False
    """Whether it is so where it is given no key."""


READ, WRITE = Need("read"), Need("write")
ANSWER, MANAGE = Need("answer"), Need("manage")

NEEDS: dict[str, Need | None] = {
    "answer": ANSWER,
    "at": READ,
    "backup": Need("read", whole=True),
    "blame": READ,
    "branches": READ,
    "close": None,
    "compact": Need("manage", whole=True),
    "copy": WRITE,
    "delete": MANAGE,
    "delete_branch": WRITE,
    "diff": READ,
    "due": READ,
    "effects": READ,
    "erase": Need("erase"),
    "erasures": Need("read", whole_without_key=True),
    "encrypt": Need("manage", whole=True),
    "export": READ,
    "fork": WRITE,
    "history": READ,
    "import_": WRITE,
    "info": READ,
    "is_encrypted": Need("read", whole=True),
    "key": None,
    "key_info": Need("read", whole=True),
    "maintain": Need("manage", whole_without_key=True),
    "merge": WRITE,
    "migrate": MANAGE,
    "migrations": READ,
    "movements": READ,
    "open": READ,
    "promote": WRITE,
    "prune": MANAGE,
    "redact": MANAGE,
    "redo": WRITE,
    "rename_branch": WRITE,
    "rewrap": Need("manage", whole=True),
    "rollback": WRITE,
    "reanchor": Need("manage", whole=True),
    "rotate": Need("manage", whole=True),
    "scan": READ,
    "scoped": None,
    "sessions": READ,
    "settle": ANSWER,
    "states": READ,
    "stats": READ,
    "sweep": MANAGE,
    "undelete": MANAGE,
    "undo": WRITE,
    "unmigrate": MANAGE,
    "unreferenced": Need("read", whole=True),
    "upgrade": Need("manage", whole=True),
    "verify": READ,
    "waiting": READ,
    "watch": READ,
}
"""By method; None: it needs nothing, or sees to it itself. What only says what would be done
(`dry_run=True`) needs no more than to read."""


def check(scope: Scope, name: str, arguments: dict[str, Any]) -> None:
    """Refuse a call that a scope does not allow.

    Raises:
        NotAllowed: a verb is missing, a state lies outside, or it is about the store itself.
        ReadOnlyStore: nothing may be written at all.
    """
    need = NEEDS[name]
    if need is None:
        return
    scope.require("read" if arguments.get("dry_run") else need.verb, f"{name}()")
    if name == "open" and arguments.get("exclusive"):
        scope.require("write", "open(exclusive=True)")  # the hold is written at once
    repairs = name == "verify" and arguments.get("repair") and not arguments.get("dry_run")
    if repairs:
        scope.require("manage", "verify(repair=True)")
    # A repair copies the whole store first.
    is_whole = need.whole or (need.whole_without_key and arguments.get("key") is None) or repairs
    if is_whole and not scope.is_read_only:
        raise NotAllowed(
            f"{name}() is about the whole store, and this handle has {scope.pattern!r}: use the "
            "store itself"
        )
    for each in KEYS:
        key = arguments.get(each)
        if isinstance(key, str):
            _check_key(scope, name, key)


def _check_key(scope: Scope, name: str, key: str) -> None:
    if name == "watch" and key.endswith("*"):
        return  # as a listing: it shows what lies within
    scope.require_key(key)


def guarded(cls: C) -> C:
    """Put the check before every public method of a store's class."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if NEEDS.get(name, READ) is not None:
            setattr(cls, name, _checked(name, method))
    return cls


def _checked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    def look(store: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        bound = signature.bind(store, *args, **options)
        if name not in NEEDS:
            raise NotAllowed(f"{name}() is in no list of what a handle may do")
        check(store._scope, name, bound.arguments)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(self: Any, *args: Any, **options: Any) -> Any:
            if self._scope is not None:
                look(self, args, options)
            return await method(self, *args, **options)

        return awaited

    @functools.wraps(method)
    def called(self: Any, *args: Any, **options: Any) -> Any:
        if self._scope is not None:
            look(self, args, options)
        return method(self, *args, **options)

    return called


class ScopedDriver(Driver):
    """A driver behind the wall of a scope. All but the wall is that of the driver itself."""

    def __init__(self, driver: Driver, scope: Scope) -> None:
        self._whole = driver
        self.scope: Scope | None = scope
        self._is_given_up = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def belongs_to(self, driver: Driver) -> bool:
        """Whether it is a driver, or behind a wall of it."""
        return self is driver or self._whole.belongs_to(driver)

    @property
    def closed(self) -> bool:
        """Whether the handle or the store was closed."""
        return self._is_given_up or self._whole.closed

    def _require_open(self) -> None:
        if self._is_given_up:
            raise StoreClosed("this handle was closed; ask the store for another")

    def connect(self) -> Any:
        """The store's identity; opens it on first use."""
        self._require_open()
        return self._whole.connect()

    def _answering(self, makes: bool) -> Any:
        self._require_open()
        return self._whole._answering(makes)

    def _behind(self, steps: Steps[T]) -> Steps[T]:
        assert self.scope is not None
        self._require_open()
        return within(self.scope, steps)

    def run(
        self, steps: Steps[T], *, makes: bool = True, pausing: Callable[[], None] | None = None
    ) -> T:
        """Run an engine generator to its end in this thread, behind the wall."""
        return self._whole.run(self._behind(steps), makes=makes, pausing=pausing)

    async def arun(self, steps: Steps[T], *, makes: bool = True) -> T:
        """Run an engine generator to its end on the running event loop, behind the wall."""
        return await self._whole.arun(self._behind(steps), makes=makes)

    def answer(self, request: Request) -> Any:
        """The answer to one request that the wall lets through."""
        self._require_open()
        assert self.scope is not None
        asked = self.scope.let_through(request)
        if isinstance(asked, ListHeads) and asked.count == 0:
            return ()
        return self.scope.answer_to(asked, self._whole.answer(asked))

    def commit_all(self, requests: Any) -> Any:
        """Settle commits that the wall lets through."""
        assert self.scope is not None
        for each in requests:
            self.scope.let_through(each)
        return self._whole.commit_all(requests)

    def close(self) -> None:
        """Close the handle; a driver of a store that is read-only is the store's own."""
        self._is_given_up = True
        if self.scope is not None and self.scope.is_read_only:
            self._whole.close()


def read_only(driver: Driver) -> ScopedDriver:
    """The driver of a store that is only read."""
    return ScopedDriver(driver, Scope(EVERYTHING, frozenset(("read",)), is_read_only=True))
