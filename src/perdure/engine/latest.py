"""The newest state under a key as it is stored: its head and its tail, verified, in one round trip.

Who has read it before reads only what is new: where the head is unchanged, nothing else; where
others saved, their records. What was read before counts only as far as the head that is stored
proves it: the chain leads from its newest record to the first of the tail (P5).
"""

from __future__ import annotations

import msgspec

from perdure import limits
from perdure.core.head import MAIN, Head
from perdure.core.record import Record
from perdure.engine.read import Site, check_run, newer_than_head
from perdure.engine.requests import Known, PageRow, ReadState, StateAnswer, Steps, Unchanged
from perdure.engine.save import tail_of
from perdure.errors import Damaged

HEAD_GROWS = 8
"""How much longer than it is stored a head may be in memory (times)."""


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
    known = _known(seen, branch) if seen is not None else None
    rows: StateAnswer = yield ReadState(site.key, known)
    if rows is None:
        return None
    if isinstance(rows, Unchanged):
        return seen
    head = site.head(rows.head)
    if head.deleted_us is not None:
        return Latest(head)
    tip = head.branches[branch]
    before = seen.records if seen and known and known.tail == tail_of(head) else ()
    after = tip.newest.number if tip.newest is not None else 0
    if rows.records and rows.records[-1].number > tip.number:
        raise newer_than_head(site, tip.line, rows.records[-1].number)
    new = site.run(head.incarnation, rows.records, after + len(before) + 1, tip.number)
    stored = sum(len(row.blob) for row in rows.records)
    if before and seen is not None:
        stored += seen.tail_bytes
    latest = Latest(head, (*before, *new), tail_bytes=stored)
    check_run(site, latest.records, tip, after)
    site.keep(_place(site, branch), latest, _bytes_of(latest, len(rows.head.blob)))
    return msgspec.structs.replace(latest, pages=rows.pages)


def _known(seen: Latest, branch: str) -> Known:
    return Known(seen.head.token, tail_of(seen.head), seen.head.branches[branch].number)


def _place(site: Site, branch: str) -> tuple[str, str]:
    return site.key, branch


def _bytes_of(latest: Latest, head_bytes: int) -> int:
    """What it takes in memory, about; `head_bytes` is the head as stored."""
    records = sum(len(record.canonical) for record in latest.records)
    return HEAD_GROWS * head_bytes + limits.cache_item_bytes * (1 + len(latest.records)) + records
