"""Making a movement: a record of the journal, and the head that it leads to, in one commit (P7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.head import Head, succeeding
from perdure.core.head_bytes import seal_head
from perdure.core.journal import JOURNAL_LINE, Entry, Move, written
from perdure.core.record import ID_BYTES, Sealed
from perdure.engine.leases import freed
from perdure.engine.parked import is_crowded, parked_away, parking
from perdure.engine.read import Site, is_replaced, read_head, read_line
from perdure.engine.requests import (
    Commit,
    Committed,
    HeadRow,
    Moved,
    Now,
    Random,
    RecordRow,
    Run,
    Steps,
)
from perdure.engine.save import TOKEN_BYTES, secured, send, tail_of
from perdure.errors import Busy, Damaged

NOBODY = bytes(16)
"""The session of a movement that was made outside any."""


class Planned(msgspec.Struct, frozen=True):
    """A movement that was thought out: the head that it leads to, but for the journal."""

    head: Head
    move: Move
    puts_pages: bool = False
    """Whether pages were put that only the new head leads to."""
    taken: Move | None = None
    """The movement that this one takes back."""


class Done(msgspec.Struct, frozen=True):
    """A movement that was made, or would be."""

    head: Head
    """The head that it was made from."""
    now: Head
    """The head that there is now."""
    entry: Entry


Plan: TypeAlias = Callable[[Head], Steps[Planned | None]]
"""Thinks a movement out, from the head that there is; None: nothing is to be moved."""


def move(
    site: Site, plan: Plan, *, dry_run: bool = False, session: bytes = NOBODY
) -> Steps[Done | None]:
    """Make a movement; from the head that there is then, should it change meanwhile.

    Raises:
        Busy: another session holds the branch, or other writers moved the head again and again;
            nothing was done.
        CommitUnknown: its fate could not be learned.
    """
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES + TOKEN_BYTES)
    id_, salt, token = drawn[:ID_BYTES], drawn[ID_BYTES:-TOKEN_BYTES], drawn[-TOKEN_BYTES:]
    for _ in range(limits.commit_tries_max):
        head = yield from read_head(site)
        try:
            planned = yield from plan(head)
        except Damaged:
            if not (yield from is_replaced(site, head)):
                raise
            continue
        if planned is None:
            return None
        now_us = yield Now()
        if dry_run:
            entry = Entry(0, now_us, NOBODY, planned.move)
            return Done(head, planned.head, entry)
        free = yield from freed(site, planned.head, planned.move.branch, session)
        planned = replace(planned, head=free)
        sealed, new = written(
            planned.head,
            planned.move,
            planned.taken,
            store=site.store,
            id_=id_,
            salt=salt,
            session=session,
            time_us=now_us,
        )
        if planned.puts_pages or is_crowded(new):
            new = yield from _with_room(site, new)
        now = yield from commit_entry(site, head, succeeding(new, head, token), sealed)
        if now is not None:
            entry = Entry(sealed.number, sealed.time_us, session, planned.move)
            return Done(head, now, entry)
        token = yield Random(TOKEN_BYTES)  # each version of a head has one of its own
    raise Busy(
        f"{site.key!r}: other writers moved its head {limits.commit_tries_max} times in a row; "
        "nothing was moved, try again"
    )


def _with_room(site: Site, head: Head) -> Steps[Head]:
    """The head with no more branches than it should have, in a new generation.

    So a collection of pages that was begun before comes to nothing: it knows none of the new ones.
    """
    if is_crowded(head):
        head = parked_away(head, *(yield from parking(site, head)))
    return replace(head, generation=head.generation + 1)


class Replaced(msgspec.Struct, frozen=True):
    """What gives way in a commit, and what takes its place."""

    removed: tuple[Run, ...] = ()
    records: tuple[RecordRow, ...] = ()
    dropped: tuple[bytes, ...] = ()
    """Pages, by their ids."""


def commit_entry(
    site: Site, old: Head, new: Head, sealed: Sealed, replaced: Replaced | None = None
) -> Steps[Head | None]:
    """Put the head, and the record of its journal, in the place of the old head; the head then.

    None: another one had taken its place before. What is `replaced` is with the same commit.
    """
    row = HeadRow(new.token, seal_head(new, store=site.store, key=site.key))
    record, more = RecordRow(sealed.line, sealed.number, sealed.blob), replaced or Replaced()
    answer = yield from send(
        Commit(
            *(site.key, old.token, row, tail_of(new), (*more.records, record)),
            removed=more.removed,
            dropped=more.dropped,
        )
    )
    if isinstance(answer, Committed):
        site.keep_head(row, new)
        return new
    assert isinstance(answer, Moved)
    current = site.head(answer.head) if answer.head is not None else None
    if current is None or current.incarnation != old.incarnation or current.journal is None:
        return None
    if current.journal.number < sealed.number:
        return None
    run = Run(JOURNAL_LINE, sealed.number, sealed.number)
    (found,) = yield from read_line(site, current, run)
    # It may have landed though its answer was lost (P4); only a commit proves that it was synced.
    return (yield from secured(site, current)) if found.id == sealed.id else None
