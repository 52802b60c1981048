"""What a thread waits for at an interrupt, as questions that the briefing of its state tells.

They are those of the newest checkpoint: what a task asked is answered by a resume, and by whatever
the task writes next. A checkpoint that follows has none until its own tasks ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.types import INTERRUPT, RESUME

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.writes import ASKS, Entry, interrupts_in

if TYPE_CHECKING:
    from perdure.session import Session

WHERE = "its LangGraph thread"
"""Where these questions are answered."""

QUESTIONS = "perdure.questions"
"""The section that questions are in."""

NO_TASK = "00000000-0000-0000-0000-000000000000"
"""What LangGraph names as the task where a person resumes all of a run."""


def payloads_in(coder: Coder, writes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What is asked by interrupts among writes, by the questions' ids.

    Args:
        coder: how values are kept; if nobody else is to read them, it is not told what is asked.
        writes: pairs of a channel and a value.
    """
    return {
        id_: coder.encode(payload) if coder.is_open else None
        for channel, value in writes
        if channel == INTERRUPT
        for id_, payload in interrupts_in(value)
    }


def settle(
    session: Session,
    pending: Iterable[Entry],
    entries: Sequence[Entry],
    payloads: Mapping[str, Any],
) -> None:
    """Take in what tasks of the newest checkpoint wrote; saved with the next save.

    Args:
        session: on its branch.
        pending: what was written before.
        entries: what is written now.
        payloads: what these ask.
    """
    tasks = {each["task"] for each in entries}
    asked = [each for each in pending if each["task"] in tasks]
    _drop(session, [id_ for each in asked for id_ in each.get(ASKS, ())])
    done = {each["task"] for each in entries if each["idx"] >= 0}
    for each in entries:
        for id_ in each.get(ASKS, ()) if each["task"] not in done else ():
            session.note_question(id_, payloads.get(id_), where=WHERE)
    if any((each["task"], each["channel"]) == (NO_TASK, RESUME) for each in entries):
        _drop(session, open_in(session.state))


def renew(session: Session, entries: Sequence[Entry], payloads: Mapping[str, Any]) -> None:
    """Begin with a checkpoint: what others asked is over, and what its own tasks did is not."""
    _drop(session, open_in(session.state))
    if entries:
        settle(session, (), entries, payloads)


def repeat(session: Session, sections: Mapping[str, Any]) -> None:
    """Ask what is asked in the sections of another state, and nothing else."""
    wanted = open_in(sections)
    _drop(session, [id_ for id_ in open_in(session.state) if id_ not in wanted])
    for id_, record in wanted.items():
        session.note_question(id_, record.get("payload"), where=WHERE)


def open_in(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The questions that a thread waits with, by id."""
    if QUESTIONS not in sections:  # as it is of most; asking a state in vain takes longer
        return {}
    records = sections[QUESTIONS]
    return {id_: each for id_, each in records.items() if each.get("where") == WHERE}


def _drop(session: Session, ids: Iterable[str]) -> None:
    for id_ in list(ids):
        session.drop_question(id_)
