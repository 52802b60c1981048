"""Tasks that wait, and whether what they wait for has come: an answer, a time, or an outcome."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from perdure.agent import status
from perdure.agent.acts import Acts, Ask
from perdure.agent.plan import tasks_in
from perdure.agent.records import QUESTIONS, field, read
from perdure.core.claims import elsewhere_key, is_open
from perdure.core.head import Head
from perdure.engine import claimed, questions
from perdure.engine.elsewhere import site_of
from perdure.engine.read import Site, read_head
from perdure.engine.requests import ReadHead, Steps

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


def come(session: SessionBase[Any], now: datetime) -> Acts[frozenset[str]]:
    """Names of the tasks that waited for what has come since, whoever brought it."""
    tasks = tasks_in(session)
    asked = (yield from read(session, QUESTIONS)) if _waiting(tasks) else {}
    return (yield from come_of(session, tasks, asked, now))


def come_of(
    session: SessionBase[Any], tasks: dict[str, Any], asked: dict[str, Any], now: datetime
) -> Acts[frozenset[str]]:
    """The same of tasks and questions that were read."""
    waiting = _waiting(tasks)
    if not waiting or session._core.position is None:
        return frozenset()
    found: set[str] = yield Ask(_come(session._core.site, waiting, asked, now))
    return frozenset(found)


def answers(session: SessionBase[Any], asked: dict[str, Any]) -> Acts[dict[str, questions.Answer]]:
    """Answers that have come, and that the agent has not asked for since, by their questions."""
    hashes = {
        id_: field(record, questions.HASH)
        for id_, record in dict.items(asked)
        if field(record, "answered") is None and field(record, questions.HASH) is not None
    }
    if not hashes or session._core.position is None:
        return {}
    found: dict[str, questions.Answer] = yield Ask(questions.answers_of(session._core.site, hashes))
    return found


def _waiting(tasks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: record
        for name, record in dict.items(tasks)
        if field(record, "status") == status.WAITING
    }


def _come(
    site: Site, waiting: dict[str, Any], asked: dict[str, Any], now: datetime
) -> Steps[set[str]]:
    head = yield from read_head(site)
    found: set[str] = set()
    for name, record in waiting.items():
        effect, id_ = field(record, "effect"), field(record, "waits")
        if effect is not None:
            has_come = yield from _is_known(site, head, effect, field(record, "claims"))
        else:
            question = field(asked, id_) if id_ is not None else None
            has_come = question is not None and (
                _is_due(question, now) or (yield from questions.is_over(site, head, id_, question))
            )
        if has_come:
            found.add(name)
    return found


def _is_known(site: Site, head: Head, effect: str, shared: str | None) -> Steps[bool]:
    """Whether an effect has an outcome, or was released; of a shared one, here or there."""
    name = effect if shared is None else elsewhere_key(shared, effect)
    claim = yield from claimed.find(site, head, name)
    if claim is None or not is_open(claim):
        return True
    if shared is None:
        return False
    there = site_of(site, shared)
    row = yield ReadHead(shared)
    claim = (yield from claimed.find(there, there.head(row), effect)) if row is not None else None
    return claim is None or not is_open(claim)


def _is_due(question: Any, now: datetime) -> bool:
    """Whether a timer ran out; or a question, of which the agent has to be told."""
    due = field(question, "until") or field(question, "expires")
    return due is not None and bool(due <= now)
