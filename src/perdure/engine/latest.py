"""The newest state under a key as it is stored: its head and its tail, verified, in one round trip.

Who has read it before reads only what is new: where the head is unchanged, nothing but that; where
others saved, their records. What was read before counts only as far as the head that is stored now
proves it: the chain leads from its newest record to the first of the tail (P5).
"""

from __future__ import annotations

import msgspec

from perdure import limits
from perdure.core.head import MAIN, Head
from perdure.core.record import Record
from perdure.engine.read import Site, check_run
from perdure.engine.requests import (
    Known,
    PageRow,
    ReadState,
    StateRows,
    Steps,
    Unchanged,
)
from perdure.engine.save import tail_of
from perdure.errors import Damaged

HEAD_GROWS = 8
"""How much longer a head is in memory than it is stored, at most (times)."""


class Latest(msgspec.Struct, frozen=True):
    """A state as of one moment, before anything is made of it."""

    head: Head
    records: tuple[Record, ...] = ()
    """Those after the newest snapshot, in order; none of a deleted state."""


def read_latest(site: Site, branch: str = MAIN) -> Steps[tuple[Latest | None, tuple[PageRow, ...]]]:
    """The newest state, or None if there is no head; and its root page, as far as it was read.

    Raises:
        Damaged: what is stored is not what was saved.
    """
    seen: Latest | None = site.kept(_place(site, branch))
    if seen is not None:
        try:
            return (yield from _read(site, branch, seen))
        except Damaged:
            pass  # what is stored may have another past, from a backup: read all of it
    return (yield from _read(site, branch, None))


def _read(
    site: Site, branch: str, seen: Latest | None
) -> Steps[tuple[Latest | None, tuple[PageRow, ...]]]:
    """Read what `seen` lacks."""
    known = _known(seen, branch) if seen is not None else None
    rows: StateRows | Unchanged | None = yield ReadState(site.key, known)
    if rows is None:
        return None, ()
    if isinstance(rows, Unchanged):
        return seen, ()
    head = site.head(rows.head)
    if head.deleted_us is not None:
        return Latest(head), ()
    tip = head.branches[branch]
    after = tip.newest.number if tip.newest is not None else 0
    before = seen.records if seen and _known(seen, branch).tail == tail_of(head) else ()
    new = site.run(head.incarnation, rows.records, after + len(before) + 1, tip.number)
    latest = Latest(head, (*before, *new))
    check_run(site, latest.records, tip, after)
    site.keep(_place(site, branch), latest, _bytes_of(latest, len(rows.head.blob)))
    return latest, rows.pages


def _place(site: Site, branch: str) -> tuple[str, str]:
    """Where it is kept."""
    return site.key, branch


def _known(seen: Latest, branch: str) -> Known:
    head = seen.head
    return Known(head.token, tail_of(head), head.branches[branch].number)


def _bytes_of(latest: Latest, stored_bytes: int) -> int:
    """What it takes in memory, about."""
    records = sum(len(each.canonical) + limits.cache_item_bytes for each in latest.records)
    return records + HEAD_GROWS * stored_bytes
