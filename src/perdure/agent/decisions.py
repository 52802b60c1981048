"""Decisions: what an agent decided, why, and on what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.agent.acts import Acts, Clock
from perdure.agent.records import DECISIONS, edit, read, worded
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


SESSION_DIGITS = 8
"""Of a session's id, in the name of a decision's record (hex)."""


class Decision(msgspec.Struct, frozen=True):
    """Something that was decided."""

    text: str
    at: datetime
    because: str | None = None
    based_on: tuple[str, ...] = ()
    """Names of facts, tasks or paths in the state."""


def decide(
    session: SessionBase[Any], text: str, because: str | None, based_on: Iterable[str]
) -> Acts[Decision]:
    """Note a decision; see `Session.decide`."""
    worded(text, "decision")
    if isinstance(based_on, str):
        raise UsageError(f"based_on is a list of names: [{based_on!r}]")
    decisions = yield from edit(session, DECISIONS)
    now = yield Clock()
    found = Decision(text, now, because, tuple(based_on))
    record: dict[str, Any] = {"text": text, "at": found.at}
    record |= {"because": because} if because is not None else {}
    record |= {"based_on": list(found.based_on)} if found.based_on else {}
    decisions[_place(session, decisions, now)] = record
    return found


def _place(session: SessionBase[Any], decisions: Any, now: datetime) -> str:
    """Where no other session puts a decision, so that those of several are merged."""
    name = f"{now:%Y-%m-%dT%H:%M:%S.%fZ} {session.id[:SESSION_DIGITS]}"
    return next(each for each in chain([name], _numbered(name)) if each not in decisions)


def _numbered(name: str) -> Iterator[str]:
    return (f"{name} {number}" for number in count(2))


def every(session: SessionBase[Any]) -> Acts[list[Decision]]:
    """All decisions, oldest first."""
    decisions = yield from read(session, DECISIONS)
    return [
        Decision(each["text"], each["at"], each.get("because"), tuple(each.get("based_on", ())))
        for each in sorted(decisions.values(), key=lambda each: each["at"])
    ]
