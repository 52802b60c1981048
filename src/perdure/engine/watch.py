"""What is new on a branch since a watcher last looked, for one life of a state.

A record is known by its line and number. What was given to a watcher holds, with each record, all
those before it in its lineage; so the lines are gone down from the newest record until one is met
that was given, and all above it is new. What the branch left between two looks is found by the
journal of its movements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Base, Branch, Head
from perdure.core.journal import JOURNAL_LINE, entry_of
from perdure.core.lineage import is_whole
from perdure.core.pieces import RECORD_BYTES, Meter
from perdure.core.record import Record
from perdure.engine.journal import left_of, read_receipt
from perdure.engine.parked import find_parked
from perdure.engine.read import (
    Site,
    check_links,
    read_line,
    spans,
)
from perdure.engine.requests import LET_GO, ReadRecords, RecordRow, Run, Steps, Tell
from perdure.engine.unfit import missing, newer_than_head, unlinked
from perdure.engine.view import checkpoint_of
from perdure.errors import Damaged, KeyMissing, Malformed, NewerFormat, ReplayMismatch
from perdure.types import Checkpoint

UNREADABLE = (Damaged, Malformed, NewerFormat, ReplayMismatch, KeyMissing)
"""What is wrong with bytes that are there: looking again does not help."""


class Given(msgspec.Struct, frozen=True):
    """What of one life of a state, on one branch, a watcher was given."""

    lines: dict[int, int] = {}
    """Of each line the highest number. The branch comes back to what it left, so those stay, but
    for the lowest where they are more than `limits.watch_lines_max`."""
    floor: int = -1
    """The highest of the lines that are not kept any more: those up to it count as given."""
    journal: int = 0
    """Number of the newest movement that was seen to."""

    def upto(self, run: Run) -> int:
        """The highest number of a run's line that was given; that of its end, where all were."""
        return self.lines.get(run.line, run.last if run.line <= self.floor else 0)

    def after(self, line: int, number: int) -> Given:
        """The same with one more record."""
        lines, floor = {**self.lines, line: number}, self.floor
        while len(lines) > limits.watch_lines_max:
            lowest = min(each for each in lines if each != line)
            del lines[lowest]
            floor = max(floor, lowest)
        return Given(lines, floor, self.journal)


Piece: TypeAlias = list[tuple[Checkpoint, Given]]
"""Checkpoints in their order, each with what was given when it was."""


def all_given(site: Site, head: Head, tip: Branch | None) -> Steps[Given]:
    """What was given to who has all of a branch as it is now; of None there is nothing yet.

    Raises:
        Damaged: a record is missing that tells what a line is based on.
    """
    journal = head.journal.number if head.journal is not None else 0
    if tip is None:
        return Given(journal=journal)
    if is_whole(tip):
        bases = (Base(tip.line, tip.number), *tip.bases)
        return Given({base.line: base.number for base in bases}, journal=journal)
    # Lower lines, of which other branches may have more, must not count as given.
    runs = yield from spans(site, head, tip, 1, tip.number, limits.watch_lines_max)
    floor = runs[0].line - 1 if len(runs) == limits.watch_lines_max else -1
    return Given({run.line: run.last for run in runs}, floor, journal)


def tip_of(site: Site, head: Head, branch: str) -> Steps[Branch | None]:
    """Where a branch stands; None: there is no such branch."""
    tip = head.branches.get(branch)
    if tip is None and head.parked is not None:
        tip = yield from find_parked(site, head, branch)
    return tip


def news(site: Site, head: Head, branch: str, given: Given) -> Steps[tuple[Piece, Given]]:
    """The next checkpoints of a branch that were not given, oldest first, with their changes.

    They are some, not all: the caller asks again until there are none. Without any, what there is
    to remember is in the second part of the answer.

    Raises:
        Damaged: the next one is missing, or is not what was saved.
        NewerFormat: it holds a change that this version does not know.
    """
    piece, given = yield from _left(site, head, branch, given)
    if piece:
        return piece, given
    tip = yield from tip_of(site, head, branch)
    return (yield from _piece(site, head, branch, tip, given)) if tip else [], given


