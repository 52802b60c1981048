"""Placing a save: the id, time and place on the chain of what a session has captured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.head import Branch, Head, Lease, Mark, next_life
from perdure.core.head_bytes import mark_to_wire
from perdure.core.leases import leases_of, owner_of
from perdure.core.lineage import is_empty
from perdure.core.record import (
    BASE,
    END,
    ENDED_BEFORE,
    ID_BYTES,
    MASKED,
    START,
    Draft,
    seal_draft,
)
from perdure.engine.bodies import Sent, joined
from perdure.engine.leases import keeping, leaving, passed, removing
from perdure.engine.requests import Compute, Now, Random, Steps
from perdure.engine.save import TOKEN_BYTES, Position

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore

_UNBORN = Branch(0, 0, b"", chain.ORIGIN, 0)
"""Where a branch stands before its first record."""


def place(core: SessionCore, end: tuple[str, str | None] | None) -> Steps[Sent]:
    """Give the oldest bodies their id, time and place on the chain; `end` rides in the last."""
    # One request for the id, the salt and the head's token.
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES + TOKEN_BYTES)
    id_, salt = drawn[:ID_BYTES], drawn[ID_BYTES:-TOKEN_BYTES]
    now = yield Now()
    base = core.position
    if base is None or base.head.deleted_us is not None:
        base, dead = (yield from new_life(now, base)), None
    elif core.exclusive or leases_of(base.head):
        base, dead = yield from _entitled(core, base)
    else:
        dead = None
    tip = base.head.branches.get(core.branch, _UNBORN)
    number, time_us = tip.number + 1, max(now, tip.time_us)
    mark = core.mark or Mark(
        core.id, core.started_us, time_us, number, number, core.holder, branch=core.branch
    )
    mark = replace(mark, saved_us=time_us, last=number, end=None, error=None, ended_us=None)
    bodies = core.queue.next()
    extra = {**bodies[0].extra, **core.merged()}
    if masked := [[each.kind, *each.path] for body in bodies for each in body.masked]:
        extra[MASKED] = masked
    if tip.bases and is_empty(tip):
        extra[BASE] = [tip.bases[0].line, tip.bases[0].number]
    if core.mark is None:
        extra[START] = mark_to_wire(mark)
        if core.told:
            extra[ENDED_BEFORE] = [mark_to_wire(told) for told in core.told]
    if end is not None and bodies == core.queue.asked():
        mark = replace(mark, end=end[0], error=end[1], ended_us=time_us, recorded=True)
        extra[END] = [*end, time_us]
    draft = Draft(id_, time_us, core.id, joined(bodies), salt, extra)
    sealing = partial(
        seal_draft,
        draft,
        store=core.site.store,
        incarnation=base.head.incarnation,
        line=tip.line,
        number=number,
        parent=tip.hash,
    )
    is_long = len(draft.changes) > limits.seal_at_once_bytes_max
    sealed = (yield Compute(sealing)) if is_long else sealing()
    leasing = _leasing(core, mark, now, dead)
    return Sent(bodies, sealed, base, mark, drawn[-TOKEN_BYTES:], leasing)


def _entitled(core: SessionCore, base: Position) -> Steps[tuple[Position, Lease | None]]:
    """Where it may save, and the lease of a dead holder that goes with that.

    Raises:
        LeaseLost: it held the branch and does not any more.
        Busy: another session holds it.
    """
    if not core.exclusive:
        return (yield from passed(core.site, base, core.branch))
    if core.is_lease_lost or owner_of(base.head, core.branch) != core.id:
        raise core.lease_lost(base.head)
    return base, None


def _leasing(core: SessionCore, mark: Mark, now: int, dead: Lease | None) -> Callable[[Head], Head]:
    """What a save does to the lease of its branch: renew it, free it, remove a dead one."""
    if core.exclusive and mark.end is not None:
        return leaving(core.branch, core.id)
    if core.exclusive:
        return keeping(core.branch, core.id, core.holder, now)
    return removing(core.branch, dead) if dead is not None else _as_it_is


def new_life(now: int, deleted: Position | None) -> Steps[Position]:
    """What the first save of a state builds on; of a key that was deleted, its next life."""
    incarnation = yield Random(16)
    head = Head(incarnation, now, now, bytes(16))
    if deleted is None:
        return Position(head, None)
    began, former = next_life(deleted.head, now)
    head = replace(head, created_us=began, updated_us=began, former=former)
    return Position(head, deleted.token)


def _as_it_is(head: Head) -> Head:
    return head
