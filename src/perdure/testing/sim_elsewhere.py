"""The simulator's effects in a state that many share: agents of several states that race for them.

They run what `perdure.agent` does, act by act, and die at any request of it. As in
`perdure.testing.sim_claims`, the world says what was done to it, to whoever comes to the claim of
a life that is over. However they die and race: nothing is done twice, whoever did it has a claim
here and there, and all are told of one result (P9).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from perdure.agent.acts import Acts, Ask, Call, Clock, Edit, Save
from perdure.agent.effects import (
    CannotTell,
    DidNotHappen,
    Effect,
    Happened,
    Place,
    Terms,
    Verdict,
    effect,
)
from perdure.core.claims import is_open
from perdure.core.head import MAIN, Claim
from perdure.engine import audit, claimed
from perdure.engine.claims import Settling
from perdure.engine.read import Site, read_head
from perdure.engine.rebase import saving
from perdure.engine.requests import Commit, Now, ReadHead, Steps, StorageRequest
from perdure.engine.save import Unknowable
from perdure.engine.session import SessionCore
from perdure.engine.view import when
from perdure.errors import (
    AlreadyClaimed,
    BranchMoved,
    BranchNotFound,
    Busy,
    CommitUnknown,
    Conflict,
    UnknownOutcome,
)
from perdure.state.document import Document
from perdure.testing.model import Broken, require
from perdure.testing.sim_actors import TRIES_MAX, Script, Upkeep
from perdure.testing.sim_branches import COUNT, LOG, SECOND, Try, begun, mover, open_core, saver
from perdure.testing.sim_claims import Claiming
from perdure.testing.sim_process import Actor
from perdure.testing.sim_pruning import pruner, tiring
from perdure.testing.sim_world import KEY, STORE, Face

SHARED, OTHER = "shared", "other"
"""Keys of the state that many share, and of the second one that acts."""


class Sharing(Claiming):
    """A world on which agents of several states act."""

    __slots__ = ("done", "recorded")

    def __post_init__(self) -> None:
        """Make the store; nothing was done yet."""
        super().__post_init__()
        self.done: dict[str, str] = {}
        """What each effect gave."""
        self.recorded: set[tuple[str, str]] = set()
        """State and effect key of what an agent was given as recorded by itself."""

    def lives(self, about: str) -> bool:
        """Whether the life of an agent that a claim tells of goes on."""
        return any(
            f"{each.name}.{each.life}" == about and each.steps is not None for each in self.actors
        )

    def digest(self) -> tuple[Any, ...]:
        """What was done to the world counts too."""
        return (*super().digest(), tuple(self.done.items()), frozenset(self.recorded))

    def perform(self, request: StorageRequest) -> Any:
        """Answer; and no commit may take away a claim by which something was done."""
        if not isinstance(request, Commit):
            return super().perform(request)
        before = self.claims_in(request.key)
        answer = super().perform(request)
        after = self.claims_in(request.key)
        for name, was in before.items():
            effect_key = name.rpartition(" ")[2]
            if effect_key not in self.done:
                continue
            told = self.done[effect_key].split(" by ")[1].split(" ")[0]
            lost = name not in after and was.about == told
            require(not lost, f"P9: the claim of {name} in {request.key} was forgotten")
        return answer

    def claims_in(self, key: str) -> dict[str, Claim]:
        """Those of a state at this very moment."""
        inside, self.inside = self.inside, None  # who looks is not the one who may die
        try:
            row, site = self.backend.perform(ReadHead(key)), Site(STORE.store_id, key)
            return self.ask(claimed.every(site, site.head(row))) if row else {}
        finally:
            self.inside = inside

    def may_be_taken_over(self, claim: Claim) -> bool:
        """One that stands in another state too: what stands there keeps others from acting.

        Who takes one of a dead life over and who was taken for dead may both record the outcome.
        """
        return claim.elsewhere is not None

    def may_stand_alone(self, claim: Claim) -> bool:
        """One whose save met what others had saved first: who comes back to it records it."""
        return not claim.number

    def settle(self) -> None:
        """Compare with what was done to the world, here and there."""
        super().settle()
        for key in self.keys():
            found = self.ask(audit.verify(Site(STORE.store_id, key)))
            require(found.ok, f"P5: {key} does not verify: {found.problem}")
        there = self.claims_in(SHARED)
        site = Site(STORE.store_id, SHARED)
        for key, result in self.done.items():
            claim = there.get(key)
            require(claim is not None, f"P9: {key} was performed, and no claim tells of it")
            assert claim is not None
            require(claim.of is not None, f"P9: no state made the claim of {key}")
            assert claim.of is not None
            if is_open(claim):
                here = self.claims_in(claim.of.key).get(f"perdure.in {SHARED} {key}")
                require(
                    here is not None and here.id == claim.id,
                    f"P9: {key} is unknown, and {claim.of.key} does not tell of it",
                )
                continue
            told_result = self.ask(claimed.result_of(site, self.ask(read_head(site)), claim))
            require(told_result == result, f"P9: {key} gave {result}, and {told_result} is told")
        for state, key in self.recorded:
            claim = self.claims_in(state).get(f"perdure.in {SHARED} {key}")
            known = claim is not None and not is_open(claim)
            require(known, f"P1: the outcome of {key} was acknowledged, and {state} has none")


# ---- an agent's session, and its acts -------------------------------------------------------


class _Session:
    """What `perdure.agent` needs of a session."""

    _effects = "allow"

    def __init__(self, core: SessionCore) -> None:
        assert isinstance(core.document, Document)
        self._core = core
        self._document = core.document
        self.key = core.site.key
        self._performing: dict[Any, Any] = {}  # each life is a process of its own


def agent(
    world: Sharing, keys: Sequence[str], state: str = KEY, branch: str = MAIN, *, merges: bool
) -> Script:
    """Come to these effects until it is known what each gave, or that nobody can tell."""

    def work(actor: Actor) -> Steps[None]:
        actor.site = Site(STORE.store_id, state, actor.site.cache)
        core = yield from open_core(actor, branch, merges)
        for key in keys:
            for number in range(TRIES_MAX):
                tried = f"{actor.name}.{actor.life}.{key}.{number}"
                if (yield from _try(world, actor, core, key, tried)):
                    break
            else:
                raise Broken(f"{actor.name} did not come to an end of {key}")

    def safely(actor: Actor) -> Steps[None]:
        with suppress(BranchNotFound, BranchMoved):  # what was done stays unknown, and is told
            yield from work(actor)

    return safely


def _try(world: Sharing, actor: Actor, core: SessionCore, key: str, tried: str) -> Steps[bool]:
    """Whether an agent is through with an effect."""
    attempt = Try(core.branch, tried) if core.site.key == KEY else None
    about = f"{actor.name}.{actor.life}"

    def record(value: Any, now: datetime, told: Effect) -> None:
        if attempt is not None:
            world.tries[attempt.token] = attempt
            log = _state(core).setdefault(LOG, [])
            log.append(attempt.token)
            _state(core)[COUNT] = len(log)
        else:
            _state(core)[key] = value

    place = Place(about, record)
    terms = Terms(key, claims=SHARED, reconcile=partial(_reconciled, world, key, about))
    acts = effect(_Session(core), place, terms, Call(_act, (world, actor, key)))  # type: ignore[arg-type]  # it has all that is needed
    try:
        result = yield from _performed(world, core, acts, attempt)
    except AlreadyClaimed as error:
        if not error.is_running:
            require(error.result == world.done.get(key), f"P9: {key} is told as {error.result}")
        return True
    except UnknownOutcome:
        return True
    except (Conflict, Unknowable):
        yield from _gave_up(core)
        return False
    except (CommitUnknown, Busy):
        return False
    require(result == world.done.get(key), f"P9: {key} is recorded as {result}")
    world.recorded.add((core.site.key, key))
    return True


def _state(core: SessionCore) -> Any:
    assert isinstance(core.document, Document)
    return core.document.state


def _gave_up(core: SessionCore) -> Steps[None]:
    """Take in what others saved, as whoever met a conflict does."""
    for _ in range(TRIES_MAX):
        with suppress(CommitUnknown, Busy):
            yield from core.refresh(keep_changes=False)
            return
    raise Broken("others' saves could not be taken in")


def _act(world: Sharing, actor: Actor, key: str) -> Steps[str]:
    yield ReadHead(KEY)  # it may die before the call,
    require(key not in world.done, f"P9: {key} was performed twice")
    size = actor.draws.choice((1, 20))
    world.done[key] = f"{key} by {actor.name}.{actor.life} " * size
    yield ReadHead(KEY)  # and after it
    return world.done[key]


def _reconciled(world: Sharing, key: str, about: str, told: Effect) -> Steps[Verdict]:
    """Ask the world; of what another is at, nothing is known before it is done."""
    yield ReadHead(SHARED)
    if key in world.done:
        return Happened(world.done[key])
    return CannotTell() if told.about != about and world.lives(told.about) else DidNotHappen()


def _performed(
    world: Sharing, core: SessionCore, acts: Acts[Any], attempt: Try | None
) -> Steps[Any]:
    """Do the acts of an effect to their end, as `perdure.agent.perform` does."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            act = acts.send(answer) if error is None else acts.throw(error)
        except StopIteration as stop:
            return stop.value
        answer, error = None, None
        try:
            answer = yield from _done(world, core, act, attempt)
        except AssertionError:
            raise  # a promise was broken: that is no failure of the action
        except Exception as raised:
            error = raised