def _left(site: Site, head: Head, branch: str, given: Given) -> Steps[tuple[Piece, Given]]:
    """The same of what a branch left by movements that were not seen to yet."""
    newest = head.journal.number if head.journal is not None else 0
    while given.journal < newest:
        first = given.journal + 1
        run = Run(JOURNAL_LINE, first, min(newest, given.journal + limits.watch_moves_max))
        records: Sequence[Record] = yield from read_line(site, head, run)
        receipt = yield from read_receipt(site, head)
        for entry in map(entry_of, records):
            before = left_of(head, entry, receipt) if entry.move.branch == branch else None
            if before is not None:
                piece = yield from _piece(site, head, branch, before, given)
                if piece:
                    return piece, given
            given = replace(given, journal=entry.number)
    return [], given


def _piece(site: Site, head: Head, branch: str, tip: Branch, given: Given) -> Steps[Piece]:
    run = yield from _next_run(site, head, tip, given)
    if run is None:
        return []
    yield from _tell_of_pruned(site, tip, run, given)
    rows: Sequence[RecordRow] = yield ReadRecords(
        head.incarnation, run.line, run.first, run.last, limits.watch_bytes_max
    )
    piece: Piece = []
    meter, last = Meter(), None
    try:
        for record in site.each(head.incarnation, rows, run.first, run.last):
            _check(site, tip, run, last, record)
            checkpoint = checkpoint_of(site.key, branch, record, changes=True)
            last, given = record, given.after(record.line, record.number)
            piece.append((checkpoint, given))
            if meter.is_full(RECORD_BYTES + len(record.canonical)):
                yield LET_GO
        if not piece:
            raise missing(site, run.line, run.first)
    except UNREADABLE:
        if not piece:  # what comes before a damaged one is given first
            raise
    return piece


def _tell_of_pruned(site: Site, tip: Branch, run: Run, given: Given) -> Steps[None]:
    """Warn where some checkpoints were pruned before the watcher came to them."""
    seen = given.lines.get(run.line)
    if seen is not None and tip.cut is not None and run.first == tip.first > seen + 1:
        yield Tell(
            f"checkpoints {seen + 1} to {tip.cut.number} of {site.key!r} were pruned, all or most "
            f"of them, before this watcher was given them; it goes on with {tip.first}"
        )


def _check(site: Site, tip: Branch, run: Run, last: Record | None, record: Record) -> None:
    """That a record is the next of a run, and the head's newest where it is that."""
    if last is not None:
        check_links(site, (last, record))
    elif record.number != run.first:
        raise missing(site, run.line, run.first)
    is_newest = record.line == tip.line and record.number == tip.number
    if is_newest and record.hash != tip.hash:
        raise unlinked(site, record)


def _next_run(site: Site, head: Head, tip: Branch, given: Given) -> Steps[Run | None]:
    """The oldest records of a branch that were not given, as far as one line goes."""
    if given.lines.get(tip.line, 0) > tip.number:
        raise newer_than_head(site, tip.line, given.lines[tip.line])
    # What the head tells is enough, but for who lags far behind on a branch that moved often.
    first = 1 if is_whole(tip) else tip.bases[-1].number + 1
    runs = yield from spans(site, head, tip, first, tip.number)
    found, is_met = _above(runs, given)
    if not is_met and first > 1:
        runs = yield from spans(site, head, tip, 1, tip.number)
        found, _ = _above(runs, given)
    return found


def _above(runs: Sequence[Run], given: Given) -> tuple[Run | None, bool]:
    """The lowest run above what was given; whether anything given was met below it."""
    found: Run | None = None
    for run in reversed(runs):
        upto = given.upto(run)
        if upto >= run.first:
            new = Run(run.line, upto + 1, run.last)
            return (new if upto < run.last else found), True
        found = run
    return found, False
