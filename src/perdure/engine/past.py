"""The past of a branch: all of its records that are kept, through whatever was pruned between them.

Pruning leaves runs of checkpoints: the topmost is the branch, and each of those below it is kept
in the receipt as if it were a branch of its own. See `docs/design/0017-retention.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure import limits
from perdure.core.head import Branch, Head
from perdure.core.receipt import islands_below
from perdure.core.record import Record
from perdure.engine.journal import left_tips, read_journal, read_receipt
from perdure.engine.parked import all_branches
from perdure.engine.read import (
    Site,
    spans,
)
from perdure.engine.requests import ReadRecords, RecordRow, Run, Steps
from perdure.engine.unfit import missing, unlinked
from perdure.engine.view import when
from perdure.errors import CheckpointPruned


def runs_kept(site: Site, head: Head, tip: Branch) -> Steps[list[Branch]]:
    """A branch, and the runs below it that pruning kept, newest first."""
    if tip.cut is None:
        return [tip]
    return [tip, *islands_below((yield from read_receipt(site, head)), tip)]


def every_run(site: Site, head: Head) -> Steps[list[tuple[str, Branch]]]:
    """All that there is of a state's history: what branches have, then what they left.

    Each run stands by itself, with the name of the branch that it is or was of. One that several
    share is told once, as the branch itself rather than as what pruning kept below another.
    """
    branches = [*(yield from all_branches(site, head)).items()]
    left = yield from left_tips(site, head)
    receipt = yield from read_receipt(site, head)
    found: dict[tuple[int, bytes], tuple[str, Branch]] = {}
    for tips in (branches, left):
        below = [(name, each) for name, tip in tips for each in islands_below(receipt, tip)]
        for name, each in (*tips, *below):
            found.setdefault((each.line, each.record), (name, each))
    return list(found.values())


def holding(site: Site, head: Head, name: str, tip: Branch, number: int) -> Steps[Branch]:
    """The run of a branch that has a checkpoint.

    Raises:
        CheckpointPruned: it was removed; the message says when, and what is kept.
    """
    runs = yield from runs_kept(site, head, tip)
    for each in runs:
        if each.first <= number <= each.number:
            return each
    kept = ", ".join(_numbers(each) for each in reversed(runs))
    raise CheckpointPruned(
        f"checkpoint {number} of {site.key!r} was pruned{(yield from _pruned_when(site, head))}; "
        f"kept on {name!r}: {kept}"
    )


def _numbers(run: Branch) -> str:
    return f"{run.first}" if run.first == run.number else f"{run.first}–{run.number}"


def _pruned_when(site: Site, head: Head) -> Steps[str]:
    entries = yield from read_journal(site, head)
    last = [entry for entry in entries if entry.move.what == "prune"][-1:]
    return "".join(f" (last on {when(entry.time_us):%Y-%m-%d})" for entry in last)


def take_back(
    site: Site, head: Head, branch: str, *, before: int | None = None, count: int | None = None
) -> Steps[list[Record]]:
    """Up to `count` records of a branch, newest first, from below `before` if given.

    Those from the newest on are checked against the head, each by the link of the one above it.
    """
    tip = head.branches[branch]
    records = yield from _run_back(site, head, tip, before, count)
    if tip.cut is None or len(records) == count:
        return records
    for island in (yield from runs_kept(site, head, tip))[1:]:
        left = count - len(records) if count is not None else None
        if left != 0:
            records += yield from _run_back(site, head, island, before, left)
    return records


def _run_back(
    site: Site, head: Head, tip: Branch, before: int | None, count: int | None
) -> Steps[list[Record]]:
    """The same of one run."""
    last = tip.number if before is None else min(before - 1, tip.number)
    until = 0 if count is None else max(last - count, 0)
    expected = tip.hash if last == tip.number else None
    records: list[Record] = []
    for run in reversed((yield from spans(site, head, tip, until + 1, last))):
        records += yield from _line_back(site, head, run, expected)
        expected = records[-1].parent
    return records


def _line_back(site: Site, head: Head, run: Run, expected: bytes | None) -> Steps[list[Record]]:
    """The records of one line, newest first; `expected` is the hash of the newest, if known."""
    last = run.last
    records: list[Record] = []
    while last >= run.first:
        rows: Sequence[RecordRow] = yield ReadRecords(
            head.incarnation, run.line, run.first, last, limits.read_bytes_max, newest_first=True
        )
        found = [
            record
            for row in rows
            for record in reversed(site.run(head.incarnation, [row], run.first, last))
        ]
        if not found:
            raise missing(site, run.line, last)
        for record in found:
            if record.number != last:
                raise missing(site, run.line, last)
            if expected is not None and record.hash != expected:
                raise unlinked(site, record)
            expected, last = record.parent, last - 1
        records += found
    return records
