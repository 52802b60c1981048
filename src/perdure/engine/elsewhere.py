"""Claims that stand in another state too, which many share.

The same claim, by its id, is in both heads: here with `elsewhere`, there with `of`. That here comes
first and ends last, so this state knows of whatever it may have done: see docs/design/0027.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from perdure.core import chain
from perdure.core.changes import pack_changes
from perdure.core.claims import effect_key, elsewhere_key, left_open, life_of
from perdure.core.head import MAIN, Claim, Head, Life, Mark
from perdure.core.head_bytes import mark_to_wire
from perdure.core.record import END, ID_BYTES, LABEL, START, Draft, seal_draft
from perdure.engine import claimed, claims
from perdure.engine.marks import with_mark
from perdure.engine.placing import new_life
from perdure.engine.read import Site, as_of_now, read_head
from perdure.engine.requests import Now, Random, ReadHead, Steps
from perdure.engine.save import HeadMoved, Position, append
from perdure.errors import Busy, StateDeleted, StateNotFound, TooManyOpen

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore

MADE = "made for claims"
"""The label of the only checkpoint of a state that was made for this."""


class Gone(Exception):
    """The life of the state in which a claim stands is no more: it was deleted, or erased."""


class There(msgspec.Struct, frozen=True):
    """What there is under an effect's key in the state that many share."""

    claim: Claim | None
    result: Any
    """What the action gave, if that is known."""


def site_of(site: Site, key: str) -> Site:
    """Where another state of the same store is."""
    return Site(site.store, key, site.cache)


def shared(core: SessionCore, key: str) -> Steps[Life]:
    """The life of the state to claim in, which is made if it is not there.

    Raises:
        StateDeleted: it was deleted.
    """
    while True:
        found = yield from standing(core.site, key)
        if found is not None:
            return found
        yield from _make(core, site_of(core.site, key))


def standing(site: Site, key: str) -> Steps[Life | None]:
    """The life of another state; None: it is not there.

    Raises:
        StateDeleted: it was deleted.
    """
    row = yield ReadHead(key)
    head = site_of(site, key).head(row) if row is not None else None
    if head is not None and head.deleted_us is not None:
        raise deleted(key)
    return life_of(head, key) if head is not None else None


def deleted(key: str) -> StateDeleted:
    """What is told of a state in which nothing can be claimed."""
    return StateDeleted(
        f"{key!r} was deleted, and what is claimed in it is not known any more: nothing was "
        "claimed. `undelete` brings it back; a session that saves to it begins it anew, without "
        "claims"
    )


def _make(core: SessionCore, site: Site) -> Steps[None]:
    """Save an empty checkpoint of a state that is not there, unless another makes it first."""
    drawn = yield Random(2 * ID_BYTES + chain.SALT_BYTES)
    id_, session, salt = drawn[:ID_BYTES], drawn[ID_BYTES : 2 * ID_BYTES], drawn[2 * ID_BYTES :]
    now = yield Now()
    base = yield from new_life(now, None)
    begun = Mark(session, now, now, 1, 1, core.holder, branch=MAIN)
    ended = replace(begun, end="closed", ended_us=now, recorded=True)
    extra = {LABEL: MADE, START: mark_to_wire(begun), END: ["closed", None, now]}
    sealed = seal_draft(
        Draft(id_, now, session, pack_changes([]), salt, extra),
        store=site.store,
        incarnation=base.head.incarnation,
        line=0,
        number=1,
        parent=chain.ORIGIN,
    )
    try:
        yield from append(site, base, MAIN, sealed, lambda head: with_mark(head, ended), "power")
    except HeadMoved:
        return  # it is there now


# ---- looking --------------------------------------------------------------------------------


def look(site: Site, life: Life, key: str) -> Steps[There]:
    """What there is under an effect's key in the life of a state that a claim names.

    Raises:
        Gone: that is no more.
    """
    site = site_of(site, life.key)

    def looked(head: Head) -> Steps[There]:
        if head.incarnation != life.incarnation:
            raise Gone
        found = yield from claimed.find(site, head, key)
        result = (yield from claimed.result_of(site, head, found)) if found is not None else None
        return There(found, result)

    try:
        return (yield from as_of_now(site, looked))
    except StateNotFound:
        raise Gone from None


