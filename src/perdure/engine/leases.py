"""Leases: at most one session at a time may save to a branch that it holds exclusively (P3).

A lease is in the head, so what keeps others out is the commit's own compare: a save names the owner
of its branch's lease as it names the newest record. Whether a holder lives only decides who may
take a lease over; a mistake in that costs the holder its lease, and nobody a save. See
`docs/design/0016-leases.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from perdure import limits
from perdure.core.head import Head, Lease
from perdure.core.leases import lease_of, leases_of, owner_of, with_lease, without_lease
from perdure.engine.parked import find_branch
from perdure.engine.read import Site
from perdure.engine.refs import as_branch
from perdure.engine.requests import IsAlive, Now, ReadHead, Steps
from perdure.engine.save import HeadMoved, Position, commit, same_tip
from perdure.engine.view import when
from perdure.errors import BranchNotFound, Busy, LeaseLost
from perdure.types import Holder, LeaseInfo

Change: TypeAlias = Callable[[Head], Head]


def take(
    site: Site, branch: str, id_: bytes, holder: tuple[str, int, str, str]
) -> Steps[LeaseInfo | None]:
    """Let a session hold a branch, in one commit; if a living one holds it: who that is.

    A state that is not there has no lease to take: the commit that makes it has the first.

    Raises:
        BranchNotFound: there is no such branch.
        Busy: other writers moved the head again and again.
    """
    for _ in range(limits.commit_tries_max):
        head = yield from _head(site)
        if head is None or owner_of(head, branch) == id_:
            return None
        now = yield Now()
        old = lease_of(head, branch)
        if old is not None and (yield from is_held(old, now)):
            return info_of(branch, old)
        base = as_branch(head, branch, (yield from find_branch(site, head, branch)))
        change = _over(branch, old, keeping(branch, id_, holder, now))
        try:
            yield from commit(site, Position(base, head.token), change, branch, "process")
        except HeadMoved:
            continue
        return None
    raise Busy(f"{site.key!r}: other writers moved its head again and again; try again")


def renew(site: Site, branch: str, id_: bytes) -> Steps[bool]:
    """Say in the head that a holder is there, unless a save did just now; False: it is not its own.

    Of a state that was deleted nothing is known to be lost: it may be brought back.
    """
    head = yield from _head(site)
    if head is None:
        return True
    lease, now = lease_of(head, branch), (yield Now())
    if lease is None or lease.id != id_:
        return False
    if now - lease.renewed_us < limits.lease_s * 1_000_000 // 6:
        return True
    change = keeping(branch, id_, lease.holder, now)
    try:
        yield from commit(site, Position(head, head.token), change, branch, "process")
    except HeadMoved:
        head = yield from _head(site)  # whoever saved, or a thief
        return head is None or owner_of(head, branch) == id_
    return True


def release(site: Site, branch: str, id_: bytes) -> Steps[bool]:
    """Free a branch that a session holds; False: it does not hold it."""
    for _ in range(limits.commit_tries_max):
        row = yield ReadHead(site.key)
        head = site.head(row) if row is not None else None
        if head is None or owner_of(head, branch) != id_:
            return False
        change = leaving(branch, id_)
        try:
            yield from commit(site, Position(head, head.token), change, branch, "process")
        except HeadMoved:
            continue
        return True
    return True  # there is a lot going on: somebody else can tell that it is over


def _head(site: Site) -> Steps[Head | None]:
    """The head of a state that is there."""
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    return None if head is None or head.deleted_us is not None else head


def is_held(lease: Lease, now_us: int) -> Steps[bool]:
    """Whether the holder of a lease lives, as far as can be told from here."""
    alive = yield IsAlive(Holder(*lease.holder))
    if alive is None:
        # A clock that was ahead must not let a holder live until then.
        return abs(now_us - lease.renewed_us) <= limits.lease_s * 1_000_000
    return bool(alive)


# ---- what saves and movements do about leases -----------------------------------------------


def keeping(branch: str, id_: bytes, holder: tuple[str, int, str, str], now_us: int) -> Change:
    """The change that a commit of a holder makes: its lease is renewed, or there from now on."""

    def change(head: Head) -> Head:
        old = lease_of(head, branch)
        since = old.since_us if old is not None and old.id == id_ else now_us
        return with_lease(head, branch, Lease(id_, holder, since, now_us))

    return change


def leaving(branch: str, id_: bytes) -> Change:
    """The change that the last commit of a holder makes: its lease is gone, another's stays."""

    def change(head: Head) -> Head:
        return without_lease(head, branch) if owner_of(head, branch) == id_ else head

    return change


