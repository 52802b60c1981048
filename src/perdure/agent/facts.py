"""Facts: what an agent found out, from where, and how long it may be relied on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.agent.acts import Acts, Clock
from perdure.agent.records import FACTS, edit, lasting, read, worded
from perdure.core.values import take
from perdure.state.node import plain

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Fact(msgspec.Struct, frozen=True):
    """Something that was found out."""

    name: str
    value: Any
    source: str | None
    at: datetime
    until: datetime | None
    """How long it may be relied on; None: that was not said."""
    age: timedelta
    """Since it was found out, as of when it was asked for."""
    is_stale: bool
    """Whether it is to be found out again."""


def put(
    session: SessionBase[Any],
    name: str,
    value: Any,
    source: str | None,
    valid_for: timedelta | None,
) -> Acts[Fact]:
    """Set a fact; see `Facts.set`."""
    worded(name, "fact's name")
    lasting(valid_for, "valid_for")
    facts = yield from edit(session, FACTS)
    now = yield Clock()
    record: dict[str, Any] = {"value": take(value, (FACTS, name)), "at": now}
    record |= {"source": source} if source is not None else {}
    record |= {"until": now + valid_for} if valid_for is not None else {}
    facts[name] = record
    return _fact(name, facts[name], now)


def get(session: SessionBase[Any], name: str) -> Acts[Fact | None]:
    """One fact; None: there is none of this name."""
    facts = yield from read(session, FACTS)
    record = facts.get(name)
    return _fact(name, record, (yield Clock())) if record is not None else None


def every(session: SessionBase[Any]) -> Acts[list[Fact]]:
    """All facts, in the order of their names' first setting."""
    facts = yield from read(session, FACTS)
    now = yield Clock()
    return [_fact(name, record, now) for name, record in facts.items()]


def forget(session: SessionBase[Any], name: str) -> Acts[bool]:
    """Take a fact away; whether there was one."""
    facts = yield from read(session, FACTS)
    return facts.pop(name, None) is not None


def _fact(name: str, record: Any, now: datetime) -> Fact:
    until = record.get("until")
    return Fact(
        name,
        plain(record["value"]),
        record.get("source"),
        record["at"],
        until,
        now - record["at"],
        until is not None and until <= now,
    )
