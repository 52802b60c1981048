"""Sweeping: the rows of records that nothing needs since a pruning are removed.

What is needed is told by the head and the newest receipt. A row that holds some of both gives way
to rows of what is needed: else one label would keep a whole pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Head
from perdure.core.journal import JOURNAL_LINE
from perdure.core.pack import seal_pack
from perdure.core.record import Record, seal_again
from perdure.engine.generations import commit_step
from perdure.engine.packing import RowSize, sizes_of
from perdure.engine.parked import all_branches
from perdure.engine.past import every_run
from perdure.engine.read import MAX_NUMBER, Site, check_links, joined, read_line, spans
from perdure.engine.requests import Held, ListHeld, RecordRow, Run, Steps


class _Batch(msgspec.Struct):
    """What one commit removes, and puts in its place."""

    removed: list[Run] = []
    rows: list[RecordRow] = []
    count: int = 0
    bytes: int = 0

    def take(self, row: RowSize, line: int, instead: Iterable[RecordRow]) -> None:
        """One more row that goes."""
        run = Run(line, row.number - row.count + 1, row.number)
        below = self.removed[-1] if self.removed else None
        if below is not None and below.line == line and below.last + 1 == run.first:
            self.removed[-1] = Run(line, below.first, run.last)
        else:
            self.removed.append(run)
        self.rows += instead
        self.count += 1
        self.bytes += row.stored_bytes

    @property
    def is_full(self) -> bool:
        """Whether it is as much as one transaction may remove."""
        return self.bytes > limits.upkeep_bytes_max or self.count >= limits.piece_rows_max


def is_due(head: Head) -> bool:
    """Whether rows may be there that a pruning was to remove."""
    return head.journal is not None and head.journal.receipt > head.journal.swept


def sweep(site: Site, head: Head) -> Steps[bool]:
    """Remove what no checkpoint that is kept needs; False: others came between, ask again.

    Raises:
        Damaged: a row that holds what is needed, and what is not, cannot be read.
    """
    if not is_due(head):
        return True
    needed = yield from _needed(site, head)
    now = head
    held: tuple[Held, ...] = yield ListHeld(head.incarnation, 1)
    for each in held:
        line = each.line
        if each.incarnation != head.incarnation or line is None or line == JOURNAL_LINE:
            continue
        if line >= head.lines:  # made since the head was read
            continue
        after = yield from _swept(site, now, line, needed.get(line, []))
        if after is None:
            return False
        now = after
    return (yield from commit_step(site, now, _all_swept)) is not None


def _all_swept(head: Head) -> Head:
    assert head.journal is not None
    return replace(head, journal=replace(head.journal, swept=head.journal.receipt))


def freed_by(head: Head, removed: Sequence[Run]) -> Steps[int]:
    """What these records take in the store, about (bytes)."""
    total = 0.0
    for run in removed:
        first = run.first
        while first <= run.last:
            asked = Run(run.line, first, run.last)
            rows = yield from sizes_of(head, asked, limits.upkeep_rows_max)
            for row in rows:
                share = min(row.number, run.last) - max(row.number - row.count, run.first - 1)
                total += row.stored_bytes * share / row.count
            if len(rows) < limits.upkeep_rows_max:
                break
            first = rows[-1].number + 1
    return round(total)


def _needed(site: Site, head: Head) -> Steps[dict[int, list[Run]]]:
    """The records that are needed, by line; of a line that is saved to, all that come too."""
    every = yield from all_branches(site, head)  # what is parked may be saved to as well
    runs = [Run(tip.line, tip.number, MAX_NUMBER) for tip in every.values()]
    for _, tip in (yield from every_run(site, head)):
        runs += yield from spans(site, head, tip, tip.first, tip.number)
    needed: dict[int, list[Run]] = {}
    for run in joined(runs):
        needed.setdefault(run.line, []).append(run)
    return needed


def _swept(site: Site, head: Head, line: int, needed: Sequence[Run]) -> Steps[Head | None]:
    """Remove the rows of one line that are not needed; the head then, or None."""
    now, first = head, 1
    while True:
        rows = yield from sizes_of(head, Run(line, first, MAX_NUMBER), limits.piece_rows_max)
        batch = _Batch()
        for row in rows:
            inside = _within(row, needed)
            if sum(run.last - run.first + 1 for run in inside) < row.count:
                batch.take(row, line, (yield from _rewritten(site, head, line, inside)))
            if batch.removed and (batch.is_full or row is rows[-1]):
                after = yield from _committed(site, now, batch)
                if after is None:
                    return None
                now, batch = after, _Batch()
        if len(rows) < limits.piece_rows_max:
            return now
        first = rows[-1].number + 1


def _committed(site: Site, head: Head, batch: _Batch) -> Steps[Head | None]:
    rows, removed = tuple(batch.rows), tuple(batch.removed)
    return (yield from commit_step(site, head, lambda each: each, records=rows, removed=removed))


def _within(row: RowSize, needed: Sequence[Run]) -> list[Run]:
    """What of a row is needed."""
    first, last = row.number - row.count + 1, row.number
    return [
        Run(run.line, max(run.first, first), min(run.last, last))
        for run in needed
        if run.first <= last and run.last >= first
    ]


def _rewritten(site: Site, head: Head, line: int, runs: Sequence[Run]) -> Steps[list[RecordRow]]:
    """The rows of what is needed of one that goes."""
    if not runs:
        return []
    there = yield from read_line(site, head, Run(line, runs[0].first, runs[-1].last))
    check_links(site, there)
    parts = [(run.first - there[0].number, run.last - there[0].number + 1) for run in runs]
    return [_row(site, head, line, there[first:end]) for first, end in parts]


def _row(site: Site, head: Head, line: int, records: Sequence[Record]) -> RecordRow:
    """Some records as one row, as they are."""
    store, incarnation, parent = site.store, head.incarnation, records[0].parent
    if len(records) == 1:
        sealed = seal_again(records[0], store=store, incarnation=incarnation, parent=parent)
    else:
        sealed = seal_pack(records, store=store, incarnation=incarnation, parent=parent)
    return RecordRow(line, sealed.number, sealed.blob, len(records))
