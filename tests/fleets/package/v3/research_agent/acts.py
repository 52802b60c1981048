"""What this version of the agent can do to its state, by name, and how it shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import perdure

from . import Message, Research, Status, Step, Task

STATUSES = [Status.OPEN, Status.WAITING, Status.CLOSED]


def show(state: Research) -> dict[str, Any]:
    """All that this version sees, as plain data."""
    shown: dict[str, Any] = perdure.materialize(state).model_dump(mode="json")
    return shown


def moment(text: str | None) -> datetime | None:
    """A time of an instruction."""
    return None if text is None else datetime.fromisoformat(text)


def _user(state: Research, first: str, last: str | None) -> None:
    state.first, state.last = first, last


def _place(state: Research, city: str, country: str | None) -> None:
    state.place = city if country is None else f"{city}, {country}"


def _message(who: str, text: str, at: str) -> Message:
    return Message(author=who, parts=[text], at=datetime.fromisoformat(at))


def _say(state: Research, *said: Any) -> None:
    state.messages.append(_message(*said))


def _interject(state: Research, at: int, *said: Any) -> None:
    state.messages.insert(at, _message(*said))


def _reword(state: Research, at: int, text: str) -> None:
    state.messages[at].parts[0] = text


def _attribute(state: Research, at: int, who: str) -> None:
    state.messages[at].author = who


def _add_part(state: Research, at: int, text: str) -> None:
    state.messages[at].parts.append(text)


def _unsay(state: Research, at: int) -> None:
    del state.messages[at]


def _forget(state: Research, count: int) -> None:
    state.messages = state.messages[count:]


def _defer(state: Research, at: int, to: int) -> None:
    state.messages.insert(to, state.messages.pop(at))


def _task(state: Research, key: str, goal: str, tag: str | None, due: str | None) -> None:
    state.tasks[key] = Task(aim=goal, tag=tag, due=moment(due))


def _rank(state: Research, key: str, priority: int) -> None:
    state.tasks[key].priority = priority


def _measure(state: Research, at: int, tokens: int) -> None:
    state.messages[at].tokens = tokens


def _drop(state: Research, key: str) -> None:
    del state.tasks[key]


def _rekey(state: Research, key: str, new: str) -> None:
    state.tasks[new] = state.tasks.pop(key)


def _goal(state: Research, key: str, goal: str) -> None:
    state.tasks[key].aim = goal


def _own(state: Research, key: str, owner: str | None) -> None:
    state.tasks[key].owner = owner


def _retag(state: Research, key: str, tag: str | None) -> None:
    state.tasks[key].tag = tag


def _due(state: Research, key: str, due: str | None) -> None:
    state.tasks[key].due = moment(due)


def _count(state: Research, who: str) -> None:
    state.counts[who] = state.counts.get(who, 0) + 1


def _finish(state: Research, at: int, done: bool) -> None:
    state.plan.steps[at].done = done


ACTS: dict[str, Callable[..., None]] = {
    "title": lambda state, text: setattr(state, "subject", text),
    "rate": lambda state, rating: setattr(state, "rating", rating),
    "budget": lambda state, count: setattr(state, "budget", count),
    "judge": lambda state, at: setattr(state, "status", STATUSES[at]),
    "user": _user,
    "estimate": lambda state, count: setattr(state, "estimate", count),
    "place": _place,
    "start": lambda state, at: setattr(state, "started", datetime.fromisoformat(at).isoformat()),
    "deadline": lambda state, at: setattr(state.plan, "deadline", moment(at)),
    "aim": lambda state, text: setattr(state, "goal", text),
    "plan": lambda state, text: state.plan.steps.append(Step(title=text)),
    "finish": _finish,
    "say": _say,
    "interject": _interject,
    "reword": _reword,
    "attribute": _attribute,
    "add part": _add_part,
    "unsay": _unsay,
    "forget": _forget,
    "defer": _defer,
    "task": _task,
    "rank": _rank,
    "measure": _measure,
    "drop": _drop,
    "rekey": _rekey,
    "goal": _goal,
    "own": _own,
    "retag": _retag,
    "due": _due,
    "log": lambda state, text: state.log.append(text),
    "count": _count,
}
"""By name, each given the state and what the instruction says."""
