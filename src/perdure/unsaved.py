"""Telling of edits that are lost because nobody ended their session.

A session that is dropped, outlived by its store or alive when the process ends takes what it has
not saved with it. That is told three ways: as a `ResourceWarning`, as Python tells of files nobody
closed; to the logger, since Python hides that warning by default; and to the session's store, whose
pytest fixture reports it.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from perdure.events import log

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.session_base import SessionBase

_open: WeakValueDictionary[int, SessionBase[Any]] = WeakValueDictionary()
"""The sessions of this process that are still there, by `id`."""


def watch(session: SessionBase[Any]) -> None:
    """Tell of the session's unsaved edits if it is open when its store or the process ends."""
    _open[id(session)] = session


def is_open(id: str) -> bool:
    """Whether a session of this process, by its id, is there and has not ended."""
    return any(session.id == id and not session._closed for session in _watched())


def store_closed(driver: Driver) -> None:
    """Tell of the sessions that their store did not outlive."""
    for session in _watched():
        if session._driver.belongs_to(driver):
            tell(session, f"the store was closed before its session on {session.key!r}")


@atexit.register
def _process_ends() -> None:
    for session in _watched():
        tell(session, f"the process ended before its session on {session.key!r}")


def _watched() -> list[SessionBase[Any]]:
    # A list of references is made at once, whatever other threads open and drop meanwhile.
    sessions = [reference() for reference in _open.valuerefs()]
    return [session for session in sessions if session is not None]


def tell(session: SessionBase[Any], what: str) -> None:
    """Tell, once, that what the session has not saved is lost; nothing if it has saved all.

    A forked child tells nothing: its parent's sessions are its parent's to save.
    """
    if session._closed or session._is_loss_told or session._pid != os.getpid():
        return
    if not session._has_unsaved():
        return
    session._is_loss_told = True
    message = (
        f"{what}, whose unsaved edits are lost. Open it by `{session._with} "
        f"store.open({session.key!r}) as session:`, or end it by {session._close}"
    )
    session._driver.losses.append(message)
    log.warning("%s", message)
    warnings.warn(message, ResourceWarning, stacklevel=_outside(), source=session)


def _outside() -> int:
    """The `stacklevel` of the caller's frame that is the user's own: the innermost not of ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("perdure."):
        level, frame = level + 1, frame.f_back
    return level
