"""A plan: tasks that come after one another, and how far they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from perdure.agent import graph, status
from perdure.agent.acts import Acts, Clock, Edit
from perdure.agent.records import TASKS, field, read, section
from perdure.agent.tasks import behind, edges, named, new, require_acyclic, saved, tasks_of
from perdure.core.values import take
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Todo(msgspec.Struct, frozen=True):
    """A task of a plan, before anybody began it.

    Example:
        >>> session.plan.add_missing([Todo("read"), Todo("audit json", after=["read"], input=17)])
    """

    name: str
    after: Iterable[str] = ()
    """Names of the tasks that have to be done before; they may be added later."""
    input: Any = None
    """What it is given to work on: any value that a state can hold."""


Given: TypeAlias = "str | Todo | Mapping[str, Any]"
"""A task of a plan as a user gives it: a name, a `Todo`, or a dict of its fields."""


class Progress(msgspec.Struct, frozen=True):
    """How far a plan is. `str` of it is a line.

    Example:
        >>> print(session.plan.progress)
        3 of 7 done, 1 running, 1 failed, 2 blocked
    """

    total: int
    counts: dict[str, int]
    """By status, how many tasks; those that are blocked count as that."""
    blocked: tuple[str, ...] = ()
    """Names of those that nobody can begin before something else is put right."""

    @property
    def done(self) -> int:
        """How many are done."""
        return self.counts.get(status.DONE, 0)

    @property
    def is_over(self) -> bool:
        """Whether every task has ended."""
        return sum(self.counts.get(each, 0) for each in status.ENDED) == self.total

    def __str__(self) -> str:
        others = [f"{count} {name}" for name, count in self.counts.items() if name != status.DONE]
        return ", ".join([f"{self.done} of {self.total} done", *others])


ORDER = (status.DONE, status.RUNNING, status.WAITING, status.FAILED, "blocked", status.PENDING)
"""How a line about a plan goes; other statuses come last."""

STUCK = frozenset({status.WAITING, status.FAILED, status.ABANDONED})
"""What keeps a task from being begun that comes after."""


def tasks_in(session: SessionBase[Any]) -> dict[str, Any]:
    """The tasks, tracked, to be read; nothing is put there for it."""
    found: dict[str, Any] = section(session, TASKS) if TASKS in session.raw else {}
    return found


def after_of(tasks: dict[str, Any]) -> dict[str, list[str]]:
    """By name, what each task comes after."""
    return {name: behind(record) for name, record in dict.items(tasks)}


def ordered(tasks: dict[str, Any]) -> list[str]:
    """Their names, each after what it comes after, and else as they were added."""
    return graph.order(after_of(tasks))


def statuses(tasks: dict[str, Any]) -> dict[str, str]:
    """By name and in their order, what each is; `blocked` too."""
    after = after_of(tasks)
    found: dict[str, str] = {}
    for name in graph.order(after):
        found[name] = str(field(field(tasks, name), "status"))
        if found[name] == status.PENDING:
            first = (found.get(each, "blocked") for each in after[name])
            if any(each in STUCK or each == "blocked" for each in first):
                found[name] = "blocked"
    return found


def progress(tasks: dict[str, Any]) -> Progress:
    """How far they are."""
    found = statuses(tasks)
    counts: dict[str, int] = {}
    for each in found.values():
        counts[each] = counts.get(each, 0) + 1
    rank = {name: at for at, name in enumerate(ORDER)}
    told = sorted(counts, key=lambda name: (rank.get(name, len(rank)), name))
    blocked = tuple(name for name, each in found.items() if each == "blocked")
    return Progress(len(found), {name: counts[name] for name in told}, blocked)


# ---- adding ---------------------------------------------------------------------------------


def add_missing(session: SessionBase[Any], given: Iterable[Given]) -> Acts[list[str]]:
    """Add those tasks that are not there; those that are stay as they are.

    Raises:
        PlanCycle: they would come after one another in a circle; nothing is added.
        UsageError: this is no task.
        NotStorable: no state can hold what it is given.
    """
    todos = [_todo(each) for each in given]
    session._refuse_inside_atomic()
    yield from read(session, TASKS)
    now = yield Clock()
    added: list[str] = yield Edit(partial(_add, session, todos, now))
    if added:
        yield from saved()
    return added


def _todo(given: Given) -> Todo:
    if isinstance(given, str):
        return Todo(named(given))
    if isinstance(given, Mapping):
        unknown = set(given) - set(Todo.__struct_fields__)
        if unknown or "name" not in given:
            raise UsageError(
                f"a task of a plan is a dict of name, after and input, not {dict(given)!r}"
            )
        given = Todo(**given)
    if not isinstance(given, Todo):
        raise UsageError(f"a task of a plan is a name, a dict or a Todo, not {given!r}")
    name = named(given.name)
    return Todo(name, edges(name, given.after), take(given.input, (name, "input")))


def _add(session: SessionBase[Any], todos: Iterable[Todo], now: datetime) -> list[str]:
    tasks = tasks_in(session)
    missing: dict[str, Todo] = {}
    for todo in todos:
        if todo.name not in tasks:
            missing.setdefault(todo.name, todo)
    if not missing:
        return []
    require_acyclic(tasks, {todo.name: todo.after for todo in missing.values()})
    records = {}
    for todo in missing.values():
        records[todo.name] = new(now, todo.after)
        if todo.input is not None:
            records[todo.name]["input"] = todo.input
    tasks_of(session).update(records)
    return list(missing)
