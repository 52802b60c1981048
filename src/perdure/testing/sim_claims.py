"""The simulator's effects: actors that claim, act on a world that counts, and record what it gave.

The world is told of each action, as a service would be, and says what was done to it: so who comes
to a claim of its own dead life knows what became of it. However they die, race, move branches and
prune: nothing is done twice, no claim of what was done is forgotten, and an outcome is committed
with the record that has it, or by a person (P9).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from perdure.core.claims import is_open
from perdure.core.codec import pack
from perdure.core.head import MAIN, Claim, Head
from perdure.engine import claimed, claims
from perdure.engine.claims import Settling
from perdure.engine.read import as_of_now, read_head
from perdure.engine.requests import Commit, Committed, ReadHead, Steps, StorageRequest
from perdure.engine.save import HeadMoved, Position
from perdure.engine.session import SessionCore
from perdure.errors import BranchMoved, BranchNotFound, Busy, CommitUnknown
from perdure.testing.model import Broken, require
from perdure.testing.sim_actors import PAGE_KINDS, TRIES_MAX, Script, Upkeep
from perdure.testing.sim_branches import SECOND, Try, begun, mover, open_core, save_one, saver
from perdure.testing.sim_process import Actor
from perdure.testing.sim_pruning import Pruned, pruner, tiring
from perdure.testing.sim_world import KEY, Face


class Performed(msgspec.Struct, frozen=True):
    """What was done to the world."""

    claim: bytes
    """Id of the claim it was done by."""
    result: str


class Claiming(Pruned):
    """A world on which actors act."""

    __slots__ = ("outcomes", "performed", "settled")

    def __post_init__(self) -> None:
        """Make the store; nothing was done yet."""
        super().__post_init__()
        self.performed: dict[str, Performed] = {}
        """By effect key."""
        self.outcomes: dict[str, str] = {}
        """By token of a save, the effect key whose outcome goes with it."""
        self.settled: set[str] = set()
        """Effect keys of which the save with the outcome was acknowledged."""

    def act(self, key: str, claim: Claim, result: str) -> None:
        """An actor acts on the world."""
        require(key not in self.performed, f"P9: {key} was performed twice")
        self.performed[key] = Performed(claim.id, result)

    def is_dead(self, claim: Claim) -> bool:
        """Whether the life of the actor that made a claim is over."""
        _, life, _, name = claim.holder
        return not any(
            (each.name, each.life) == (name, life) and each.steps is not None
            for each in self.actors
        )

    def digest(self) -> tuple[Any, ...]:
        """What was done to the world counts too."""
        return (*super().digest(), tuple(self.performed.items()))

    # ---- what must hold -------------------------------------------------------------------

    def perform(self, request: StorageRequest) -> Any:
        """Answer; and no commit may take a claim away, or bring an outcome without its record."""
        if not isinstance(request, Commit) or request.key != KEY:
            return super().perform(request)
        before = self._claims()
        answer = super().perform(request)
        if isinstance(answer, Committed):
            self._check(before, self._claims(), request)
        return answer

    def _claims(self) -> dict[str, Claim]:
        """Those that there are at this very moment."""
        inside, self.inside = self.inside, None  # who looks is not the one who may die
        try:
            row = self.backend.perform(ReadHead(KEY))
            return self.ask(claimed.every(self.site, self.site.head(row))) if row else {}
        finally:
            self.inside = inside

    def _check(self, before: dict[str, Claim], after: dict[str, Claim], request: Commit) -> None:
        for key, was in before.items():
            now = after.get(key)
            lost = now is None and (key in self.performed or not is_open(was))
            require(not lost, f"P9: the claim of {key} was forgotten")
            is_same = now is None or now.id == was.id or self.may_be_taken_over(was)
            require(is_same, f"P9: {key} was claimed by two")
            reopened = now is not None and is_open(now) and not is_open(was)
            require(not reopened, f"P9: the outcome of {key} was forgotten")
        places = {(row.line, row.number) for row in request.records}
        for key, now in after.items():
            was_open = key not in before or is_open(before[key])
            if was_open and not is_open(now) and now.by is None:
                there = (now.line, now.number) in places or self.may_stand_alone(now)
                require(there, f"P9: the outcome of {key} was committed without its record")

    def may_be_taken_over(self, claim: Claim) -> bool:
        """Whether another claim may come in the place of this one, in one commit."""
        return False

    def may_stand_alone(self, claim: Claim) -> bool:
        """Whether an outcome may be known of which no branch has a record yet."""
        return False

    def settle(self) -> None:
        """Compare with what was done to the world, too."""
        super().settle()
        head = self.ask(read_head(self.site))
        kept = {(each.record.line, each.record.number): each for each in self._all_kept(head)}
        found = self._claims()
        for key, done in self.performed.items():
            claim = found.get(key)
            require(claim is not None, f"P9: {key} was performed, and its claim is not there")
            assert claim is not None
            require(claim.id == done.claim, f"P9: {key} was performed by another claim")
            told = not is_open(claim) or key not in self.settled
            require(told, f"P1: the outcome of {key} was acknowledged, and is not there")
            if is_open(claim):
                continue
            result = self.ask(claimed.result_of(self.site, head, claim))
            require(result == done.result, f"P9: {key} gave {done.result}, and {result} is told")
            record = kept.get((claim.line, claim.number))
            if record is not None:
                names = {self.outcomes.get(token) for token in record.tokens}
                require(key in names, f"P9: the record of the outcome of {key} is another")

    def _all_kept(self, head: Head) -> list[Any]:
        return list(self._kept_runs(head).values())


# ---- actors ---------------------------------------------------------------------------------


def performer(
    world: Claiming, keys: Sequence[str], branch: str = MAIN, *, merges: bool = False
) -> Script:
    """Perform these effects, each unless it was or is being; and save what it gave."""

    def work(actor: Actor) -> Steps[None]:
        core = yield from open_core(actor, branch, merges)
        for key in keys:
            claim, is_to_act = yield from _claimed(world, core, key, actor)
            if is_to_act:
                yield from _act(world, key, claim, actor)
            if claim is not None:
                yield from _record(world, core, key, claim, actor)

    def safely(actor: Actor) -> Steps[None]:
        with suppress(BranchNotFound, BranchMoved):  # what was done stays unknown, and is told
            yield from work(actor)

    return safely


def _claimed(
    world: Claiming, core: SessionCore, key: str, actor: Actor
) -> Steps[tuple[Claim, bool] | tuple[None, bool]]:
    """A claim to record the outcome of, and whether to act first; None: it is another's affair."""
    for _ in range(TRIES_MAX):
        try:
            claim, is_ours = yield from claims.claim_for(core, key, actor.name)
            if is_ours:
                return claim, True
            if not is_open(claim):
                yield from _compare(world, core, key)
                return None, False
            if claim.holder[3] != actor.name or not world.is_dead(claim):
                return None, False
            if key in world.performed:  # by a life that is over: the world says so
                return claim, False
            yield from claims.release_for(core, key, claim)
        except (CommitUnknown, Busy, HeadMoved):
            continue
    raise Broken(f"{actor.name} could not claim {key} in {TRIES_MAX} tries")


