"""A task: a named unit of work, what is recorded of it, and entering and leaving it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from perdure import limits
from perdure.agent import graph, status
from perdure.agent.acts import Acts, Clock, Edit, Save, Sleep
from perdure.agent.holding import Held, hold_of, holds, state_of_hold
from perdure.agent.records import KINDS, TASKS, field, read, section
from perdure.core.values import take
from perdure.errors import (
    Busy,
    PlanCycle,
    Reload,
    Retryable,
    TaskTaken,
    UnknownOutcome,
    UsageError,
    Waiting,
)
from perdure.state.sections import MissingSection

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

HALF_A_HOLD = timedelta(seconds=limits.task_hold_s / 2)

UNSET: Any = object()
"""No result was given."""

current: ContextVar[TaskBase | None] = ContextVar("perdure.task", default=None)
"""The task that the running code is in."""


class TaskBase:
    """What the tasks of both kinds of session have in common: everything that waits for nothing."""

    def __init__(self, session: SessionBase[Any], name: str, after: Iterable[str] = ()) -> None:
        self._session = session
        self._name = named(name)
        self._after = edges(name, after)
        self._reached: set[str] = set()
        """Keys of steps that this entry came to."""
        self._died = 0
        self._is_open = False
        self._is_over = False
        """Whether the task had ended already when it was entered."""
        self._result = UNSET
        self._around: TaskBase | None = None

    @property
    def name(self) -> str:
        """What it is called: its identity within the state."""
        return self._name

    @property
    def status(self) -> str:
        """`pending`, `running`, `waiting`, `done`, `failed` or `abandoned`."""
        return status_of(self._session, self._record())

    @property
    def done(self) -> bool:
        """Whether it is done, now or since an earlier session."""
        return self.status == status.DONE

    @property
    def attempts(self) -> int:
        """How many times it was begun."""
        return int(self._record().get("attempts", 0))

    @property
    def input(self) -> Any:
        """What the plan gives it to work on; None if nothing."""
        return take(self._record().get("input"))

    @property
    def error(self) -> str | None:
        """What it failed of, in a line; None if it did not."""
        error = self._record().get("error")
        return None if error is None else f"{error['type']}: {error['message']}"

    @property
    def result(self) -> Any:
        """What came of it, None before; set it inside the task, and it is kept as the task ends.

        Raises:
            NotStorable: on setting what no state can hold.
            UsageError: on setting it outside the task, or of one that has ended.
        """
        if self._result is not UNSET:
            return self._result
        return take(self._record().get("result"))

    @result.setter
    def result(self, value: Any) -> None:
        self._require_running()
        self._result = take(value, ("result",))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r}, {self.status}>"

    def _record(self) -> dict[str, Any]:
        """What is recorded of it; nothing if nothing is."""
        try:
            tasks = section(self._session, TASKS)
        except MissingSection:
            return {}
        found: dict[str, Any] = field(tasks, self._name, {})
        return found

    def _require_open(self) -> None:
        if not self._is_open:
            raise UsageError(
                f"the task {self._name!r} is not entered: do this inside `with session.task(…) as "
                "task:` (under asyncio `async with`)"
            )

    def _require_running(self, record: dict[str, Any] | None = None) -> None:
        """See to it that there is a record to write to; `record` is it, if it is at hand.

        Raises:
            TaskTaken: another session took it meanwhile.
            UsageError: it is not entered, or has ended.
        """
        self._require_open()
        if self._is_over:
            raise UsageError(
                f"the task {self._name!r} is {self.status}, and the record of one that has ended "
                "is not edited: ask `task.done` first, or give what is new a task of its own"
            )
        if not holds(self._session, self._record() if record is None else record):
            raise TaskTaken(f"another session took over the task {self._name!r} from this one")


def status_of(session: SessionBase[Any], record: Mapping[str, Any]) -> str:
    """What a task is to a session: one that was only explored is yet to be done by who acts."""
    how = str(record.get("status", status.PENDING))
    is_explored = bool(field(record, "stood_in")) and session._effects == "allow"
    return status.PENDING if is_explored and how == status.DONE else how


def named(name: Any) -> str:
    """A name of a task or a step.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"a task or step has a name, a text that is not empty, not {name!r}")
    return str(name)


