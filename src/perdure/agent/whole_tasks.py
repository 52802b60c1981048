"""Tasks without a block: done by one function, or given up."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from perdure import limits
from perdure.agent import status
from perdure.agent.acts import Acts, Call, Clock, Edit
from perdure.agent.records import TASKS, read
from perdure.agent.tasks import TaskBase, enter, leave, new, saved, tasks_of
from perdure.core.abbreviate import abbreviate


def run(task: TaskBase, call: Call) -> Acts[Any]:
    """The result of a task that is done; else of doing it by calling a function.

    Raises:
        TaskTaken: another session is at it.
        UsageError: it was abandoned, is entered already, or comes after one that is not done.
    """
    yield from read(task._session, TASKS)
    if task.done:
        return task.result
    status.require(task._name, {"status": task.status}, status.RUNNING)
    yield from enter(task)
    try:
        task.result = yield call
    except BaseException as error:
        yield from leave(task, error)
        raise
    yield from leave(task, None)
    return task.result


def abandon(task: TaskBase, because: str | None) -> Acts[None]:
    """Record that nobody will do a task.

    Raises:
        UsageError: it has ended.
    """
    now = yield Clock()
    yield from read(task._session, TASKS)
    yield Edit(partial(_abandon, task, because, now))
    yield from saved()


def _abandon(task: TaskBase, because: str | None, now: datetime) -> None:
    tasks = tasks_of(task._session)
    if task._name not in tasks:
        tasks[task._name] = new(now, task._after)
    record = tasks[task._name]
    status.require(task._name, record, status.ABANDONED)
    record.update(status=status.ABANDONED, ended=now)
    record["holder"] = None
    if because is not None:
        record["because"] = abbreviate(because, limits.error_chars_max)
