"""Acting on the world once among many states: the claim stands here, and in one that they share."""

from __future__ import annotations

from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from perdure.agent import effects
from perdure.agent.acts import Acts, Ask, Call, NotCalled
from perdure.agent.effects import CannotTell, DidNotHappen, Effect, Happened, Place, Terms, Verdict
from perdure.core.claims import idempotency_key, is_open
from perdure.core.codec import pack
from perdure.core.head import Claim, Life
from perdure.core.values import take
from perdure.engine import elsewhere
from perdure.engine.claims import claim_for, release_for, take_over
from perdure.engine.effects import is_running
from perdure.engine.elsewhere import Gone, There
from perdure.engine.read import read_head
from perdure.engine.requests import Steps
from perdure.engine.save import HeadMoved
from perdure.engine.view import when
from perdure.errors import AlreadyClaimed, NotStorable, PerdureError, Retryable, UnknownOutcome
from perdure.types import Holder

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Running(msgspec.Struct, frozen=True):
    """A living process is at it."""


class Right(msgspec.Struct, frozen=True):
    """An effect that is claimed here, and what it takes to go on from there."""

    session: SessionBase[Any]
    place: Place
    terms: Terms
    claim: Claim
    """Here; that there has its id."""
    is_new: bool
    """Whether it was made now: nobody has called yet."""

    @property
    def life(self) -> Life:
        """Of the state that is shared."""
        assert self.claim.elsewhere is not None
        return self.claim.elsewhere

    def told(self, there: Claim | None = None) -> Effect:
        """What is told of it; of another's claim there, what that says."""
        claim = there or self.claim
        key = idempotency_key(self.life.origin, self.terms.key)
        return Effect(self.terms.key, key, claim.about, when(claim.at_us), self.life.key)

    def is_ours(self, there: Claim | None) -> bool:
        """Whether what stands there was claimed by this state."""
        position = self.session._core.position
        assert position is not None
        return elsewhere.is_same(position.head, self.claim, there)


def effect(session: SessionBase[Any], place: Place, terms: Terms, call: Call) -> Acts[Any]:
    """As `perdure.agent.effects.effect`, of what is claimed in another state too."""
    assert terms.claims is not None
    core = session._core
    while True:
        life = yield Ask(elsewhere.shared(core, terms.claims))
        claim, is_new = yield Ask(claim_for(core, terms.name, place.about, life))
        right = Right(session, place, terms, claim, is_new)
        if not is_open(claim):
            return (yield from effects.settled(session, place, terms, claim, right.told()))
        if not is_new and (yield Ask(effects.is_elsewhere(session, claim))):
            raise _running(right, claim)
        try:
            right = yield from _taken(right)
            if found := (yield from _attempted(right, call)):
                return found[0]
        except HeadMoved as moved:
            if moved.head is None or moved.head.deleted_us is not None:
                raise
            # Somebody has settled or released it meanwhile.


def _taken(right: Right) -> Acts[Right]:
    """Take the claim here over, if it never came to the call, or was found not to have."""
    if right.is_new:
        return right
    core, terms = right.session._core, right.terms
    try:
        there = yield Ask(elsewhere.look(core.site, right.life, terms.key))
    except Gone:
        return right
    if right.is_ours(there.claim):
        return right
    made = yield Ask(take_over(core, terms.name, right.claim, right.place.about))
    return replace(right, claim=made, is_new=True)


def foreseen(session: SessionBase[Any], place: Place, terms: Terms) -> Acts[Effect]:
    """What would be told of an effect, if it were claimed; nothing is."""
    assert terms.claims is not None
    life = yield Ask(elsewhere.standing(session._core.site, terms.claims))
    origin = life.origin if life is not None else b""
    key = idempotency_key(origin, terms.key)
    return Effect(terms.key, key, place.about, claims=terms.claims)


def _attempted(right: Right, call: Call) -> Acts[tuple[Any] | None]:
    """What the action gave, in a tuple of its own; None: the right was given back, begin anew."""
    core = right.session._core
    try:
        if right.is_new:
            made = yield Ask(elsewhere.claim_there(core, right.terms.name, right.claim))
            if made.id == right.claim.id and is_open(made):
                return ((yield from _perform(right, made, call)),)
        there = yield Ask(elsewhere.look(core.site, right.life, right.terms.key))
    except Gone:
        if right.is_new:
            yield from _release_here(right)
            raise elsewhere.deleted(right.life.key) from None
        return (yield from _judged(right, None, (yield from _asked(right, None))))
    if there.claim is None:  # who was at it has given it back
        if right.is_new:
            yield from _release_here(right)
        return None
    return (yield from _judged(right, there.claim, (yield from _verdict(right, there))))


def _verdict(right: Right, there: There) -> Acts[Verdict | Running]:
    """What is known, or found out, of a claim there."""
    assert there.claim is not None
    if not is_open(there.claim):
        return Happened(there.result)
    if there.claim.id != right.claim.id:
        known = yield Ask(_known(right, there.claim))
        if known is not None and known.claim is not None and not is_open(known.claim):
            return Happened(known.result)  # who performed it could not tell of it there
        if (yield Ask(_is_at_it(right, there.claim))):
            return Running()
    return (yield from _asked(right, there.claim))