def edges(name: str, after: Iterable[str]) -> tuple[str, ...]:
    """What a task comes after, each once.

    Raises:
        UsageError: these are no names.
    """
    if isinstance(after, str):
        raise UsageError(f"after= of {name!r} is a list of names: [{after!r}]")
    return tuple(dict.fromkeys(map(named, after)))


# ---- entering -------------------------------------------------------------------------------


def enter(task: TaskBase) -> Acts[None]:
    """Begin a task, or go on with it; of one that has ended, only its record is looked at.

    Nothing is saved yet, so that a task of one step costs one save more than the step; unless the
    session merges: then others could begin it too.

    Raises:
        TaskTaken: another session is at it.
        UsageError: it is entered already, or comes after one that is not done.
        PlanCycle: it would come after itself.
    """
    session, name = task._session, task._name
    if task._is_open:
        raise UsageError(f"the task {name!r} is entered already")
    yield from read(session, TASKS)
    other = session._tasks.get(name)
    if other is not None:
        raise TaskTaken(f"the task {name!r} is being done in this session already")
    record = task._record()
    task._is_over = status_of(session, record) in status.ENDED
    if not task._is_over:
        session._tasks[name] = task
        try:
            # One that was taken for this session is begun already.
            if not holds(session, record):
                yield from begin(session, name, task._after)
        except BaseException:
            del session._tasks[name]
            raise
    task._died = int(task._record().get("died", 0))
    task._is_open, task._result = True, UNSET
    task._reached.clear()
    task._around = current.get()
    current.set(task)


def begin(session: SessionBase[Any], name: str, after: tuple[str, ...]) -> Acts[None]:
    """Record that a task runs, held by this session.

    Raises:
        TaskTaken: another session was first.
        UsageError: it comes after one that is not done.
        PlanCycle: it would come after itself.
    """
    now = yield Clock()
    record = field((yield from read(session, TASKS)), name)
    held = state_of_hold(session, record, now) if record is not None else Held.FREE
    if held is Held.BY_OTHER:
        raise TaskTaken(f"another session is at the task {name!r}")
    yield Edit(partial(begun, session, name, after, now, died=held is Held.BY_DEAD))
    if session._core.merges:
        yield from saved()
        if not holds(session, section(session, TASKS)[name]):
            raise TaskTaken(f"another session took the task {name!r} first")


def begun(
    session: SessionBase[Any], name: str, after: tuple[str, ...], now: datetime, *, died: bool
) -> None:
    """Write into a task's record that this session begins it."""
    tasks = tasks_of(session)
    record = field(tasks, name)
    if record is None:
        require_acyclic(tasks, {name: after})
        record = new(now, after)
    else:
        record = tasks[name]
    missing = [each for each in behind(record) if not is_done(session, tasks, each)]
    if missing:
        raise UsageError(
            f"the task {name!r} comes after {', '.join(map(repr, missing))}, which "
            f"{'is' if len(missing) == 1 else 'are'} not done"
        )
    if "stood_in" in record and session._effects == "allow":
        _forget_explored(record)
    status.require(name, record, status.RUNNING)
    hold = hold_of(session, now)
    fields = {"status": status.RUNNING, "attempts": record["attempts"] + 1, "started": now}
    if died:
        fields["died"] = record.get("died", 0) + 1
    if name not in tasks:
        tasks[name] = {**record, **fields, "holder": hold}
        return
    for gone in ("error", "waits", "effect", "claims", "ended"):
        record.pop(gone, None)
    record.update(fields, holder=hold)


def _forget_explored(record: dict[str, Any]) -> None:
    """Make a task that was done by stand-ins one to be done; steps from the first of them on go."""
    steps = record.get("steps", {})
    stood_in = [each["ended"] for each in steps.values() if each.get("stood_in")]
    for key, each in list(steps.items()):
        if stood_in and each.get("ended") is not None and each["ended"] >= min(stood_in):
            del steps[key]
    for gone in ("stood_in", "result", "ended"):
        record.pop(gone, None)
    record["status"] = status.PENDING


def tasks_of(session: SessionBase[Any]) -> Any:
    """The tasks to be edited; the section is made if it is not there."""
    if TASKS not in session.raw:
        session._document.write_reserved(TASKS, KINDS[TASKS]())
    return section(session, TASKS)


