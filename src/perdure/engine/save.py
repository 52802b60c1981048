"""Committing: onto the head it was built on, at most once, never over another's work (P1–P4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Head, succeeding
from perdure.core.head_bytes import seal_head
from perdure.core.leases import owner_of
from perdure.core.record import Sealed
from perdure.engine.parked import find_parked
from perdure.engine.read import Site, spans
from perdure.engine.requests import (
    Commit,
    Committed,
    Durability,
    Erase,
    HeadRow,
    Moved,
    Pause,
    Random,
    ReadRecords,
    RecordRow,
    Steps,
    Tail,
)
from perdure.errors import Busy, CommitUnknown

TOKEN_BYTES = 16
PAUSE_FIRST_S = 0.002
PAUSE_MAX_S = 0.25

LOST_AT_ONCE = 4
"""Races for a head that may be lost before the next try waits: mostly the second is won."""
LOST_PAUSE_FIRST_S = 0.001
LOST_PAUSE_GROWS = 1.3
LOST_PAUSE_MAX_S = 0.1


class Position(msgspec.Struct, frozen=True):
    """The head a session builds on, and the token it is stored under (None: not stored yet)."""

    head: Head
    token: bytes | None


class HeadMoved(Exception):
    """What the commit named is no longer so; `head` is what is there now."""

    def __init__(self, head: Head | None) -> None:
        super().__init__()
        self.head = head


class Unknowable(CommitUnknown):
    """Whether a record landed cannot be learned any more, by no try: it was pruned."""


def append(
    site: Site,
    position: Position,
    branch: str,
    sealed: Sealed,
    change: Callable[[Head], Head],
    durability: Durability,
    token: bytes | None = None,
    doubt: Doubt | None = None,
) -> Steps[Position]:
    """Commit one record to a branch and `change` the head with it, once.

    `token` names the new head, if it was drawn already: the same for the same record. `doubt` is
    there after an error if the record may have landed all the same.

    Raises:
        HeadMoved: the branch or its lease moved, or the state was deleted or fenced off, meanwhile
            (P3).
        CommitUnknown: its fate could not be learned; call again with the same record (P4).
    """

    def advance(head: Head) -> Head:
        return change(head.advanced(branch, sealed))

    parts = advance, branch, durability, sealed, token, doubt
    return (yield from commit(site, position, *parts))


def commit(
    site: Site,
    position: Position,
    change: Callable[[Head], Head],
    branch: str = MAIN,
    durability: Durability = "power",
    sealed: Sealed | None = None,
    token: bytes | None = None,
    doubt: Doubt | None = None,
) -> Steps[Position]:
    """Put `change(head)` in the place of the head, with a record if one is given.

    When the head moved in something that was not named, the change is made to the new one and
    sent again. Under "power" only the answer `Committed` proves that it was synced: what is found
    to have landed without it is secured first. Raises as `append` does, also where `change` raises
    `HeadMoved`, and `Busy` when that never ends.
    """
    expected, doubt = position, doubt or Doubt()
    for lost in range(limits.commit_tries_max):
        if lost >= LOST_AT_ONCE:
            yield _giving_way(lost, position.head.token)
        token = token or (yield Random(TOKEN_BYTES))
        try:
            old = position.head if position.token is not None else None
            head = succeeding(change(position.head), old, token)
        except HeadMoved:  # from what the change itself builds on
            raise HeadMoved(position.head) from None
        request = request_for(site, position, head, branch, sealed, durability)
        answer = yield from send(request, doubt)
        if isinstance(answer, Committed):
            return Position(head, token)
        assert isinstance(answer, Moved)
        current = site.head(answer.head) if answer.head is not None else None
        if current is not None and branch not in current.branches:
            current = yield from _with_parked(site, current, branch)
        if current is not None and (yield from _is_in(site, current, token, branch, sealed, doubt)):
            if durability == "power":
                current = yield from secured(site, current)
            # Where others have saved on top of it, the next save will find that out.
            is_newest = same_place(current, head, branch)
            return Position(current, current.token) if is_newest else Position(head, token)
        if current is None or not same_place(current, expected.head, branch):
            raise HeadMoved(current)
        position, token = Position(current, current.token), None
    raise Busy(
        f"{site.key!r}: other writers moved its head {limits.commit_tries_max} times in a row; "
        "nothing was written, try again"
    )


def _giving_way(lost: int, token: bytes) -> Pause:
    """The longer the pause the oftener it lost: fewer are in each race then, and each is won.

    Its length is drawn, by a token that is random anyhow, lest all come back together; see Metcalfe
    and Boggs, "Ethernet: Distributed Packet Switching" (1976), on backing off.
    """
    longest = min(LOST_PAUSE_FIRST_S * LOST_PAUSE_GROWS ** (lost - LOST_AT_ONCE), LOST_PAUSE_MAX_S)
    return Pause(longest * (1 + token[0] / 255) / 2)


def _with_parked(site: Site, head: Head, branch: str) -> Steps[Head]:
    """A head with a branch that is parked, if there is such a one."""
    tip = yield from find_parked(site, head, branch)
    return head if tip is None else replace(head, branches={**head.branches, branch: tip})


def secured(site: Site, head: Head) -> Steps[Head]:
    """Make all that led to `head` survive a power cut, by putting it again; the head then (P1)."""
    for _ in range(limits.commit_tries_max):
        position = Position(head, head.token)
        again = succeeding(head, head, (yield Random(TOKEN_BYTES)))
        answer = yield from send(request_for(site, position, again, MAIN, None, "power"))
        if isinstance(answer, Committed):
            return again
        assert isinstance(answer, Moved)
        if answer.head is None:
            raise HeadMoved(None)
        head = site.head(answer.head)
    raise CommitUnknown(
        f"{site.key!r}: what was saved is there, but other writers moved its head "
        f"{limits.commit_tries_max} times in a row before it was synced; save again"
    )


def request_for(
    site: Site,
    position: Position,
    head: Head,
    branch: str,
    sealed: Sealed | None,
    durability: Durability,
) -> Commit:
    """The request that puts a head in the place of another, with a record if one is given."""
    row = HeadRow(head.token, seal_head(head, store=site.store, key=site.key))
    records = (RecordRow(sealed.line, sealed.number, sealed.blob),) if sealed is not None else ()
    return Commit(site.key, position.token, row, tail_of(head), records, durability)


def tail_of(head: Head) -> Tail:
    """What belongs in one round trip with a head: the root of its newest snapshot, and the rest."""
    tip = head.branches.get(MAIN)
    if tip is None or not tip.snapshots:
        return Tail(head.incarnation, tip.line if tip else 0, 0)
    newest = tip.snapshots[0]
    return Tail(head.incarnation, tip.line, newest.number, newest.root.id)


class Doubt:
    """Whether a record may have landed though nobody said so."""

    __slots__ = ("is_there",)

    def __init__(self) -> None:
        self.is_there = False


def send(request: Commit | Erase, doubt: Doubt | None = None) -> Steps[Any]:
    """One commit, sent again as it is while its answer is lost (P4), which makes for `doubt`."""
    pause = PAUSE_FIRST_S
    while True:
        try:
            return (yield request)
        except CommitUnknown:
            if doubt is not None:
                doubt.is_there = True
            if pause > PAUSE_MAX_S:
                raise
            yield Pause(pause)
            pause *= 4


def same_place(current: Head, expected: Head, branch: str) -> bool:
    """Whether what a save names is unchanged: what `same_tip` says, and who holds the branch."""
    is_owner_same = owner_of(current, branch) == owner_of(expected, branch)
    return is_owner_same and same_tip(current, expected, branch)


def same_tip(current: Head, expected: Head, branch: str) -> bool:
    """Whether these are unchanged: incarnation, fence, the branch's newest record."""
    if (
        current.incarnation != expected.incarnation
        or current.fence != expected.fence
        or current.deleted_us != expected.deleted_us
    ):
        return False
    now, then = current.branches.get(branch), expected.branches.get(branch)
    if now is None or then is None:
        return now is then
    return (now.line, now.number, now.record) == (then.line, then.number, then.record)


