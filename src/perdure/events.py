"""What a store reports while it works: events to `Store(on_event=…)` and to `logging`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import msgspec

log = logging.getLogger("perdure")


class Event(msgspec.Struct, frozen=True):
    """Something that a store did.

    Example:
        >>> store = Store("agents.db", on_event=print)
    """

    name: str
    """"open", "load", "save", "refresh", "close" or "damage"."""
    key: str
    started_ns: int
    """When it began, in nanoseconds since 1970 UTC."""
    seconds: float
    """How long it took."""
    error: str | None = None
    """The error's `kind`, if it failed."""
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


OnEvent: TypeAlias = Callable[[Event], None]
_Detail: TypeAlias = dict[str, Any]


def reported(on_event: OnEvent | None, name: str, key: str) -> AbstractContextManager[_Detail]:
    """Report the block as one event; what is put into the dict given becomes its detail."""
    if on_event is None and not log.isEnabledFor(logging.DEBUG):
        return nullcontext({})  # a save must not pay for what nobody hears
    return _reported(on_event, name, key)


@contextmanager
def _reported(on_event: OnEvent | None, name: str, key: str) -> Iterator[_Detail]:
    detail: _Detail = {}
    started_ns, began = time.time_ns(), time.perf_counter()
    error: str | None = None
    try:
        yield detail
    except BaseException as raised:
        error = getattr(raised, "kind", type(raised).__name__)
        raise
    finally:
        event = Event(name, key, started_ns, time.perf_counter() - began, error, detail)
        log.debug("%s %s %s %.6fs %s", name, key, detail, event.seconds, error or "ok")
        if on_event is not None:
            _deliver(on_event, event)


def _deliver(on_event: OnEvent, event: Event) -> None:
    try:
        on_event(event)
    except Exception:
        # An observer must not be able to fail, or seem to fail, a save that is durable.
        log.exception("on_event failed for %s of %r", event.name, event.key)
