"""Falling back: the newest checkpoint of a branch that can be read whole, and the movement there.

Nothing is removed: what the branch leaves stays where it is, damaged as it is, and `undo` goes
back to it. See `docs/design/0024-damage.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from perdure import limits
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.journal import Entry, Move
from perdure.core.record import Record
from perdure.core.seal import damaged
from perdure.engine.branches import placed, standing
from perdure.engine.journal import read_entry
from perdure.engine.load import sections_at
from perdure.engine.moving import NOBODY, Plan, Planned, move
from perdure.engine.parked import find_branch
from perdure.engine.read import Site, parent_of, read_line, replay, spans
from perdure.engine.refs import Point
from perdure.engine.requests import ReadRecords, Run, Steps, Tell
from perdure.engine.view import when
from perdure.errors import Damaged, Malformed, ReplayMismatch
from perdure.types import Loss

HURT = (Damaged, Malformed, ReplayMismatch)
"""What is wrong with bytes that this version knows; a newer format is no damage (P10)."""


def fall_back(site: Site, branch: str, problem: str, session: bytes | None) -> Steps[Loss | None]:
    """Move a branch to its newest checkpoint that can be read whole, and tell what that leaves.

    None: the newest of all can be read; nothing was moved.

    Raises:
        Damaged: none can; nothing was changed.
    """
    site = site.stored()
    done = yield from move(site, _falling(site, branch, problem), session=session or NOBODY)
    if done is None:
        return None
    loss = loss_in(done.entry)
    assert loss is not None
    yield Tell(f"{site.key!r} was damaged, and went back: {loss.summary()}")
    return loss


def _falling(site: Site, branch: str, problem: str) -> Plan:
    def plan(head: Head) -> Steps[Planned | None]:
        old = yield from find_branch(site, head, branch)
        record = yield from newest_whole(site, head, old)
        if record is None:
            raise damaged(
                site.store,
                f"{problem}. No earlier checkpoint of {branch!r} can be read whole either: restore "
                "the store from a backup, or see what `perdure recover` finds",
                "missing",
                f"state {site.key!r}",
            )
        if record.number == old.number:
            return None
        new = yield from standing(site, head, Point(branch, old, record.number))
        return placed(head, Move("rollback", branch, old, new, damage=problem))

    return plan


def newest_whole(site: Site, head: Head, tip: Branch) -> Steps[Record | None]:
    """The newest record of a branch at which all of the state can be read; None: there is none."""
    begins: list[Snapshot | None] = [*(tip.snapshots or ())]
    if tip.cut is None:
        begins.append(None)
    for begin in begins:
        at, records = yield from _linked_from(site, head, tip, begin)
        number = yield from _whole_until(site, head, begin, records)
        if number is None:
            continue
        found = [record for record in (at, *records) if record and record.number == number]
        if found:
            return found[0]
    return None


def _linked_from(
    site: Site, head: Head, tip: Branch, begin: Snapshot | None
) -> Steps[tuple[Record | None, list[Record]]]:
    """The record of a snapshot, if it can be read, and those after it as far as they link."""
    after = begin.number if begin is not None else tip.first - 1
    at: Record | None = None
    try:
        runs = yield from spans(site, head, tip, max(after, tip.first), tip.number)
        if after >= tip.first:
            (at,) = yield from read_line(site, head, Run(runs[0].line, after, after))
    except HURT:
        if after < tip.first:
            return None, []
    parent = at.hash if at is not None else (parent_of(tip) if after < tip.first else None)
    records: list[Record] = []
    for run in (yield from _spans_of_rest(site, head, tip, after)):
        found, is_refuted = yield from _as_far_as_linked(site, head, run, parent)
        records += found
        if is_refuted:  # the next one follows another than this
            at = at if records else None
            del records[-1:]
        if is_refuted or len(found) < run.last - run.first + 1:
            break
        parent = records[-1].hash
    if records and records[-1].number == tip.number and records[-1].hash != tip.hash:
        records.pop()  # it is not the one that the head names
    return at, records


def _spans_of_rest(site: Site, head: Head, tip: Branch, after: int) -> Steps[list[Run]]:
    try:
        return (yield from spans(site, head, tip, after + 1, tip.number))
    except HURT:
        return []


def _as_far_as_linked(
    site: Site, head: Head, run: Run, parent: bytes | None
) -> Steps[tuple[list[Record], bool]]:
    """The records of a run up to the first that cannot be read, or that does not follow.

    And whether it does not: then the last of these was replaced, or it was.
    """
    records: list[Record] = []
    number = run.first
    while number <= run.last:
        asked = ReadRecords(head.incarnation, run.line, number, run.last, limits.read_bytes_max)
        rows, began = (yield asked), number
        try:
            for record in site.each(head.incarnation, rows, number, run.last):
                if record.number != number:
                    return records, False
                if parent not in (None, record.parent):
                    return records, True
                records.append(record)
                number, parent = number + 1, record.hash
        except HURT:
            return records, False
        if number == began:
            break
    return records, False


def _whole_until(
    site: Site, head: Head, begin: Snapshot | None, records: Sequence[Record]
) -> Steps[int | None]:
    """Number of the newest of these at which everything can be read; None: not even the snapshot's.

    0: only the empty state before the first record can be.
    """
    try:
        sections = yield from sections_at(site, head, begin)
    except HURT:
        return None
    number = begin.number if begin is not None else 0
    for record in records:
        try:
            sections = replay([record], sections)
        except HURT:
            break
        number = record.number
    return number


def loss_in(entry: Entry) -> Loss | None:
    """What a movement left that was damaged; None: it was an ordinary one."""
    move = entry.move
    if move.damage is UNSET or move.before is None or move.after is None:
        return None
    return Loss(
        branch=move.branch,
        first=move.after.number + 1,
        last=move.before.number,
        after=when(move.after.time_us),
        until=when(move.before.time_us),
        problem=move.damage,
        movement=entry.number,
    )


def loss_before(site: Site, head: Head, branch: str) -> Steps[Loss | None]:
    """What the branch lost by damage, while nothing was saved to it since."""
    tip = head.branches[branch]
    if head.journal is None or not tip.bases or tip.bases[0].number != tip.number:
        return None
    newest = head.journal.number
    for number in range(newest, max(newest - limits.loss_looked_for_max, 0), -1):
        try:
            entry = yield from read_entry(site, head, number)
        except HURT:  # which `verify` tells, and keeps no state closed
            return None
        if entry.move.after is not None and entry.move.after.line == tip.line:
            return loss_in(entry)
    return None