def _is_in(
    site: Site, current: Head, token: bytes, branch: str, sealed: Sealed | None, doubt: Doubt
) -> Steps[bool]:
    """Whether a commit, or an earlier try of it, is part of what is there."""
    if current.token == token:
        return True
    tip = current.branches.get(branch)
    if not doubt.is_there and sealed is not None and tip is not None and sealed.number < tip.first:
        return False  # every try of it was answered; only where none was it would have to be read
    return sealed is not None and (yield from has_landed(site, current, branch, sealed))


def has_landed(site: Site, current: Head, branch: str, sealed: Sealed) -> Steps[bool]:
    """Whether a record is part of the branch, though its answer was lost (P4)."""
    tip = current.branches.get(branch)
    if tip is None or tip.number < sealed.number:
        return False
    if tip.number == sealed.number:
        return tip.record == sealed.id
    if sealed.number < tip.first:
        raise Unknowable(
            f"{site.key!r}: whether checkpoint {sealed.number} was saved cannot be told any more: "
            "others saved on, and it was pruned. `session.refresh()` gives it up; look then"
        )
    if tip.line != sealed.line:  # it was moved since; perhaps only on from there
        runs = yield from spans(site, current, tip, sealed.number, sealed.number)
        if [run.line for run in runs] != [sealed.line]:
            return False
    rows = yield ReadRecords(current.incarnation, sealed.line, sealed.number, sealed.number, 1)
    # By its hash: it may have been packed with others meanwhile.
    found = site.run(current.incarnation, rows, sealed.number, sealed.number)
    return any(record.hash == sealed.hash for record in found)
