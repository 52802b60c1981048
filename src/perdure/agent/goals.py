"""Goals: what an agent is after, until it is reached or given up."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from perdure.agent.acts import Acts, Clock
from perdure.agent.records import GOALS, edit, read, worded
from perdure.errors import PathNotFound, UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

GoalStatus: TypeAlias = Literal["active", "done", "dropped"]


class Goal(msgspec.Struct, frozen=True):
    """One thing that an agent is after."""

    id: str
    text: str
    status: GoalStatus
    added: datetime
    ended: datetime | None = None
    because: str | None = None
    """Why it was given up, or how it was reached."""


def add(session: SessionBase[Any], text: str, id_: str | None) -> Acts[Goal]:
    """Add a goal, unless it is there; see `Goals.add`."""
    worded(text, "goal")
    goals = yield from edit(session, GOALS)
    name = id_ if id_ is not None else text
    if name in goals and goals[name]["text"] == text:
        return _goal(name, goals[name])
    if name in goals:
        raise UsageError(f"there is a goal {name!r} already: {goals[name]['text']!r}")
    now = yield Clock()
    goals[name] = {"text": text, "status": "active", "added": now}
    return _goal(name, goals[name])


def end(session: SessionBase[Any], id_: str, status: GoalStatus, because: str | None) -> Acts[Goal]:
    """End a goal; see `Goals.complete` and `Goals.drop`."""
    goals = yield from edit(session, GOALS)
    if id_ not in goals:
        there = ", ".join(map(repr, goals)) or "none"
        raise PathNotFound(f"there is no goal {id_!r}; there are: {there}")
    goal = goals[id_]
    if goal["status"] == status:
        return _goal(id_, goal)
    if goal["status"] != "active":
        raise UsageError(f"goal {id_!r} is {goal['status']} already")
    now = yield Clock()
    with session._document.block():
        goal["status"], goal["ended"] = status, now
        if because is not None:
            goal["because"] = because
    return _goal(id_, goal)


def every(session: SessionBase[Any]) -> Acts[list[Goal]]:
    """All goals, in the order in which they were added."""
    goals = yield from read(session, GOALS)
    return [_goal(name, goal) for name, goal in goals.items()]


def _goal(name: str, record: Any) -> Goal:
    return Goal(
        name,
        record["text"],
        record["status"],
        record["added"],
        record.get("ended"),
        record.get("because"),
    )
