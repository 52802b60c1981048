"""The receipts of redactions: that what stands there instead is what a redaction put (P5)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from perdure.core import chain
from perdure.core.head import MAIN, Head
from perdure.core.journal import JOURNAL_LINE, Move, RedactReceipt, entry_of, written
from perdure.core.record import ID_BYTES, Record
from perdure.core.seal import damaged
from perdure.engine.read import Site, check_links, read_line
from perdure.engine.requests import Random, RecordRow, Run, Steps


def require_receipts(
    site: Site, head: Head, redacted: Iterable[tuple[int, int, bytes]]
) -> Steps[None]:
    """That the journal tells of each redacted record what it holds.

    Args:
        site: the state's.
        head: its head.
        redacted: line and number of each, and the leaf of what it holds.

    Raises:
        Damaged: of one it does not.
    """
    found = list(redacted)
    told: dict[tuple[int, int], bytes] = {}
    for record in (yield from _journal(site, head)):
        told |= leaves_of(entry_of(record).move)
        if record.is_redacted:
            found.append((record.line, record.number, record.content_leaf(head.incarnation)))
    for line, number, leaf in found:
        if told.get((line, number)) != leaf:
            which = "of the journal" if line == JOURNAL_LINE else f"on line {line}"
            what = f"record {number} {which} of {site.key!r}"
            raise damaged(
                site.store,
                f"{what} says that it was redacted, and no receipt tells of what it holds: it was "
                "put there by something else. Restore the store from a backup",
                "forged",
                what,
            )


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A receipt, as an export file has it."""

    time_us: int
    session: bytes
    receipt: RedactReceipt


def receipts(site: Site, head: Head) -> Steps[list[Told]]:
    """The receipts of a state, oldest first."""
    found: list[Told] = []
    for record in (yield from _journal(site, head)):
        told = entry_of(record).move.redaction
        if told is not UNSET:
            found.append(Told(record.time_us, record.session, told))
    return found


def told_anew(site: Site, head: Head, told: Iterable[Told]) -> Steps[tuple[list[RecordRow], Head]]:
    """Receipts as the journal of a state that has none yet: its records, and the head then."""
    rows: list[RecordRow] = []
    for each in told:
        drawn = yield Random(ID_BYTES + chain.SALT_BYTES)
        sealed, head = written(
            head,
            Move("redact", MAIN, redaction=each.receipt),
            store=site.store,
            id_=drawn[:ID_BYTES],
            salt=drawn[ID_BYTES:],
            session=each.session,
            time_us=each.time_us,
        )
        rows.append(RecordRow(sealed.line, sealed.number, sealed.blob))
    return rows, head


def leaves_of(move: Move) -> dict[tuple[int, int], bytes]:
    """What a receipt tells of records: by line and number, the leaf of what each holds."""
    if move.redaction is UNSET:
        return {}
    size = chain.HASH_BYTES
    return {
        (line, first + at): leaves[at * size : (at + 1) * size]
        for line, first, leaves in move.redaction.leaves
        for at in range(len(leaves) // size)
    }


def _journal(site: Site, head: Head) -> Steps[list[Record]]:
    if head.journal is None:
        return []
    records = yield from read_line(site, head, Run(JOURNAL_LINE, 1, head.journal.number))
    check_links(site, records)
    return records