def _compare(world: Claiming, core: SessionCore, key: str) -> Steps[None]:
    """Who comes second is told what it gave."""
    claim, result = yield from claimed.known(core.site, key)
    if claim is not None and not is_open(claim):
        done = world.performed.get(key)
        told = done is not None and done.result == result
        require(told, f"P9: {key} gave {done}, and {result} is told")


def _act(world: Claiming, key: str, claim: Claim | None, actor: Actor) -> Steps[None]:
    assert claim is not None
    yield ReadHead(KEY)  # it may die before the call,
    size = actor.draws.choice((1, 20))
    world.act(key, claim, f"{key} by {actor.name}.{actor.life} " * size)
    yield ReadHead(KEY)  # and after it


def _record(
    world: Claiming, core: SessionCore, key: str, claim: Claim, actor: Actor
) -> Steps[None]:
    """Save what an effect gave, on top of whatever others saved."""
    packed = pack(world.performed[key].result)
    for number in range(TRIES_MAX):
        attempt = Try(core.branch, f"{actor.name}.{actor.life}.{key}.{number}")
        world.outcomes[attempt.token] = key
        settles = (Settling(key, claim, packed),)
        if (yield from save_one(world, core, attempt, ending=False, settles=settles)):
            world.settled.add(key)
            return
    raise Broken(f"{actor.name} could not save what {key} gave in {TRIES_MAX} tries")


def person(world: Claiming, rounds: int) -> Script:
    """Settle what is unknown: somebody asks the world about claims whose makers are gone."""

    def work(actor: Actor) -> Steps[None]:
        for _ in range(rounds):
            found = yield from as_of_now(actor.site, lambda head: claimed.every(actor.site, head))
            for key, claim in found.items():
                if is_open(claim) and world.is_dead(claim):
                    with suppress(CommitUnknown, Busy, HeadMoved):
                        yield from _find_out(world, actor, key, claim)

    return work


def _find_out(world: Claiming, actor: Actor, key: str, claim: Claim) -> Steps[None]:
    head = yield from read_head(actor.site)
    position, done = Position(head, head.token), world.performed.get(key)
    if done is None:
        yield from claims.release(actor.site, position, MAIN, key, claim.id)
    else:
        yield from claims.settle(actor.site, position, key, claim, pack(done.result), "ann")


# ---- worlds ---------------------------------------------------------------------------------

EFFECTS = 4


def every_claim(face: Face, *, races: bool) -> Claiming:
    """Where all schedules are run: one performer, or two that race for an effect."""
    world = begun(Claiming(face, "all"), 2)
    for name in ("a1", "a2") if races else ("a1",):
        world.add(name, performer(world, ("e1",), MAIN if name == "a1" else SECOND))
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Claiming:
    """Performers that race for the same effects on two branches; and all that moves and prunes."""
    world = begun(Claiming(face, seed), chance.randint(2, 4))
    names = [f"e{number}" for number in range(1, chance.randint(1, EFFECTS * saves) + 1)]
    for number in range(1, chance.randint(2, 3) + 1):
        keys = chance.sample(names, chance.randint(1, len(names)))
        branch = chance.choice((MAIN, MAIN, SECOND))
        script = performer(world, keys, branch, merges=chance.random() < 0.4)
        world.add(f"a{number}", tiring(script))
    if chance.random() < 0.5:
        world.add("saver", saver(world, chance.randint(1, saves)))
    if chance.random() < 0.5:  # who looks often enough to meet what is unknown
        world.add("person", tiring(person(world, chance.randint(5, 25))))
    if chance.random() < 0.6:
        world.add("mover", mover(world, chance.randint(1, 4)))
    if chance.random() < 0.4:
        world.add("pruner", pruner(world, chance.randint(1, 2)))
    for number in range(1, chance.randint(0, 2) + 1):
        kinds = chance.choice((("maintain", "step", "collect", "verify"), PAGE_KINDS))
        world.add(f"upkeep {number}", tiring(Upkeep(world, chance.randint(1, 6), kinds)))
    return world
