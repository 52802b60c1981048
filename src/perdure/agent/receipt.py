"""The loss receipt: as what a state was resumed, how much of it is there, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from perdure import limits
from perdure.agent import status
from perdure.agent.acts import Acts, Ask
from perdure.agent.records import (
    CHILDREN,
    DECISIONS,
    FACTS,
    GOALS,
    QUESTIONS,
    TASKS,
    field,
)
from perdure.core.abbreviate import count
from perdure.core.head import Head
from perdure.core.journal import Entry
from perdure.engine.around import UNREADABLE
from perdure.engine.branches import common_number
from perdure.engine.journal import read_entry
from perdure.engine.questions import ANSWERS
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.engine.undone import undone_by
from perdure.engine.view import when
from perdure.errors import CheckpointPruned
from perdure.state.sections import RESERVED
from perdure.types import Resumed

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

SINGULAR = {"children": "child", "branches": "branch"}
"""What is not the plural without its last letter."""


class LossReceipt(msgspec.Struct, frozen=True):
    """What was resumed, how much of it is there, and what is missing: `Briefing.receipt`.

    Example:
        >>> receipt = session.briefing().receipt
        >>> receipt.number, receipt.counts["messages"], receipt.missing
        (1204, 310, ())
    """

    number: int
    """Of the checkpoint that was resumed."""
    time: datetime
    """When that was saved."""
    counts: dict[str, int]
    """How much is there, by kind: "checkpoints", "sections" (the agent's own), "messages" (of the
    conversation), "tasks", "steps" and "effects" (done), "questions", "goals", "decisions",
    "facts", "children" and "branches"."""
    missing: tuple[str, ...] = ()
    """What was acknowledged once and is not there, in words; empty: everything is there."""
    pruned: int = 0
    """Checkpoints whose history was pruned; what they came to is in the state."""

    def __str__(self) -> str:
        """The counts, in words; of branches only if there are several."""
        least = {"branches": 2}
        return ", ".join(
            _counted(number, kind)
            for kind, number in self.counts.items()
            if number >= least.get(kind, 1)
        )


def _counted(number: int, kind: str) -> str:
    return f"{number:,} {kind}" if number != 1 else count(1, SINGULAR.get(kind, kind[:-1]))


def receipt_of(
    session: SessionBase[Any], records: Mapping[str, Any], messages: int, unreadable: Iterable[str]
) -> Acts[LossReceipt | None]:
    """What there is of the state that a session resumed; None: it is new.

    Args:
        session: that resumed it.
        records: the sections of the agent's record, as far as they can be read.
        messages: how many the conversation has.
        unreadable: what cannot be read, in words.
    """
    resumed, position = session.resumed, session._core.position
    if resumed is None or position is None:
        return None
    head, tip = position.head, position.head.branches.get(session.branch)
    pruned = tip.first - 1 if tip is not None else 0
    missing = list(unreadable)
    if resumed.loss is not None:
        missing.append(f"what was saved after it was damaged: {resumed.loss.summary()}")
    elif head.journal is not None:
        missing += yield Ask(_left(session._core.site, head, session.branch, resumed))
    at = resumed.checkpoint
    there = {"checkpoints": at.number - pruned, **_counts(session, records, messages)}
    there["branches"] = len(head.branches)
    return LossReceipt(at.number, at.time, there, tuple(missing), pruned)


def _counts(session: SessionBase[Any], records: Mapping[str, Any], messages: int) -> dict[str, int]:
    steps, effects = _done(records[TASKS])
    return {
        "sections": sum(1 for name in session.raw if not name.startswith(RESERVED)),
        "messages": messages,
        "tasks": len(records[TASKS]),
        "steps": steps,
        "effects": effects,
        "questions": len(records[QUESTIONS]),
        "goals": len(records[GOALS]),
        "decisions": len(records[DECISIONS]),
        "facts": len(records[FACTS]),
        "children": len(records[CHILDREN]),
    }


def _done(tasks: Any) -> tuple[int, int]:
    """How many steps of tasks are done, and how many of these are effects that were performed."""
    steps = effects = 0
    for task in dict.values(tasks):
        for step in dict.values(field(task, "steps", {})):
            if field(step, "status") == status.DONE:
                is_effect = field(step, "effect") is not None and not field(step, "stood_in")
                effects += is_effect
                steps += not is_effect
    return steps, effects


# ---- what a branch was moved away from ------------------------------------------------------


def _left(site: Site, head: Head, branch: str, resumed: Resumed) -> Steps[list[str]]:
    """What the branch had before somebody moved it to where the session resumed it."""
    try:
        entry = yield from _movement(site, head, branch, bytes.fromhex(resumed.checkpoint.id))
        return [] if entry is None else (yield from _told(site, head, entry))
    except CheckpointPruned:  # somebody meant them to be gone
        return []
    except UNREADABLE as error:
        return [f"whether {branch} was moved cannot be told: {error.kind}: {error}"]


def _movement(site: Site, head: Head, branch: str, record: bytes) -> Steps[Entry | None]:
    """The movement that brought a branch to the checkpoint that was resumed; None: none did."""
    assert head.journal is not None
    newest = head.journal.number
    for number in range(newest, max(newest - limits.receipt_movements_max, 0), -1):
        entry: Entry = yield from read_entry(site, head, number)
        before, after = entry.move.before, entry.move.after
        if entry.move.branch == branch and before is not None and after is not None:
            return entry if after.record == record != before.record else None
    return None


def _told(site: Site, head: Head, entry: Entry) -> Steps[list[str]]:
    assert head.journal is not None
    move = entry.move
    before, after = move.before, move.after
    assert before is not None
    assert after is not None
    left = before.number - (yield from common_number(site, head, before, after))
    if left <= 0:
        return []
    text = (
        f"{count(left, 'checkpoint')} up to {before.number:,} of {_told_time(before.time_us)}: "
        f"{move.branch} was moved to {after.number:,} on {_told_time(entry.time_us)} ({move.what})"
    )
    if head.journal.undo == entry.number:
        text += f"; `perdure undo {site.key}` brings them back"
    claims = yield from undone_by(site, head, before, after)
    undone = [key for key in claims if not key.startswith(ANSWERS)]
    if undone:
        text += f". Effects claimed in them are not undone: {', '.join(undone)}"
    return [text]


def _told_time(time_us: int) -> str:
    return f"{when(time_us):%Y-%m-%d %H:%M:%SZ}"
