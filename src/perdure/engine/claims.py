"""Claiming an action on the world: durably, at most once, whatever becomes of branches (P9).

`claim` makes one, in a commit of its own. Its outcome goes with the save that has the result
(`Settling`, in a session's `Body`), or is settled by a person (`settle`, `release`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.claims import (
    claims_of,
    is_open,
    open_count,
    with_claim,
    without_claims,
)
from perdure.core.codec import pack
from perdure.core.head import MAIN, Claim, Head, Life, succeeding
from perdure.core.page import Ref
from perdure.core.record import ID_BYTES, Sealed
from perdure.core.tree import build
from perdure.engine import claimed, shelving
from perdure.engine.carry import put_twice
from perdure.engine.parked import SECRET_BYTES
from perdure.engine.read import Site
from perdure.engine.refresh import is_redacted, redacted
from perdure.engine.requests import Committed, Moved, Now, Random, ReadHead, Steps
from perdure.engine.save import (
    TOKEN_BYTES,
    HeadMoved,
    Position,
    commit,
    request_for,
    same_place,
    secured,
    send,
)
from perdure.errors import Busy, TooManyOpen

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore


class Settling(msgspec.Struct, frozen=True):
    """The outcome of a claim, on its way with the record that has the result."""

    key: str
    claim: Claim
    """As it was made."""
    result: bytes
    """Packed."""
    by: str | None = None
    """The person who found it out; None: it is known from the action itself."""


class Kept(msgspec.Struct, frozen=True):
    """Large results that were put into pages, on the way to the commit that refers to them."""

    roots: dict[str, Ref]
    """By effect key."""
    generation: int
    """Of the head that there was before: while it is this, none of the pages was collected."""
    secret: bytes
    """They were made with it."""

    def fits(self, head: Head) -> bool:
        """Whether a head may refer to them."""
        return head.generation == self.generation and head.secret in (b"", self.secret)


# ---- claiming -------------------------------------------------------------------------------


def claim(
    site: Site, head: Head, key: str, made: Claim, *, fence: int | None = None
) -> Steps[tuple[Head, Claim]]:
    """Claim an effect, unless it is claimed: the head then, and the claim that stands.

    If that has the id of `made` and is open, the action may be performed, and by nobody else.
    With a `fence`, that of the head which who claims has read, it is claimed under no other.

    Raises:
        HeadMoved: the state was deleted meanwhile, or is another life of its key; or its fence is
            another one.
        Busy: others moved the head again and again; nothing was claimed.
        TooManyOpen: there are so many of which no outcome is known; nothing was claimed.
        CommitUnknown: whether it was claimed is not known; the same claim may be made again.
    """
    head = yield from _with_room(site, head)
    for _ in range(limits.commit_tries_max):
        found = yield from claimed.find(site, head, key)
        if found is not None and found.id != made.id:
            head = yield from _newest(site, head)
            found = yield from claimed.find(site, head, key)  # it may be settled or released since
            if found is not None and found.id != made.id:
                return head, found
        if found is not None:  # the answer to an earlier try was lost
            head = _same_life(site, head, (yield from secured(site, head)))
            found = yield from claimed.find(site, head, key)
            if found is not None:  # a person may have settled or released it meanwhile
                return head, found
        if is_open(made) and open_count(head) >= limits.claims_open_max:
            raise _too_many(site, key)
        if fence not in (None, head.fence):
            raise HeadMoved(head)
        token = yield Random(TOKEN_BYTES)
        new = succeeding(with_claim(head, key, made), head, token)
        position = Position(head, head.token)
        answer = yield from send(request_for(site, position, new, MAIN, None, "power"))
        if isinstance(answer, Committed):
            return new, made
        assert isinstance(answer, Moved)
        head = _same_life(site, head, site.head(answer.head) if answer.head else None)
    raise Busy(
        f"{site.key!r}: other writers moved its head {limits.commit_tries_max} times in a row; "
        f"{key!r} was not claimed, try again"
    )


def _too_many(site: Site, key: str) -> TooManyOpen:
    return TooManyOpen(
        f"{site.key!r}: {limits.claims_open_max:,} effects have no known outcome, and no more are "
        f"claimed before some are settled: {key!r} was not. Find out what became of them: perdure "
        f"effects {site.key} --unknown"
    )


def claim_for(
    core: SessionCore, key: str, about: str, elsewhere: Life | None = None
) -> Steps[tuple[Claim, bool]]:
    """Claim an effect for a session: the claim that stands, and whether it is this one, and open.

    One that is to be claimed in another state too names that state's life.

    The session must have saved something, or resumed something: its state is there.

    Raises as `claim`, and:
        Redacted: something was redacted since the session read the state; nothing was claimed.
    """
    assert core.position is not None
    about = about[: limits.claim_about_chars_max]
    made = core.claiming.pop(key, None)
    if made is None:
        id_, now = (yield Random(ID_BYTES)), (yield Now())
        made = Claim(id_, core.id, core.holder, now, about, elsewhere=elsewhere)
    made = replace(made, about=about)  # what it was about before may be redacted by now
    read = core.position.head
    try:
        head, standing = yield from claim(core.site, read, key, made, fence=read.fence)
    except BaseException as error:  # it may stand: it is claimed again by the same id
        core.claiming[key] = made
        _require_unredacted(core, error)
        raise
    if same_place(head, core.position.head, core.branch):
        core.position = Position(head, head.token)
    is_ours = standing.id == made.id and is_open(standing)
    if is_ours:
        core.acting.add(key)
    return standing, is_ours


def take_over(core: SessionCore, key: str, old: Claim, about: str) -> Steps[Claim]:
    """Put a session's own claim in the place of one that nobody acts by: there is always one.

    Raises:
        HeadMoved: it is not there any more, or has an outcome; or the state was deleted.
        Redacted: something was redacted since the session read the state.
    """
    assert core.position is not None
    id_, now = (yield Random(ID_BYTES)), (yield Now())
    about = about[: limits.claim_about_chars_max]
    made = Claim(id_, core.id, core.holder, now, about, elsewhere=old.elsewhere)
    read = core.position.head

    def change(head: Head) -> Head:
        found = claims_of(head).get(key)
        if found is not None and found.id == made.id:
            return head  # the answer was lost
        if found is None or found.id != old.id or not is_open(found) or head.fence != read.fence:
            raise HeadMoved(head)
        return with_claim(head, key, made)

    try:
        position = yield from on_any(core.site, core.position, change, core.branch)
    except HeadMoved as moved:
        _require_unredacted(core, moved)
        raise
    except BaseException:  # it may stand: it is claimed again by the same id
        core.claiming[key] = made
        raise
    core.acting.add(key)
    if same_place(position.head, core.position.head, core.branch):
        core.position = position
    return made


def _require_unredacted(core: SessionCore, error: BaseException) -> None:
    """Raise `Redacted` for who met another head, if that is why it may not claim."""
    head = error.head if isinstance(error, HeadMoved) else None
    if head is not None and is_redacted(core, head):
        raise redacted(core) from None


def release_for(core: SessionCore, key: str, claim: Claim) -> Steps[None]:
    """Give back a claim of a session whose action did certainly not happen."""
    assert core.position is not None
    position = yield from release(core.site, core.position, core.branch, key, claim.id)
    core.acting.discard(key)
    if same_place(position.head, core.position.head, core.branch):
        core.position = position


def _newest(site: Site, head: Head) -> Steps[Head]:
    """What there is by now of a life of a state."""
    row = yield ReadHead(site.key)
    return _same_life(site, head, site.head(row) if row is not None else None)


def _same_life(site: Site, before: Head, now: Head | None) -> Head:
    if now is None or now.deleted_us is not None or now.incarnation != before.incarnation:
        raise HeadMoved(now)
    return now


# ---- outcomes -------------------------------------------------------------------------------


def settled(settlings: tuple[Settling, ...], kept: Kept | None, sealed: Sealed, head: Head) -> Head:
    """The head in which claims have the outcomes that a record was saved with.

    What somebody settled meanwhile gives way: who performed the action knows better.
    """
    at = {"ended_us": sealed.time_us, "line": sealed.line, "number": sealed.number}
    return _with_outcomes(head, settlings, kept, at)


def _with_outcomes(
    head: Head, settlings: tuple[Settling, ...], kept: Kept | None, at: dict[str, Any]
) -> Head:
    roots = kept.roots if kept is not None and kept.fits(head) else {}
    for each in settlings:
        found = claims_of(head).get(each.key)
        ours = found if found is not None and found.id == each.claim.id else each.claim
        root = roots.get(each.key)
        result = each.result if root is None else None
        ended = replace(ours, result=result, kept=root, by=each.by, **at)
        head = with_claim(head, each.key, ended)
    if kept is None or not roots:
        return head
    # What refers to new pages begins a new generation: none of them is collected meanwhile.
    return replace(head, generation=head.generation + 1, secret=kept.secret)


def keeping(
    site: Site, settlings: tuple[Settling, ...], fence: int | None = None
) -> Steps[Kept | None]:
    """Put the large ones of some results into pages.

    If pages are collected before the commit, these may be among them: the results go into the head
    then, until maintenance shelves them. So do those of claims that do not stand any more: the
    state may be another life of its key, which they are not of. With a `fence`, nothing is put
    under a head that has another: they may have what was redacted since.
    """
    large = [x for x in settlings if len(x.result) > limits.claim_result_inline_bytes_max]
    row = (yield ReadHead(site.key)) if large else None
    if row is None:
        return None
    head = site.head(row)
    if fence not in (None, head.fence):
        return None
    there = {each.id for each in claims_of(head).values()}
    large = [x for x in large if x.claim.id in there]
    if not large:
        return None
    secret = head.secret or (yield Random(SECRET_BYTES))
    roots: dict[str, Ref] = {}
    for each in large:
        built = build({claimed.RESULT: each.result}, secret)
        yield from put_twice(site, head.incarnation, built.pages)
        roots[each.key] = built.root
    return Kept(roots, head.generation, secret)


def settle(
    site: Site,
    position: Position,
    key: str,
    claim: Claim,
    result: bytes,
    by: str | None,
    *,
    is_sure: bool = False,
    fence: int | None = None,
) -> Steps[Position]:
    """Record that an action happened, with no record of a branch: as a person found out, if `by`.

    Who performed it is sure: what somebody settled or released meanwhile gives way. With a `fence`,
    that of the head which they had read, the result is kept under no other: it may have what was
    redacted since.

    Raises:
        HeadMoved: the claim was released or has an outcome, or the state was deleted.
    """
    now = yield Now()
    at = {"ended_us": now, "line": 0, "number": 0}

    def told(head: Head) -> tuple[Settling, ...]:
        if fence in (None, head.fence):
            return (Settling(key, claim, result, by),)
        from perdure.core.redaction import MARK  # hardly ever

        return (Settling(key, claim, pack(MARK), by),)

    kept = yield from keeping(site, told(position.head), fence)

    def change(head: Head) -> Head:
        found = claims_of(head).get(key)
        if not is_sure and (found is None or found.id != claim.id or not is_open(found)):
            raise HeadMoved(head)
        return _with_outcomes(head, told(head), kept, at)

    return (yield from on_any(site, position, change, MAIN))


def on_any(
    site: Site, position: Position, change: Callable[[Head], Head], branch: str
) -> Steps[Position]:
    """Commit a change of claims, whatever is saved meanwhile: they belong to no branch.

    Raises:
        HeadMoved: by the change itself, or because the state was deleted meanwhile.
    """
    while True:
        try:
            return (yield from commit(site, position, change, branch))
        except HeadMoved as moved:
            now = _same_life(site, position.head, moved.head)
            if now.token == position.token:  # it was the change that refused what was known
                now = yield from _newest(site, now)
            if now.token == position.token:
                raise
            position = Position(now, now.token)


def release(site: Site, position: Position, branch: str, key: str, id_: bytes) -> Steps[Position]:
    """Give a claim back whose action did certainly not happen: it may be made anew then.

    Raises:
        HeadMoved: the state was deleted meanwhile, or the claim has an outcome.
    """

    def change(head: Head) -> Head:
        found = claims_of(head).get(key)
        if found is None or found.id != id_:
            return head  # it is released already: the answer was lost
        if not is_open(found):
            raise HeadMoved(head)
        return without_claims(head, frozenset({key}))

    return (yield from on_any(site, position, change, branch))


def _with_room(site: Site, head: Head) -> Steps[Head]:
    """A head with room for a claim: where no maintenance made it, who claims does."""
    if shelving.is_crowded(head, times=4) and (yield from shelving.shelve(site, head)):
        return (yield from _newest(site, head))
    return head