def _asked(right: Right, there: Claim | None) -> Acts[Verdict]:
    return (yield from effects.asked(right.terms, right.told(there)))


def _known(right: Right, there: Claim) -> Steps[There | None]:
    """What the state that made a claim knows of it."""
    site = elsewhere.site_of(right.session._core.site, right.life.key)
    head = yield from read_head(site)
    return (yield from elsewhere.counterpart(site, head, right.terms.key, there))


def _is_at_it(right: Right, there: Claim) -> Steps[bool]:
    """Whether another process may be performing what stands there."""
    site = right.session._core.site
    if there.holder == right.session._core.holder:
        return False  # this process is not at it: see `effects.alone`
    head = yield from read_head(elsewhere.site_of(site, right.life.key))
    return (yield from is_running(head, there))


def _judged(
    right: Right, there: Claim | None, verdict: Verdict | Running
) -> Acts[tuple[Any] | None]:
    """Do what follows from a verdict; `there` is None where the life of that state is no more."""
    is_ours = there is None or right.is_ours(there)
    match verdict:
        case Happened(result):
            if there is not None and is_open(there):
                yield from _settle_there(right, there, result)
            if is_ours:
                return ((yield from _recorded(right, result)),)
        case DidNotHappen():
            if there is not None:
                yield from _release_there(right, there)
    if not is_ours or isinstance(verdict, DidNotHappen):
        yield from _release_here(right)
    match verdict:
        case Happened(result):
            raise _performed(right, there, result)
        case Running():
            raise _running(right, there or right.claim)
        case CannotTell():
            raise _unknown(right, there)
    return None


# ---- performing -----------------------------------------------------------------------------


def _perform(right: Right, there: Claim, call: Call) -> Acts[Any]:
    """Call, and record the outcome: there first, so that nobody repeats it."""
    undone: tuple[type[BaseException], ...] = (NotCalled, *right.terms.not_done)
    try:
        result = yield replace(call, effect=right.told())
    except undone:
        try:
            yield from _release_there(right, there)
            yield from _release_here(right)
        except HeadMoved:
            pass  # a person has settled it meanwhile
        raise
    except Exception as error:
        raise _unknown(right, there) from error
    with suppress(Retryable):  # what it gave is recorded here then, where all others look too
        yield from _settle_there(right, there, result, is_sure=True)
    return (yield from _recorded(right, result))


def _recorded(right: Right, result: Any) -> Acts[Any]:
    parts = right.session, right.place, right.terms, right.claim, right.told(), result
    return (yield from effects.recorded(*parts))


def _settle_there(right: Right, there: Claim, result: Any, *, is_sure: bool = False) -> Acts[None]:
    try:
        packed = pack(take(result, ("result",)))
    except NotStorable:
        packed = pack(None)  # whoever records it here is told
    core, life, key = right.session._core, right.life, right.terms.key
    steps = elsewhere.record_there(core.site, life, key, there, packed, is_sure=is_sure)
    with suppress(Gone):  # nobody is kept from it there any more, by whom deleted that
        yield Ask(steps)
    if there.id == right.claim.id:
        core.acting_there.discard((life, key))


def _release_there(right: Right, there: Claim) -> Acts[None]:
    core, life, key = right.session._core, right.life, right.terms.key
    with suppress(Gone):
        yield Ask(elsewhere.release_there(core.site, life, key, there.id))
    if there.id == right.claim.id:
        core.acting_there.discard((life, key))


def _release_here(right: Right) -> Acts[None]:
    yield Ask(release_for(right.session._core, right.terms.name, right.claim))


# ---- what is told ---------------------------------------------------------------------------


def _performed(right: Right, there: Claim | None, result: Any) -> PerdureError:
    assert there is not None
    state = f"of {there.of.key!r} " if there.of is not None else ""
    by = f"settled by {there.by}" if there.by is not None else f"performed by {there.about}"
    error = AlreadyClaimed(
        f"{right.session.key!r}: {right.terms.key!r} in {right.life.key!r} was {by} {state}before: "
        "it was not performed again. `error.result` is what it gave"
    )
    error.result = result
    return error


def _running(right: Right, there: Claim) -> PerdureError:
    return effects.running(right.session, right.told(there), Holder(*there.holder))


def _unknown(right: Right, there: Claim | None) -> PerdureError:
    told = right.told(there)
    of = there.of if there is not None else None
    who = told.about if of is None else f"{told.about} of {of.key!r}"
    gone = f" {right.life.key!r} was deleted since." if there is None else ""
    error = UnknownOutcome(
        f"{right.session.key!r}: whether {right.terms.key!r} in {right.life.key!r} was performed "
        f"is not known: {who} claimed it {told.claimed:%Y-%m-%d %H:%M:%SZ} and recorded no "
        f"outcome.{gone} It was not repeated. Find out, then: {_way_out(right, there)}; or give "
        "reconcile=, or repeatable=True where the service knows its idempotency key"
    )
    error.effect = told
    return error


def _way_out(right: Right, there: Claim | None = None) -> str:
    """The command that settles it: for all that share it, where that is there."""
    key, life = quote(right.terms.key), quote(right.life.key)
    where = f"{life} {key}" if there is not None else f"{right.session.key} {key} --claims {life}"
    return f"perdure effects settle {where} --done RESULT, or --not-done"