def removing(branch: str, dead: Lease) -> Change:
    """The change that goes with a save over a dead holder's lease."""
    return _over(branch, dead, lambda head: without_lease(head, branch))


def _over(branch: str, seen: Lease | None, change: Change) -> Change:
    """`change`, made only while a lease is just as it was when it was found to be over."""

    def made(head: Head) -> Head:
        if lease_of(head, branch) != seen:
            raise HeadMoved(None)
        return change(head)

    return made


def passed(site: Site, position: Position, branch: str) -> Steps[tuple[Position, Lease | None]]:
    """Where a session that holds nothing can save, and the dead lease that its save removes.

    Raises:
        Busy: a living session holds the branch.
    """
    if lease_of(position.head, branch) is None:
        return position, None
    # It may have ended since this session read it.
    head = yield from _head(site)
    if head is None:
        return position, None  # the commit will find that out
    with suppress(BranchNotFound):
        head = as_branch(head, branch, (yield from find_branch(site, head, branch)))
    if not same_tip(head, position.head, branch):
        return position, None  # and this
    lease, now = lease_of(head, branch), (yield Now())
    if lease is not None and (yield from is_held(lease, now)):
        raise busy(site, info_of(branch, lease), "nothing was saved; save again when that ended")
    return Position(head, head.token), lease


def freed(site: Site, head: Head, branch: str, session: bytes) -> Steps[Head]:
    """The head without the lease of a dead holder, for a movement of the branch by a session.

    One that holds the branch itself goes on to hold it.

    Raises:
        Busy: a living session holds it.
    """
    lease = lease_of(head, branch)
    if lease is None or lease.id == session:
        return head
    if (yield from is_held(lease, (yield Now()))):
        raise busy(site, info_of(branch, lease), "the branch was not moved; a fork can be made")
    return without_lease(head, branch)


# ---- as users see it ------------------------------------------------------------------------


def infos_of(head: Head, now_us: int) -> Steps[tuple[LeaseInfo, ...]]:
    """The leases of a state, by branch."""
    infos = []
    for branch, lease in sorted(leases_of(head).items()):
        infos.append(info_of(branch, lease, (yield from is_held(lease, now_us))))
    return tuple(infos)


def info_of(branch: str, lease: Lease, alive: bool = True) -> LeaseInfo:
    """A lease as users see it."""
    times = when(lease.since_us), when(lease.renewed_us)
    return LeaseInfo(branch, lease.id.hex(), Holder(*lease.holder), *times, alive)


def busy(site: Site, lease: LeaseInfo, what: str) -> Busy:
    """The error for whoever comes to a branch that another session holds."""
    return Busy(
        f"the branch {lease.branch!r} of {site.key!r} is held exclusively by process "
        f"{lease.holder.pid} on {lease.holder.host} since {_said(lease.since)}, last renewed "
        f"{_said(lease.renewed)}: {what}",
        lease=lease,
    )


def _said(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def lost(site: Site, branch: str, head: Head | None) -> LeaseLost:
    """The error for a session that held a branch and does not any more."""
    lease = lease_of(head, branch) if head is not None else None
    by = "and was released since"
    if lease is not None:
        by = f"by process {lease.holder[1]} on {lease.holder[0]}, {_said(when(lease.since_us))}"
    return LeaseLost(
        f"the exclusive hold of this session on the branch {branch!r} of {site.key!r} was taken "
        f"over {by}; nothing was saved. session.changes() tells what was not; session.refresh() "
        "gives it up. Open the state again to go on"
    )
