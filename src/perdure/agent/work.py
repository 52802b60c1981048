"""Working through a plan: taking its tasks, one by one, each by one worker alone."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from perdure import limits
from perdure.agent import status
from perdure.agent.acts import Acts, Clock, Edit, Refresh, Sleep
from perdure.agent.awaited import come
from perdure.agent.holding import Held, holds, state_of_hold
from perdure.agent.plan import ordered, tasks_in
from perdure.agent.records import TASKS, field, read
from perdure.agent.steps import INTERRUPTED
from perdure.agent.tasks import begun, behind, is_done, renewed, saved, status_of, tasks_of
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Work(msgspec.Struct, weakref=True, eq=False):
    """One going through of a plan."""

    session: SessionBase[Any]
    concurrency: int = 1
    attempts_max: int | None = None
    handed: set[str] = set()
    """Names of tasks that it gave out: none twice."""

    def __post_init__(self) -> None:
        if self.concurrency < 1 or (self.attempts_max is not None and self.attempts_max < 1):
            raise UsageError("concurrency= and attempts_max= are 1 or more")
        self.session._works.add(self)


class Sight(msgspec.Struct, frozen=True):
    """What there is to take, as a worker sees it."""

    free: list[str]
    died: set[str]
    """Those of them whose worker died at it."""
    used_up: list[str]
    """Those that are not to be begun again."""
    is_over: bool
    """Whether nothing will be there to take, whatever those do that are at work."""


def take_next(work: Work) -> Acts[str | None]:
    """Take a task, as soon as there is one; None once there will be none.

    Raises:
        Busy: others keep the store too long.
    """
    session = work.session
    yield from read(session, TASKS)
    yield from _let_go(work)
    wait = limits.work_poll_first_s
    while True:
        now = yield Clock()
        come_since = yield from come(session, now)
        sight, name = yield Edit(partial(_taken, work, now, come_since))
        if name is not None or sight.used_up:
            yield from saved()
        if name is not None:
            if holds(session, tasks_in(session)[name]):
                return str(name)
            work.handed.discard(name)  # others were first
            continue
        if sight.is_over:
            return None
        yield Edit(partial(_renew, work, now))
        yield Sleep(wait)
        wait = min(2 * wait, limits.work_poll_max_s)
        if session._core.merges or not outstanding(work):
            yield Refresh()


def look(work: Work, now: datetime, come_since: frozenset[str]) -> Sight:
    """What there is to take; `come_since` names the tasks that wait no longer."""
    session = work.session
    tasks = tasks_in(session)
    free: list[str] = []
    died: set[str] = set()
    used_up: list[str] = []
    is_over = True
    for name in ordered(tasks):
        record = field(tasks, name)
        how = status_of(session, record)
        if name in work.handed:
            is_over &= how != status.RUNNING
            continue
        if how == status.RUNNING:
            held = state_of_hold(session, record, now)
            if held is Held.BY_OTHER or _is_in_hand(session, name):
                is_over = False
                continue
            if held is Held.BY_DEAD:
                died.add(name)
            (used_up if _is_used_up(work, record) else free).append(name)
        elif (
            (how == status.PENDING and _is_ready(session, tasks, record))
            or (how == status.WAITING and name in come_since)
            or (how == status.FAILED and work.attempts_max and not _is_used_up(work, record))
        ):
            free.append(name)
    return Sight(free, died, used_up, is_over and not free)


def _is_in_hand(session: SessionBase[Any], name: str) -> bool:
    """Whether somebody in this session is at a task, or was given it."""
    return name in session._tasks or any(name in work.handed for work in session._works)


def _is_ready(session: SessionBase[Any], tasks: dict[str, Any], record: dict[str, Any]) -> bool:
    return all(is_done(session, tasks, each) for each in behind(record))


def _is_used_up(work: Work, record: dict[str, Any]) -> bool:
    return work.attempts_max is not None and record["attempts"] >= work.attempts_max


def outstanding(work: Work) -> list[str]:
    """Names of the tasks that were given out and have not ended."""
    tasks = tasks_in(work.session)
    return [name for name in work.handed if holds(work.session, field(tasks, name, {}))]


def _taken(work: Work, now: datetime, come_since: frozenset[str]) -> tuple[Sight, str | None]:
    """Look, and write this session's hold into a task that is free, if there is one."""
    session = work.session
    sight = look(work, now, come_since)
    _give_up(session, sight, now)
    if not sight.free or len(outstanding(work)) >= work.concurrency:
        return sight, None
    # Workers of one plan begin at different places, so that they do not all want the same task.
    is_alone = not session._core.merges
    name = sight.free[0 if is_alone else int(session.id[:8], 16) % len(sight.free)]
    begun(session, name, (), now, died=name in sight.died)
    work.handed.add(name)
    return sight, name


def _give_up(session: SessionBase[Any], sight: Sight, now: datetime) -> None:
    """Record as failed what nobody is to begin again."""
    for name in sight.used_up:
        tasks = tasks_of(session)
        record = tasks[name]
        if record["status"] == status.RUNNING:
            record["holder"] = None
            record.update(status=status.FAILED, ended=now, error=dict(INTERRUPTED))
            if name in sight.died:
                record["died"] = record.get("died", 0) + 1


def _renew(work: Work, now: datetime) -> None:
    for name in outstanding(work):
        renewed(tasks_of(work.session)[name], now)


def _let_go(work: Work) -> Acts[None]:
    """Put back what was given out and not entered, where only one is worked on at a time."""
    if work.concurrency > 1:
        return
    left = [name for name in outstanding(work) if name not in work.session._tasks]
    if left:
        yield Edit(partial(_put_back, work.session, left))
        yield from saved()


def _put_back(session: SessionBase[Any], names: list[str]) -> None:
    tasks = tasks_of(session)
    for name in names:
        tasks[name]["status"] = status.PENDING
        tasks[name]["holder"] = None
