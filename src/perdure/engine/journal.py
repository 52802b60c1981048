"""Reading the journal: what was done to branches, and the lines that they left."""

from __future__ import annotations

from perdure.core import chain
from perdure.core.head import Branch, Head
from perdure.core.journal import JOURNAL_LINE, Entry, entry_of
from perdure.core.receipt import Receipt, kept_of
from perdure.core.record import Record
from perdure.core.seal import damaged
from perdure.engine.read import Site, check_links, read_line
from perdure.engine.requests import Run, Steps


def read_entry(site: Site, head: Head, number: int) -> Steps[Entry]:
    """One movement, by its number."""
    (record,) = yield from read_line(site, head, Run(JOURNAL_LINE, number, number))
    return entry_of(record)


def read_journal(site: Site, head: Head) -> Steps[list[Entry]]:
    """Every movement, oldest first, verified against the head (P5).

    Raises:
        Damaged: one is missing, or was changed.
    """
    if head.journal is None:
        return []
    records: list[Record] = yield from read_line(
        site, head, Run(JOURNAL_LINE, 1, head.journal.number)
    )
    check_links(site, records)
    if records[0].parent != chain.ORIGIN or records[-1].hash != head.journal.hash:
        place = f"the journal of movements of {site.key!r}"
        raise damaged(site.store, f"{place} is not the one that its head names", "replaced", place)
    return [entry_of(record) for record in records]


def read_receipt(site: Site, head: Head) -> Steps[Receipt]:
    """What the newest pruning kept below the cuts; of a state that was never pruned nothing."""
    if head.journal is None or not head.journal.receipt:
        return Receipt()
    entry = yield from read_entry(site, head, head.journal.receipt)
    return entry.move.receipt or Receipt()


def left_tips(site: Site, head: Head) -> Steps[list[tuple[str, Branch]]]:
    """Where branches stood when their names moved away or were deleted, newest first.

    What was pruned of it since is not told.
    """
    entries = yield from read_journal(site, head)
    receipt = yield from read_receipt(site, head)
    tips: list[tuple[str, Branch]] = []
    for entry in reversed(entries):
        left = left_of(head, entry, receipt)
        if left is not None:
            tips.append((entry.move.branch, left))
    return tips


def left_of(head: Head, entry: Entry, receipt: Receipt) -> Branch | None:
    """Where a branch stood before a movement, as far as that was not pruned.

    None: it was, or there was no such branch.
    """
    pruned = head.journal.receipt if head.journal is not None else 0
    return entry.move.before if entry.number > pruned else kept_of(receipt, entry.number)
