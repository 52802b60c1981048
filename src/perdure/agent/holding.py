"""Who is at a task: the hold that a session writes into its record, and whether that still counts.

A hold names its session and its process. Where it can be told whether that process lives, that
counts; elsewhere the hold runs out, unless it is renewed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from perdure import limits, unsaved
from perdure.agent.records import field
from perdure.engine.requests import IsAlive
from perdure.types import Holder

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Held(Enum):
    """What becomes of a task's hold."""

    FREE = 0
    """Nobody holds it, or a session that has ended."""
    BY_DEAD = 1
    """Who held it died at it."""
    BY_OTHER = 2


def hold_of(session: SessionBase[Any], now: datetime) -> dict[str, Any]:
    """The hold of this session."""
    until = now + timedelta(seconds=limits.task_hold_s)
    return {"session": session.id, "until": until, "at": list(session._core.holder)}


def holds(session: SessionBase[Any], record: Mapping[str, Any]) -> bool:
    """Whether this session is at the task, as far as it knows: others may have ended it."""
    hold = field(record, "holder")
    is_ours = hold is not None and field(hold, "session") == session.id
    return is_ours and field(record, "status") == "running"


def state_of_hold(session: SessionBase[Any], record: Mapping[str, Any], now: datetime) -> Held:
    """What a task's hold says to a session that wants the task."""
    hold = record.get("holder")
    if record.get("status") != "running" or hold is None or hold["session"] == session.id:
        return Held.FREE
    if _has_ended(session, hold["session"]):
        return Held.FREE
    at = Holder(*hold["at"])
    alive = session._driver.answer(IsAlive(at))
    if alive is False:
        return Held.BY_DEAD
    if alive and at.pid == os.getpid() and not unsaved.is_open(hold["session"]):
        return Held.FREE
    # A living process may hold it for as long as its session is known to be there.
    if alive and _is_marked(session, hold["session"]):
        return Held.BY_OTHER
    return Held.BY_OTHER if now < hold["until"] else Held.BY_DEAD


def _marks(session: SessionBase[Any]) -> Any:
    position = session._core.position
    return position.head.marks if position is not None else ()


def _has_ended(session: SessionBase[Any], id: str) -> bool:
    return any(mark.id.hex() == id and mark.end is not None for mark in _marks(session))


def _is_marked(session: SessionBase[Any], id: str) -> bool:
    return any(mark.id.hex() == id for mark in _marks(session))
