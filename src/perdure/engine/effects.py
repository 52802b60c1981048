"""Effects as they are told of, and settled by a person."""

from __future__ import annotations

from perdure.core.claims import effect_key, elsewhere_key, idempotency_key, is_open, origin_of
from perdure.core.head import Claim, Head
from perdure.engine import claimed, claims, elsewhere
from perdure.engine.elsewhere import Gone
from perdure.engine.questions import ANSWERS
from perdure.engine.read import Site, as_of_now, read_head
from perdure.engine.requests import IsAlive, Steps
from perdure.engine.save import HeadMoved, Position
from perdure.engine.view import when
from perdure.errors import AlreadyClaimed, PathNotFound, StateDeleted
from perdure.types import EffectInfo, EffectStatus, Holder


def told(site: Site) -> Steps[list[EffectInfo]]:
    """All effects of a state, the oldest first."""
    return (yield from as_of_now(site, lambda head: _told(site, head)))


def _told(site: Site, head: Head) -> Steps[list[EffectInfo]]:
    found: list[EffectInfo] = []
    for key, claim in (yield from claimed.every(site, head)).items():
        if not key.startswith(ANSWERS):
            found.append((yield from info_of(site, head, key, claim)))
    return found


def info_of(site: Site, head: Head, key: str, claim: Claim) -> Steps[EffectInfo]:
    """What is told of one of them.

    What is open here, and claimed in another state too, has the outcome that is known there.
    """
    there = None
    if is_open(claim):
        there = yield from elsewhere.counterpart(site, head, key, claim)
    ended = claim if there is None else there.claim or claim
    status: EffectStatus = "done"
    if is_open(ended):
        status = "running" if (yield from is_running(head, claim)) else "unknown"
    if there is None:
        result = yield from claimed.result_of(site, head, claim)
    else:
        result = there.result
    life = claim.elsewhere
    return EffectInfo(
        effect_key(key),
        status,
        claim.about,
        when(claim.at_us),
        when(ended.ended_us) if ended.ended_us is not None else None,
        result,
        idempotency_key(origin_of(head) if life is None else life.origin, effect_key(key)),
        claim.session.hex(),
        claim.number or None,
        ended.by,
        claims=life.key if life is not None else None,
        state=claim.of.key if claim.of is not None else None,
    )


def is_running(head: Head, claim: Claim) -> Steps[bool]:
    """Whether the process that claimed an effect may be performing it.

    It lives, and its session has not ended. Of a process on another machine nobody knows: that is
    no living one, and its effect is told as unknown.
    """
    ended = {mark.id for mark in head.marks if mark.end is not None}
    return claim.session not in ended and bool((yield IsAlive(Holder(*claim.holder))))


def settle(
    key: str, packed: bytes | None, by: str, shared: str | None, site: Site
) -> Steps[EffectInfo]:
    """Give an effect of unknown outcome the one that a person found out: what is told of it then.

    Args:
        key: of the effect.
        packed: what it gave; None: it did not happen.
        by: who says so.
        shared: key of the other state that it was claimed in, which is told too.
        site: where the state is.

    Raises:
        StateNotFound: there is no such state.
        PathNotFound: nothing was claimed under this key.
        AlreadyClaimed: its outcome is known, or is about to be.
        StateDeleted: the state was deleted meanwhile.
    """
    name = key if shared is None else elsewhere_key(shared, key)
    head = yield from read_head(site)
    claim = yield from claimed.find(site, head, name)
    if claim is None:
        where = "" if shared is None else f" of {shared!r}"
        raise PathNotFound(
            f"{site.key!r}: no effect {key!r}{where} was ever claimed; nothing was settled"
        )
    info = yield from info_of(site, head, name, claim)
    if info.status != "unknown":
        raise _known(site, info)
    position = Position(head, head.token)
    try:
        yield from _settle_there(site, head, name, claim, packed, by)
        if packed is None:
            yield from claims.release(site, position, "main", name, claim.id)
            return info
        now = yield from claims.settle(site, position, name, claim, packed, by)
    except HeadMoved as moved:
        if moved.head is None or moved.head.deleted_us is not None:
            raise StateDeleted(f"{site.key!r} was deleted meanwhile; nothing was settled") from None
        raise _known(site, info) from None
    settled = yield from claimed.find(site, now.head, name)
    assert settled is not None
    return (yield from info_of(site, now.head, name, settled))


def _settle_there(
    site: Site, head: Head, name: str, claim: Claim, packed: bytes | None, by: str
) -> Steps[None]:
    """Settle a claim in the other state that it stands in: there first, so that all know of it.

    Raises:
        HeadMoved: it was settled there meanwhile.
    """
    if claim.elsewhere is None:
        return
    there = yield from elsewhere.counterpart(site, head, name, claim)
    if there is None or there.claim is None:
        return
    life, key = claim.elsewhere, effect_key(name)
    try:
        if packed is None:
            yield from elsewhere.release_there(site, life, key, there.claim.id)
        else:
            parts = life, key, there.claim, packed
            yield from elsewhere.record_there(site, *parts, by=by)
    except Gone:
        pass  # it was deleted: nobody there has to know


def _known(site: Site, info: EffectInfo) -> AlreadyClaimed:
    how = "is being performed" if info.status == "running" else "has its outcome already"
    error = AlreadyClaimed(f"{site.key!r}: {info.key!r} {how}; nothing was settled")
    error.result, error.is_running = info.result, info.status == "running"
    return error
