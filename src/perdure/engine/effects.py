"""Effects as they are told of, and settled by a person."""

from __future__ import annotations

from perdure.core.claims import idempotency_key, is_open, origin_of
from perdure.core.head import Claim, Head
from perdure.engine import claims
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
    for key, claim in (yield from claims.every(site, head)).items():
        if not key.startswith(ANSWERS):
            found.append((yield from info_of(site, head, key, claim)))
    return found


def info_of(site: Site, head: Head, key: str, claim: Claim) -> Steps[EffectInfo]:
    """What is told of one of them."""
    status: EffectStatus = "done"
    if is_open(claim):
        status = "running" if (yield from is_running(head, claim)) else "unknown"
    return EffectInfo(
        key,
        status,
        claim.about,
        when(claim.at_us),
        when(claim.ended_us) if claim.ended_us is not None else None,
        (yield from claims.result_of(site, head, claim)),
        idempotency_key(origin_of(head), key),
        claim.session.hex(),
        claim.number or None,
        claim.by,
    )


def is_running(head: Head, claim: Claim) -> Steps[bool]:
    """Whether the process that claimed an effect may be performing it.

    It lives, and its session has not ended. Of a process on another machine nobody knows: that is
    no living one, and its effect is told as unknown.
    """
    ended = {mark.id for mark in head.marks if mark.end is not None}
    return claim.session not in ended and bool((yield IsAlive(Holder(*claim.holder))))


def settle(key: str, packed: bytes | None, by: str, site: Site) -> Steps[EffectInfo]:
    """Give an effect of unknown outcome the one that a person found out: what is told of it then.

    Args:
        key: of the effect.
        packed: what it gave; None: it did not happen.
        by: who says so.
        site: where the state is.

    Raises:
        StateNotFound: there is no such state.
        PathNotFound: nothing was claimed under this key.
        AlreadyClaimed: its outcome is known, or is about to be.
        StateDeleted: the state was deleted meanwhile.
    """
    head = yield from read_head(site)
    claim = yield from claims.find(site, head, key)
    if claim is None:
        raise PathNotFound(f"{site.key!r}: no effect {key!r} was ever claimed; nothing was settled")
    info = yield from info_of(site, head, key, claim)
    if info.status != "unknown":
        raise _known(site, info)
    position = Position(head, head.token)
    try:
        if packed is None:
            yield from claims.release(site, position, "main", key, claim.id)
            return info
        now = yield from claims.settle(site, position, key, claim, packed, by)
    except HeadMoved as moved:
        if moved.head is None or moved.head.deleted_us is not None:
            raise StateDeleted(f"{site.key!r} was deleted meanwhile; nothing was settled") from None
        raise _known(site, info) from None
    settled = yield from claims.find(site, now.head, key)
    assert settled is not None
    return (yield from info_of(site, now.head, key, settled))


def _known(site: Site, info: EffectInfo) -> AlreadyClaimed:
    how = "is being performed" if info.status == "running" else "has its outcome already"
    error = AlreadyClaimed(f"{site.key!r}: {info.key!r} {how}; nothing was settled")
    error.result, error.is_running = info.result, info.status == "running"
    return error