def is_same(head: Head, claim: Claim, there: Claim | None) -> bool:
    """Whether what stands there is this state's claim: this one, or one it does not remember."""
    if there is None:
        return False
    of = there.of
    return there.id == claim.id or (of is not None and of.incarnation == head.incarnation)


def counterpart(site: Site, head: Head, name: str, claim: Claim) -> Steps[There | None]:
    """What stands of a claim of this state in the other one, under whatever name; None: nothing.

    So an outcome that is recorded in one of both is known, if the other was not reached any more.
    """
    life, its = claim.elsewhere, effect_key(name)
    if claim.of is not None:
        life, its = claim.of, elsewhere_key(site.key, name)
    if life is None:
        return None
    try:
        found = yield from look(site, life, its)
    except Gone:
        return None
    return found if is_same(head, claim, found.claim) else None


def _position(site: Site, life: Life) -> Steps[Position]:
    try:
        head = yield from read_head(site)
    except StateNotFound:
        raise Gone from None
    if head.incarnation != life.incarnation:
        raise Gone
    return Position(head, head.token)


# ---- claiming, and what became of it --------------------------------------------------------


def claim_there(core: SessionCore, name: str, claim: Claim) -> Steps[Claim]:
    """Claim there what was claimed here, under `name`: the claim that stands.

    If that has the id of `claim` and is open, the action may be performed, and by nobody else.

    Raises:
        Gone: the state was deleted meanwhile.
        Busy: nothing was claimed, here or there.
        TooManyOpen: the same.
        CommitUnknown: whether it was claimed there is not known; claim it here again.
    """
    assert claim.elsewhere is not None
    assert core.position is not None
    life, key = claim.elsewhere, effect_key(name)
    site = site_of(core.site, life.key)
    same = replace(claim, elsewhere=None, of=life_of(core.position.head, core.site.key))
    core.acting_there.add((life, key))
    try:
        position = yield from _position(site, life)
        _, standing = yield from claims.claim(site, position.head, key, same)
    except HeadMoved:
        raise Gone from None
    except (Busy, TooManyOpen):
        yield from claims.release_for(core, name, claim)
        raise
    except BaseException:  # nobody has called yet: it may be claimed again by the same id
        core.claiming[name] = claim
        raise
    return standing


def record_there(
    site: Site,
    life: Life,
    key: str,
    claim: Claim,
    result: bytes,
    *,
    by: str | None = None,
    is_sure: bool = False,
) -> Steps[None]:
    """Record there what an action gave, as was found out; `by` a person, if one did.

    Who performed it is sure of that, whatever somebody settled or released meanwhile.

    Raises:
        Gone: the state was deleted.
        HeadMoved: the claim was released or has an outcome, and who records it is not sure.
    """
    site = site_of(site, life.key)
    position = yield from _position(site, life)
    try:
        yield from claims.settle(site, position, key, claim, result, by, is_sure=is_sure)
    except HeadMoved as moved:
        raise _gone_or(moved, life) from None


def release_there(site: Site, life: Life, key: str, id_: bytes) -> Steps[None]:
    """Give a claim there back whose action did certainly not happen, if it still stands.

    Raises:
        Gone: the state was deleted.
        HeadMoved: the claim has an outcome.
    """
    site = site_of(site, life.key)
    position = yield from _position(site, life)
    try:
        yield from claims.release(site, position, MAIN, key, id_)
    except HeadMoved as moved:
        raise _gone_or(moved, life) from None


def _gone_or(moved: HeadMoved, life: Life) -> Exception:
    head = moved.head
    is_there = head is not None and head.deleted_us is None and head.incarnation == life.incarnation
    return moved if is_there else Gone()


def let_go(core: SessionCore) -> Steps[None]:
    """Tell the states that many share that nobody is at this session's open claims: it ends."""
    for life in sorted({life for life, _ in core.acting_there}, key=lambda life: life.key):
        site = site_of(core.site, life.key)
        try:
            position = yield from _position(site, life)
            yield from claims.on_any(site, position, lambda head: left_open(head, core.id), MAIN)
        except (Gone, HeadMoved):
            pass  # it was deleted, and its claims with it
        core.acting_there = {each for each in core.acting_there if each[0] != life}
