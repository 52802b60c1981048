"""What this version of the agent can do to its state, by name, and how it shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

import perdure

from . import Message, Mood, Research, Status, Step, Task

STATUSES = [Status.OPEN, Status.WAITING, Status.CLOSED]


def show(state: Research) -> dict[str, Any]:
    """All that this version sees, as plain data."""
    shown: dict[str, Any] = msgspec.to_builtins(perdure.materialize(state))
    return shown


def moment(text: str | None) -> datetime | None:
    """A time of an instruction."""
    return None if text is None else datetime.fromisoformat(text)


def _user(state: Research, first: str, last: str | None) -> None:
    state.user = first if last is None else f"{first} {last}"


def _place(state: Research, city: str, country: str | None) -> None:
    state.city, state.country = city, country


def _message(who: str, text: str, at: str, mood: str | None = None) -> Message:
    return Message(who, text, datetime.fromisoformat(at), None if mood is None else Mood(mood))


def _say(state: Research, *said: Any) -> None:
    state.messages.append(_message(*said))


def _interject(state: Research, at: int, *said: Any) -> None:
    state.messages.insert(at, _message(*said))


def _reword(state: Research, at: int, text: str) -> None:
    state.messages[at].text = text


def _attribute(state: Research, at: int, who: str) -> None:
    state.messages[at].role = who


def _feel(state: Research, at: int, mood: str | None) -> None:
    state.messages[at].mood = None if mood is None else Mood(mood)


def _unsay(state: Research, at: int) -> None:
    del state.messages[at]


def _forget(state: Research, count: int) -> None:
    state.messages = state.messages[count:]


def _defer(state: Research, at: int, to: int) -> None:
    state.messages.insert(to, state.messages.pop(at))


def _task(state: Research, key: str, goal: str, tag: str | None, due: str | None) -> None:
    state.tasks[key] = Task(goal, None, [] if tag is None else [tag], moment(due))


def _drop(state: Research, key: str) -> None:
    del state.tasks[key]


def _rekey(state: Research, key: str, new: str) -> None:
    state.tasks[new] = state.tasks.pop(key)


def _goal(state: Research, key: str, goal: str) -> None:
    state.tasks[key].goal = goal


def _own(state: Research, key: str, owner: str | None) -> None:
    state.tasks[key].owner = owner


def _tags(state: Research, key: str, tags: list[str]) -> None:
    state.tasks[key].tags = tags


def _tag(state: Research, key: str, tag: str) -> None:
    state.tasks[key].tags.append(tag)


def _due(state: Research, key: str, due: str | None) -> None:
    state.tasks[key].due = moment(due)


def _count(state: Research, who: str) -> None:
    state.counts[who] = state.counts.get(who, 0) + 1


def _finish(state: Research, at: int, done: bool) -> None:
    state.plan.steps[at].done = done


ACTS: dict[str, Callable[..., None]] = {
    "title": lambda state, text: setattr(state, "topic", text),
    "note": lambda state, text: setattr(state, "notes", text),
    "judge": lambda state, at: setattr(state, "status", STATUSES[at]),
    "user": _user,
    "estimate": lambda state, count: setattr(state, "estimate", str(count)),
    "place": _place,
    "start": lambda state, at: setattr(state, "started", moment(at)),
    "deadline": lambda state, at: setattr(state, "deadline", moment(at)),
    "aim": lambda state, text: setattr(state.plan, "goal", text),
    "plan": lambda state, text: state.plan.steps.append(Step(text)),
    "finish": _finish,
    "say": _say,
    "interject": _interject,
    "reword": _reword,
    "attribute": _attribute,
    "feel": _feel,
    "unsay": _unsay,
    "forget": _forget,
    "defer": _defer,
    "task": _task,
    "drop": _drop,
    "rekey": _rekey,
    "goal": _goal,
    "own": _own,
    "tags": _tags,
    "tag": _tag,
    "due": _due,
    "log": lambda state, text: state.log.append(text),
    "count": _count,
}
"""By name, each given the state and what the instruction says."""
