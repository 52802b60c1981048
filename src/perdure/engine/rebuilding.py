"""A head for a state that lost it, from its records alone: its branches, as far as they link.

What only the head had is gone: claims, snapshots, how sessions ended, when it expires. See
`docs/design/0024-damage.md`.
"""

from __future__ import annotations

from msgspec.structs import replace

from perdure.core import chain
from perdure.core.head import MAIN, Branch, Head, Journal
from perdure.core.journal import FINAL, JOURNAL_LINE, Entry, entry_of
from perdure.core.record import Record
from perdure.engine.last_good import HURT
from perdure.engine.read import MAX_NUMBER, Site
from perdure.engine.requests import ReadRecords, Run, Steps

TOKEN = bytes(16)
"""Of a head that nobody has read yet."""


def rebuilt(site: Site, incarnation: bytes, lines: set[int]) -> Steps[Head | None]:
    """The head of a life, as its records tell it; None: they do not begin anywhere.

    `lines` are those of which there are records.
    """
    blank = Head(incarnation, 0, 0, TOKEN)
    journal = yield from _linked(site, blank, JOURNAL_LINE, chain.ORIGIN)
    entries, branches = _entries(journal), dict[str, Branch]()
    for name, standing in _standing(entries).items():
        tip = yield from _advanced(site, blank, standing)
        if tip is not None:
            branches[name] = tip
    if MAIN not in branches:
        return None
    first = yield from _linked(site, blank, branches[MAIN].line, None, most=1)
    times = [tip.time_us for tip in branches.values()]
    return replace(
        blank,
        created_us=first[0].time_us if first else min(times),
        updated_us=max(times),
        branches=branches,
        lines=max({0, *lines} - {JOURNAL_LINE}) + 1,
        journal=_journal(journal, entries),
    )


def _entries(records: list[Record]) -> list[Entry]:
    found: list[Entry] = []
    for record in records:
        try:
            found.append(entry_of(record))
        except HURT:
            break
    return found


def _journal(records: list[Record], entries: list[Entry]) -> Journal | None:
    """Where the journal stands: nothing before can be undone by `undo`, all is told."""
    if not entries:
        return None
    last = records[len(entries) - 1]
    pruned = [entry.number for entry in entries if entry.move.what == "prune"]
    return Journal(
        last.number, last.id, last.hash, last.time_us, receipt=pruned[-1] if pruned else 0
    )


def _standing(entries: list[Entry]) -> dict[str, Branch]:
    """Where each branch stood when it was moved last; `main` begins on line 0."""
    standing = {MAIN: Branch(0, 0, bytes(16), chain.ORIGIN, 0)}
    for entry in entries:
        move = entry.move
        if move.what in FINAL:
            continue
        tip = standing.pop(move.branch, None) if move.name is not None else None
        if move.name is not None:
            standing[move.name] = tip or move.after or standing[MAIN]
        elif move.after is None:
            standing.pop(move.branch, None)
        else:
            standing[move.branch] = move.after
    return standing


def _advanced(site: Site, head: Head, tip: Branch) -> Steps[Branch | None]:
    """A branch with what was saved to it since it stood there; None: there is nothing of it."""
    first = tip.number + 1
    records = yield from _linked(site, head, tip.line, tip.hash, first=first)
    if not records:
        return tip if tip.number else None
    last = records[-1]
    return replace(tip, number=last.number, record=last.id, hash=last.hash, time_us=last.time_us)


def _linked(
    site: Site,
    head: Head,
    line: int,
    parent: bytes | None,
    *,
    first: int = 1,
    most: int = MAX_NUMBER,
) -> Steps[list[Record]]:
    """The records of a line from `first` on, as far as they link, `most` of them at most."""
    records: list[Record] = []
    number = first
    while len(records) < most:
        asked = ReadRecords(head.incarnation, line, number, MAX_NUMBER - 1, 2**24)
        rows, began = (yield asked), number
        try:
            run = Run(line, number, MAX_NUMBER - 1)
            for record in site.each(head.incarnation, rows, run.first, run.last):
                if record.number != number or parent not in (None, record.parent):
                    return records
                records.append(record)
                number, parent = number + 1, record.hash
        except HURT:
            return records
        if number == began:
            break
    return records