def _done(world: Sharing, core: SessionCore, act: Any, attempt: Try | None) -> Steps[Any]:
    match act:
        case Ask(steps):
            return (yield from steps)
        case Call(function, args):
            return (yield from function(*args))
        case Clock():
            return when((yield Now()))
        case Edit(function):
            return function()
        case Save(_, settles):
            return (yield from _saved(world, core, attempt, settles))
    raise TypeError(f"no act: {act!r}")


def _saved(
    world: Sharing, core: SessionCore, attempt: Try | None, settles: tuple[Settling, ...]
) -> Steps[None]:
    body = core.stage(settles=settles)
    assert body is not None
    for _ in range(TRIES_MAX):
        with suppress(CommitUnknown, Busy):
            saves = partial(core.flush, "power")
            yield from saving(core, saves) if core.merges else saves()
            if attempt is not None:
                attempt.told = body.saved
            return
    raise Broken(f"what {core.site.key} did could not be saved in {TRIES_MAX} tries")


# ---- worlds ---------------------------------------------------------------------------------


def every_sharing(face: Face, *, races: bool) -> Sharing:
    """Where all schedules are run: one agent, or two of two states that race for an effect.

    Those that race go from one of their commits to the next in one go.
    """
    world = begun(Sharing(face, "all"), 2)
    world.add("a1", agent(world, ("s1",), merges=False))
    if races:
        world.add("a2", agent(world, ("s1",), OTHER, merges=False))
        world.hurried, world.sorts_reads = tuple(world.actors), True
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Sharing:
    """Agents of two states and two branches that race for effects, among all that moves."""
    world = begun(Sharing(face, seed), chance.randint(2, 4))
    names = [f"s{number}" for number in range(1, chance.randint(1, 2 * saves) + 1)]
    for number in range(1, chance.randint(2, 4) + 1):
        keys = chance.sample(names, chance.randint(1, len(names)))
        state, branch = chance.choice(((KEY, MAIN), (KEY, SECOND), (OTHER, MAIN), (OTHER, MAIN)))
        script = agent(world, keys, state, branch, merges=chance.random() < 0.4)
        world.add(f"a{number}", tiring(script))
    if chance.random() < 0.4:
        world.add("saver", saver(world, chance.randint(1, saves)))
    if chance.random() < 0.4:
        world.add("mover", mover(world, chance.randint(1, 3)))
    if chance.random() < 0.3:
        world.add("pruner", pruner(world, 1))
    for key in (KEY, SHARED):
        if chance.random() < 0.4:
            world.add(f"upkeep of {key}", tiring(_upkeep(world, key, chance.randint(1, 4))))
    return world


def _upkeep(world: Sharing, key: str, rounds: int) -> Script:
    upkeep = Upkeep(world, rounds, ("maintain", "step", "collect"))

    def work(actor: Actor) -> Steps[None]:
        actor.site = Site(STORE.store_id, key, actor.site.cache)
        yield from upkeep(actor)

    return work
