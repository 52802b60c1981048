"""Acting on the world once: claim, call and record; and what to do of an unknown outcome (P9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.agent.acts import Acts, Ask, Call, Clock, Edit, NotCalled, Save
from perdure.agent.acts import current_effect as performing
from perdure.core.claims import elsewhere_key, idempotency_key, is_open, origin_of
from perdure.core.codec import pack, unpack
from perdure.core.head import Claim
from perdure.core.values import take
from perdure.engine.claimed import known
from perdure.engine.claims import Settling, claim_for, release_for, settle
from perdure.engine.effects import is_running
from perdure.engine.read import read_head
from perdure.engine.requests import Steps
from perdure.engine.save import HeadMoved, Position
from perdure.engine.view import when
from perdure.errors import (
    AlreadyClaimed,
    EffectRefused,
    NotStorable,
    PerdureError,
    Reload,
    StateDeleted,
    UnknownOutcome,
    UsageError,
)
from perdure.naming import check_key
from perdure.state.sections import RESERVED
from perdure.types import Holder

if TYPE_CHECKING:
    from perdure.session_base import SessionBase


class Effect(msgspec.Struct, frozen=True):
    """One action on the world."""

    name: str
    """Its effect key: what is done once, like "orders/17"."""
    key: str
    """Its idempotency key, for the service: the same at every try, wherever the state is copied."""
    about: str
    """The task and the step that perform it."""
    claimed: datetime | None = None
    """When it was claimed; None: it is not yet."""
    claims: str | None = None
    """Key of the state, shared by many, that it is claimed in too."""


class Happened(msgspec.Struct, frozen=True):
    """What a `reconcile` gives that found out that the action was performed."""

    result: Any = None


class DidNotHappen(msgspec.Struct, frozen=True):
    """What a `reconcile` gives that found out that it was not: it is performed then."""


class CannotTell(msgspec.Struct, frozen=True):
    """What a `reconcile` gives that could not find out."""


Verdict: TypeAlias = Happened | DidNotHappen | CannotTell


def current_effect() -> Effect:
    """The effect that is being performed, inside of its function.

    Raises:
        UsageError: none is.

    Example:
        >>> def pay(order):
        ...     key = perdure.agent.current_effect().key
        ...     return client.refunds.create(order=order, idempotency_key=key)
    """
    effect: Effect | None = performing.get()
    if effect is None:
        raise UsageError("current_effect() is for inside the function that an effect calls")
    return effect


class Terms(msgspec.Struct, frozen=True):
    """How an effect is performed."""

    key: str
    not_done: tuple[type[BaseException], ...] = ()
    """Exceptions that say that the action was not performed."""
    reconcile: Callable[[Effect], Any] | None = None
    """Asks the world about an unknown outcome: gives a `Verdict`, or one to be awaited."""
    repeatable: bool = False
    """Whether it may be called again, as the service knows its key."""
    claims: str | None = None
    """Key of the state that it is claimed in too, shared by many; made if it is not there."""

    @property
    def name(self) -> str:
        """Under which it is claimed in the state that acts."""
        return self.key if self.claims is None else elsewhere_key(self.claims, self.key)


class Place(msgspec.Struct, frozen=True):
    """Where what an effect gave is recorded."""

    about: str
    """The task and the step."""
    record: Callable[[Any, datetime, Effect], None]
    """Writes the record, and what goes with it, into the state; of one that was not claimed too."""


def effect(session: SessionBase[Any], place: Place, terms: Terms, call: Call) -> Acts[Any]:
    """Perform an action on the world at most once, and record what it gave; its result.

    What the record of this branch has is not looked at here: who calls has found none.

    Raises:
        AlreadyClaimed: it was performed elsewhere, or is being.
        UnknownOutcome: whether it was performed is not known.
        EffectRefused: the session may not act on the world.
        TooManyOpen: the state has too many effects of unknown outcome.
        StateDeleted: the state was deleted, or the one that it is claimed in.
        UsageError: no effect can have this key.
        InvalidKey: `claims` is no key of a state.
    """
    try:
        return (yield from _effect_of(session, place, _checked(session, terms), call))
    except HeadMoved:
        raise StateDeleted(
            f"{session.key!r} was deleted while {terms.key!r} was to be performed; open it anew"
        ) from None


def _checked(session: SessionBase[Any], terms: Terms) -> Terms:
    """Terms that can be kept; what is claimed in the state itself is claimed in no other.

    Raises:
        UsageError: no effect can have this key.
        InvalidKey: `claims` is no key of a state.
    """
    if terms.key.startswith(RESERVED):
        raise UsageError(f"{terms.key!r}: keys that start with {RESERVED!r} are the library's own")
    try:
        size = len(terms.key.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the key of an effect holds a lone surrogate: {terms.key!r}") from None
    if size > limits.effect_key_bytes_max:
        raise UsageError(
            f"the key of an effect has at most {limits.effect_key_bytes_max} bytes; this one, "
            f"{terms.key[:40]!r}…, has {size}"
        )
    if terms.claims is None:
        return terms
    check_key(terms.claims)
    return replace(terms, claims=None) if terms.claims == session.key else terms


def _effect_of(session: SessionBase[Any], place: Place, terms: Terms, call: Call) -> Acts[Any]:
    if session._effects != "allow":
        return (yield from _instead(session, place, terms))
    core = session._core
    if core.position is None or core.position.head.deleted_us is not None:
        yield Save("power")  # the claim needs a state to stand in
    with alone(session, terms, place):
        if terms.claims is not None:
            from perdure.agent import elsewhere  # which builds on this

            return (yield from elsewhere.effect(session, place, terms, call))
        while True:
            claim, is_ours = yield Ask(claim_for(core, terms.name, place.about))
            told = _effect(session, place, terms, claim)
            if is_ours:
                return (yield from _perform(session, place, terms, call, claim, told))
            if not is_open(claim):
                return (yield from settled(session, place, terms, claim, told))
            if (yield Ask(is_elsewhere(session, claim))):
                raise running(session, told, Holder(*claim.holder))
            verdict = yield from asked(terms, told)
            match verdict:
                case Happened(result):
                    return (yield from recorded(session, place, terms, claim, told, result))
                case DidNotHappen():
                    yield from _released(session, terms, claim)
                case _:
                    raise _unknown(session, told)


@contextmanager
def alone(session: SessionBase[Any], terms: Terms, place: Place) -> Iterator[None]:
    """Keep the rest of this process from the effect meanwhile, whichever session or state uses it.

    Raises:
        AlreadyClaimed: it is at it.
    """
    site, mine = session._core.site, object()
    process = session._core.holder
    places = [(process, site.store, site.key, terms.name)]
    if terms.claims is not None:
        places.append((process, site.store, terms.claims, terms.key))
    with ExitStack() as held:
        for at in places:
            if session._performing.setdefault(at, mine) is not mine:
                told = _effect(session, place, terms, None)
                raise running(session, told, Holder(*process))
            held.callback(session._performing.pop, at, None)
        yield


def _effect(session: SessionBase[Any], place: Place, terms: Terms, claim: Claim | None) -> Effect:
    position = session._core.position
    origin = origin_of(position.head) if position is not None else b""
    claimed = when(claim.at_us) if claim is not None else None
    about = claim.about if claim is not None else place.about
    return Effect(terms.key, idempotency_key(origin, terms.key), about, claimed)


def _instead(session: SessionBase[Any], place: Place, terms: Terms) -> Acts[Any]:
    """What a session that only explores gets for an effect: nothing is claimed or called."""
    told = _effect(session, place, terms, None)
    if terms.claims is not None:
        from perdure.agent import elsewhere

        told = yield from elsewhere.foreseen(session, place, terms)
    if session._effects == "refuse":
        raise EffectRefused(
            f"{session.key!r}: {place.about} would perform {terms.key!r}, and the session was "
            'opened with effects="refuse"'
        )
    assert callable(session._effects)
    value = take((yield Call(session._effects, (told,))), ("effect", terms.key))
    now = yield Clock()
    yield Edit(partial(place.record, value, now, told))
    yield Save()
    return take(value)


# ---- performing -----------------------------------------------------------------------------


def _perform(
    session: SessionBase[Any], place: Place, terms: Terms, call: Call, claim: Claim, told: Effect
) -> Acts[Any]:
    """Call, and record the outcome; what the call raises leaves it unknown, or releases it."""
    undone: tuple[type[BaseException], ...] = (NotCalled, *terms.not_done)
    try:
        result = yield replace(call, effect=told)
    except undone:
        yield from _released(session, terms, claim)
        raise
    except Exception as error:
        raise _unknown(session, told) from error
    return (yield from recorded(session, place, terms, claim, told, result))


def _released(session: SessionBase[Any], terms: Terms, claim: Claim) -> Acts[None]:
    """Give a claim back, unless a person has settled it meanwhile."""
    try:
        yield Ask(release_for(session._core, terms.name, claim))
    except HeadMoved as moved:
        if moved.head is None or moved.head.deleted_us is not None:
            raise


def recorded(
    session: SessionBase[Any], place: Place, terms: Terms, claim: Claim, told: Effect, result: Any
) -> Acts[Any]:
    """Save the outcome of the claim and the record of the result, in one commit; the result."""
    try:
        value = take(result, ("result",))
    except NotStorable as error:
        yield Save("power", (Settling(terms.name, claim, pack(None)),))
        error.add_note(f"{terms.key!r} was performed all the same, but what it gave is lost")
        raise
    now = yield Clock()
    packed = pack(value)
    try:
        yield Edit(partial(place.record, value, now, told))
    except Exception as error:  # what was done stays known, wherever it could not be recorded
        yield Save("power", (Settling(terms.name, claim, packed),))
        error.add_note(f"{terms.key!r} was performed all the same")
        raise
    try:
        yield Save("power", (Settling(terms.name, claim, packed, claim.by),))
    except Reload as error:  # others saved first: what was done stays known all the same
        became = yield from _settle_alone(session, terms, claim, packed)
        error.add_note(f"{terms.key!r} was performed all the same, and {became}")
        raise
    return unpack(packed)


def _settle_alone(
    session: SessionBase[Any], terms: Terms, claim: Claim, packed: bytes
) -> Acts[str]:
    """Record an outcome with no record of a branch; what became of that, in words.

    The step that comes back to it makes the record.
    """
    site, position = session._core.site, session._core.position
    assert position is not None
    read = position.head
    with suppress(HeadMoved, PerdureError):  # else it is unknown, and told
        head = yield Ask(read_head(site))
        if head.incarnation != read.incarnation:
            return "the state that claimed it is gone"  # another life of its key knows nothing
        at, by, fence = Position(head, head.token), claim.by, read.fence
        steps = settle(site, at, terms.name, claim, packed, by, is_sure=True, fence=fence)
        now = yield Ask(steps)
        if now.head.fence != fence:
            return "that is known, but not what it gave, which may have what was redacted"
        return "that is known"
    return "that could not be recorded"


# ---- what was claimed before ----------------------------------------------------------------


def asked(terms: Terms, told: Effect) -> Acts[Verdict]:
    """What is found out of an unknown outcome."""
    if terms.reconcile is not None:
        verdict = yield Call(terms.reconcile, (told,))
        if not isinstance(verdict, Happened | DidNotHappen | CannotTell):
            raise UsageError(
                f"reconcile gave {verdict!r} for {told.name!r}: give Happened(result), "
                "DidNotHappen() or CannotTell()"
            )
        if not isinstance(verdict, CannotTell):
            return verdict
    return DidNotHappen() if terms.repeatable else CannotTell()


def is_elsewhere(session: SessionBase[Any], claim: Claim) -> Steps[bool]:
    """Whether another process may be performing it."""
    if claim.holder == session._core.holder:
        return False  # this process is not at it: see `alone`
    return (yield from is_running((yield from read_head(session._core.site)), claim))


def settled(
    session: SessionBase[Any], place: Place, terms: Terms, claim: Claim, told: Effect
) -> Acts[Any]:
    """The result that no branch has a record of yet: whom it was claimed for records it here.

    It is what a person found out, or what could not be saved with a record.

    Raises:
        AlreadyClaimed: it is recorded elsewhere already, or another claimed it.
    """
    _, result = yield Ask(known(session._core.site, terms.name))
    about = place.about[: limits.claim_about_chars_max]
    if not claim.number and claim.of is None and claim.about == about:
        return (yield from recorded(session, place, terms, claim, told, result))
    by = f"settled by {claim.by}" if claim.by is not None else f"performed by {claim.about}"
    error = AlreadyClaimed(
        f"{session.key!r}: {told.name!r} was {by} before, and this branch has no record of it: it "
        "was not performed again. `error.result` is what it gave"
    )
    error.result = result
    raise error


def running(session: SessionBase[Any], told: Effect, holder: Holder) -> PerdureError:
    """The error of an effect that a living process is at."""
    since = f", since {told.claimed:%Y-%m-%d %H:%M:%SZ}" if told.claimed is not None else ""
    error = AlreadyClaimed(
        f"{session.key!r}: {told.name!r} is being performed by process {holder.pid} on "
        f"{holder.host}{since}: it was not performed again"
    )
    error.is_running = True
    return error


def _unknown(session: SessionBase[Any], told: Effect) -> PerdureError:
    claimed = f"{told.claimed:%Y-%m-%d %H:%M:%SZ}"
    error = UnknownOutcome(
        f"{session.key!r}: whether {told.name!r} was performed is not known: {told.about} claimed "
        f"it {claimed} and recorded no outcome. It was not repeated. Find out, "
        f"then: perdure effects settle {quote(session.key)} {quote(told.name)} --done RESULT, or "
        "--not-done; or "
        "give reconcile=, or repeatable=True where the service knows its idempotency key"
    )
    error.effect = told
    return error
