"""The newest state under a key as it is stored: its head and its tail, verified, in one round trip.

Who has read it before reads only what is new: where the head is unchanged, nothing else; where
others saved, their records. What was read before counts only as far as the head that is stored
proves it: the chain leads from its newest record to the first of the tail (P5).
"""

from __future__ import annotations

import msgspec

from perdure import limits
from perdure.core.head import MAIN, Branch, Head
from perdure.core.lineage import starts_at
from perdure.core.record import Record
from perdure.engine.parked import find_branch
from perdure.engine.read import (
    HEAD_GROWS,
    Site,
    check_run,
    read_run,
)
from perdure.engine.refs import as_branch
from perdure.engine.requests import (
    HeadRow,
    Known,
    PageRow,
    ReadHead,
    ReadState,
    StateAnswer,
    StateRows,
    Steps,
    Unchanged,
)
from perdure.engine.save import tail_of
from perdure.engine.unfit import newer_than_head
from perdure.errors import Damaged


class Latest(msgspec.Struct, frozen=True):
    """A state as of one moment, before anything is made of it. It is shared: never change it."""

    head: Head
    records: tuple[Record, ...] = ()
    """Those after the newest snapshot, in order; of a deleted state none."""
    pages: tuple[PageRow, ...] = ()
    """The root of that snapshot, where it had to be read."""
    tail_bytes: int = 0
    """What the rows of these records take in the store (bytes)."""


def read_latest(site: Site, branch: str = MAIN) -> Steps[Latest | None]:
    """The newest state, or None if there is no head.

    Raises:
        Damaged: what is stored is not what was saved.
    """
    seen: Latest | None = site.kept(_place(site, branch))
    if seen is not None:
        try:
            return (yield from _read(site, branch, seen))
        except Damaged:
            pass  # or what is stored has another past, as after a backup was put back: read all
    return (yield from _read(site, branch, None))


def _read(site: Site, branch: str, seen: Latest | None) -> Steps[Latest | None]:
    """Read what `seen` lacks."""
    if seen is None and branch != MAIN:  # the tail of `main` is of no use
        row: HeadRow | None = yield ReadHead(site.key)
        rows: StateAnswer = StateRows(row, ()) if row is not None else None
    else:
        rows = yield ReadState(site.key, _known(seen))
    if rows is None:
        return None
    if isinstance(rows, Unchanged):
        return seen
    head = site.head(rows.head)
    if head.deleted_us is not None:
        return Latest(head)
    tip = yield from find_branch(site, head, branch)
    latest = yield from _with_tail(site, as_branch(head, branch, tip), branch, rows, seen)
    site.keep(_place(site, branch), latest, _bytes_of(latest, len(rows.head.blob)))
    return msgspec.structs.replace(latest, pages=rows.pages if branch == MAIN else ())


def _with_tail(
    site: Site, head: Head, branch: str, rows: StateRows, seen: Latest | None
) -> Steps[Latest]:
    """The records of the tail: those that were seen, those on lines below, and those that came."""
    tip = head.branches[branch]
    after = tip.newest.number if tip.newest is not None else 0
    before = _still(seen, head, branch)
    stored = seen.tail_bytes if before and seen is not None else 0
    if branch != MAIN:
        new = yield from read_run(site, head, tip, after + len(before) + 1, tip.number)
        stored += sum(record.stored_bytes for record in new)
        return _checked(site, head, tip, (*before, *new), stored)
    if rows.records and rows.records[-1].number > tip.number:
        raise newer_than_head(site, tip.line, rows.records[-1].number)
    below = starts_at(tip) - 1
    first = after + len(before) + 1
    if first <= below:
        older = yield from read_run(site, head, tip, first, below)
        stored += sum(record.stored_bytes for record in older)
        before, first = (*before, *older), below + 1
    new = site.run(head.incarnation, rows.records, first, tip.number)
    stored += sum(len(row.blob) for row in rows.records)
    return _checked(site, head, tip, (*before, *new), stored)


def _checked(
    site: Site, head: Head, tip: Branch, records: tuple[Record, ...], stored: int
) -> Latest:
    check_run(site, records, tip, tip.newest.number if tip.newest is not None else 0)
    return Latest(head, records, tail_bytes=stored)


def _still(seen: Latest | None, head: Head, branch: str) -> tuple[Record, ...]:
    """What was seen of a tail, where it is one of the same line after the same snapshot."""
    if seen is None or branch not in seen.head.branches:
        return ()
    was, now = seen.head.branches[branch], head.branches[branch]
    is_same = (
        seen.head.incarnation == head.incarnation
        and seen.head.fence == head.fence  # else its records may have been redacted
        and was.line == now.line
        and was.newest == now.newest
        and was.number <= now.number
    )
    return seen.records if is_same else ()


def _known(seen: Latest | None) -> Known | None:
    if seen is None:
        return None
    return Known(seen.head.token, tail_of(seen.head), seen.head.branches[MAIN].number)


def _place(site: Site, branch: str) -> tuple[str, str]:
    return site.key, branch


def _bytes_of(latest: Latest, head_bytes: int) -> int:
    """What it takes in memory, about; `head_bytes` is the head as stored."""
    records = sum(len(record.canonical) for record in latest.records)
    return HEAD_GROWS * head_bytes + limits.cache_item_bytes * (1 + len(latest.records)) + records