def new(now: datetime, after: Iterable[str] = ()) -> dict[str, Any]:
    """The record of a task that nobody has begun."""
    record: dict[str, Any] = {"status": status.PENDING, "attempts": 0, "created": now}
    if first := list(after):
        record["after"] = first
    return record


def behind(record: Any) -> list[str]:
    """Names of what a task comes after."""
    return list(list.__iter__(field(record, "after", [])))


def is_done(session: SessionBase[Any], tasks: dict[str, Any], name: str) -> bool:
    """Whether there is such a task and it is done, as far as the session is concerned."""
    return status_of(session, field(tasks, name, {})) == status.DONE


def require_acyclic(tasks: dict[str, Any], added: Mapping[str, Iterable[str]]) -> None:
    """See to it that new tasks close no circle.

    Raises:
        PlanCycle: they do; the message names it.
    """
    if not any(added.values()):
        return  # others may wait for them; they wait for none
    after = {name: behind(record) for name, record in dict.items(tasks)}
    found = graph.cycle({**after, **{name: list(each) for name, each in added.items()}})
    if found is not None:
        raise PlanCycle(
            f"these tasks come after one another in a circle: {' → '.join(map(repr, found))}",
            cycle=found,
        )


# ---- leaving --------------------------------------------------------------------------------

PASSING = (Retryable, Reload)
"""Errors that tell of the store or of others, not of the work: it is let go of, to be taken up."""


def leave(task: TaskBase, error: BaseException | None) -> Acts[None]:
    """Record how a task ended, durably; one that was interrupted is let go of.

    Raises:
        TaskTaken: another session took it over meanwhile, so that nothing was recorded here.
    """
    session = task._session
    task._is_open = False
    current.set(task._around)
    if task._is_over:
        return
    session._tasks.pop(task._name, None)
    if not holds(session, task._record()):
        if error is None:
            raise TaskTaken(f"another session took over the task {task._name!r} from this one")
        return
    now = yield Clock()
    to = _left_as(error)
    yield Edit(partial(_leave, task, to, error, now))
    if to != status.PENDING:
        yield from saved()


def _left_as(error: BaseException | None) -> str:
    if error is None:
        return status.DONE
    if isinstance(error, Waiting | UnknownOutcome):
        return status.WAITING
    is_interrupted = not isinstance(error, Exception) or isinstance(error, PASSING)
    return status.PENDING if is_interrupted else status.FAILED


def _leave(task: TaskBase, to: str, error: BaseException | None, now: datetime) -> None:
    record = tasks_of(task._session)[task._name]
    status.require(task._name, record, to)
    record["status"] = to
    record["holder"] = None  # not gone: who takes it at the same time is to see it
    if to in (status.DONE, status.FAILED):
        record["ended"] = now
    if to == status.DONE and task._result is not UNSET:
        record["result"] = task._result
    if to == status.FAILED and error is not None:
        record["error"] = told(error)
    if isinstance(error, UnknownOutcome) and error.effect is not None:
        record["effect"] = error.effect.name
        if error.effect.claims is not None:
            record["claims"] = error.effect.claims
    elif isinstance(error, Waiting) and isinstance(error.id, str):
        record["waits"] = error.id


def told(error: BaseException) -> dict[str, str]:
    """What is kept of an error: its type and text."""
    text = str(error) or repr(error)
    return {"type": type(error).__qualname__, "message": text[: limits.error_chars_max]}


def saved() -> Acts[None]:
    """Save; where others keep the store, again and again for a while.

    Raises:
        Busy: they keep it too long. Nothing is lost: the next save has it.
    """
    for tried in range(limits.record_save_tries_max):
        try:
            yield Save()
            return
        except Busy:
            if tried == limits.record_save_tries_max - 1:
                raise
            yield Sleep(limits.work_poll_first_s * 2**tried)


def renewed(record: Any, now: datetime) -> None:
    """Hold a task for longer, if its hold has half run out."""
    hold = field(record, "holder")
    if hold and hold["until"] - now < HALF_A_HOLD:
        record["holder"]["until"] = now + timedelta(seconds=limits.task_hold_s)
