"""Waiting for a person, or for a time: durably, and without a process that waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perdure.agent.acts import Acts, Ask, Clock, Save
from perdure.agent.records import QUESTIONS, edit, lasting, read, worded
from perdure.core.values import take
from perdure.engine.questions import HASH, WHERE, answer_of, hash_of
from perdure.engine.view import when
from perdure.errors import QuestionExpired, UsageError, Waiting
from perdure.state.node import plain

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


def ask(
    session: SessionBase[Any], id_: str, payload: Any, expires_in: timedelta | None
) -> Acts[Any]:
    """See `Session.ask`."""
    worded(id_, "question's id")
    lasting(expires_in, "expires_in")
    asked = take(payload, ("payload",))
    hash_ = hash_of(asked)
    questions = yield from edit(session, QUESTIONS)
    record = questions.get(id_)
    if record is not None and "until" in record:
        raise UsageError(f"{id_!r} is the id of a timer: give the question another")
    if record is not None and WHERE in record:
        raise UsageError(f"{id_!r} is to be answered in {record[WHERE]}: give this one another id")
    if record is None or record.get(HASH) != hash_:
        now = yield Clock()
        expires = {"expires": now + expires_in} if expires_in is not None else {}
        questions[id_] = {"payload": asked, HASH: hash_, "asked": now, **expires}
        record = questions[id_]
        yield Save()
    if "answered" in record:
        return plain(record["answer"])
    given = yield Ask(answer_of(session._core.site, id_, hash_))
    if given is not None:
        value, by, at_us = given
        with session._document.block():
            record["answer"], record["by"], record["answered"] = value, by, when(at_us)
        return plain(record["answer"])
    expires = record.get("expires")
    if expires is not None and expires <= (yield Clock()):
        raise QuestionExpired(
            f"{session.key!r}: nobody answered {id_!r} until {expires:%Y-%m-%d %H:%M:%SZ}: decide "
            "without, or ask under another id"
        )
    if session._core.unsaved or session._document.has_edits():
        yield Save()
    raise _waiting(session, id_, f"{id_!r} waits for an answer")


def note_question(session: SessionBase[Any], id_: str, payload: Any, where: str) -> Acts[None]:
    """See `Session.note_question`."""
    worded(id_, "question's id")
    worded(where, "place where a question is answered")
    record = {"payload": take(payload, ("payload",)), "asked": (yield Clock()), WHERE: where}
    questions = yield from edit(session, QUESTIONS)
    there = questions.get(id_)
    if there is None or WHERE in there:
        if there is None or hash_of(_noted(there)) != hash_of(_noted(record)):
            questions[id_] = record
        return
    raise UsageError(f"{id_!r} is the id of what this agent waits for: give this one another")


def _noted(record: Any) -> tuple[Any, str]:
    return plain(record["payload"]), record[WHERE]


def drop_question(session: SessionBase[Any], id_: str) -> Acts[bool]:
    """See `Session.drop_question`."""
    questions = yield from read(session, QUESTIONS)
    if id_ not in questions:
        return False
    if WHERE not in questions[id_]:
        raise UsageError(f"{id_!r} is what this agent waits for itself, and stays in its record")
    del questions[id_]
    return True


def sleep_until(session: SessionBase[Any], id_: str, until: datetime | timedelta) -> Acts[None]:
    """See `Session.sleep_until`."""
    worded(id_, "timer's id")
    now = yield Clock()
    questions = yield from edit(session, QUESTIONS)
    record = questions.get(id_)
    if record is None:
        due = now + until if isinstance(until, timedelta) else until.astimezone(UTC)
        questions[id_] = record = {"until": due, "asked": now}
        yield Save()
        record = questions[id_]
    elif "until" not in record:
        raise UsageError(f"{id_!r} is the id of a question: give the timer another")
    if record["until"] > now:
        raise _waiting(session, id_, f"{id_!r} waits until {record['until']:%Y-%m-%d %H:%M:%SZ}")
    if "answered" not in record:
        record["answered"] = now


def _waiting(session: SessionBase[Any], id_: str, what: str) -> Waiting:
    error = Waiting(f"{session.key!r}: {what}; open the state again then")
    error.id = id_
    return error
