"""The simulator's erasers: states that are erased while others write, copy and maintain them (P8).

Whatever is erased by an eraser that was told so is gone at the end, and whatever was acknowledged
to a writer is there, or its life was erased. What came late brought nothing back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from perdure.backends import object_erased
from perdure.backends.memory import Tables
from perdure.core.head import MAIN, lives
from perdure.engine import erase as erase_steps
from perdure.engine import load, maintain, states
from perdure.engine.erase import Wish, erase
from perdure.engine.read import Site
from perdure.engine.requests import (
    Commit,
    Committed,
    ListErased,
    ListHeld,
    ListStaged,
    PutPages,
    ReadErased,
    ReadHead,
    ReadKeys,
    Stage,
    Steps,
    StorageRequest,
)
from perdure.errors import (
    Busy,
    CommitUnknown,
    Conflict,
    Damaged,
    KeyMissing,
    StateDeleted,
    StateExists,
    StateNotFound,
)
from perdure.state.document import Document
from perdure.testing.model import require
from perdure.testing.sim_actors import Script
from perdure.testing.sim_branches import COUNT, LOG, open_core
from perdure.testing.sim_plants import Bug
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import Face, World

LIVES_MAX = 8
EXPECTED = Busy, CommitUnknown, Conflict, StateDeleted, StateExists, StateNotFound


class Erasures(World):
    """A world in which states are erased."""

    __slots__ = ("acknowledged", "erased", "families")

    def __post_init__(self) -> None:
        """Make the store; nothing was saved to it yet."""
        super().__post_init__()
        self.acknowledged: dict[str, tuple[str, bytes]] = {}
        """By token of a save that was told to have landed: its key, and the life it is in."""
        self.erased: set[bytes] = set()
        """The lives that an eraser was told to be gone."""
        self.families: set[str] = {self.site.key}
        """The keys that are used."""

    def perform(self, request: StorageRequest) -> Any:
        """Answer; and nothing may be stored of a life that has a receipt (P8)."""
        answer = super().perform(request)
        if isinstance(request, PutPages | Stage | Commit):
            of = request.tail if isinstance(request, Commit) else request
            life = of.incarnation
            is_done = answer is None or isinstance(answer, Committed)
            has_receipt = is_done and self.backend.perform(ReadErased((life,)))
            what = f"P8: {type(request).__name__} stored something of {life.hex()[:8]}"
            require(not has_receipt, f"{what}, which was erased")
        return answer

    def observe(self) -> None:
        """No reader ever sees part of a state that is being erased: whole, or not there."""
        try:
            loaded = self.ask(load.load(self.site))
        except AssertionError as error:
            raise AssertionError(f"P8: a reader met {error}") from error
        if loaded is not None:
            log = loaded.sections.get(LOG, [])
            require(len(log) == loaded.sections.get(COUNT, 0), "P2: part of a checkpoint was seen")

    def settle(self) -> None:
        """Let what is late arrive, and maintenance end what was begun; look for what is left."""
        self._land_late(max((at for at, _ in self.late), default=0))
        self.ask(maintain.discard_abandoned(self.site.store))
        receipts = {each.incarnation for each in self.backend.perform(ListErased(None, 10_000))}
        missing = self.erased - receipts
        require(not missing, f"P7: {len(missing)} erasures have no receipt")
        for each in sorted(receipts):
            held = [row for row in self._held(each) if row.incarnation == each]
            require(not held, f"P8: of {each.hex()[:8]} there are still {held}")
            keys = self.backend.perform(ReadKeys((each,)))
            require(not keys, f"P8: the key of {each.hex()[:8]} is still there")
        staged = {each for each, _ in self.backend.perform(ListStaged())} & receipts
        require(not staged, f"P8: {len(staged)} erased lives are staged")
        self._check_states(receipts)
        self._check_strays(receipts)

    def _check_strays(self, receipts: set[bytes]) -> None:
        """Nothing is held of a life that no head has any more, unless it is a staging."""
        heads = [
            Site(self.site.store, key).head(row)
            for key in self.keys()
            if (row := self.backend.perform(ReadHead(key))) is not None
        ]
        known = {life.incarnation for head in heads for life in lives(head)}
        known |= {each for each, _ in self.backend.perform(ListStaged())}
        held = {each.incarnation for each in self.backend.perform(ListHeld(b"", 10_000))}
        strays = {each.hex()[:8] for each in held - known}
        require(not strays, f"P8: {strays} are held, though no head has them")

    def digest(self) -> tuple[Any, ...]:
        """What is left beside heads counts, too."""
        perform = self.backend.perform
        beside = perform(ListErased(None, 1000)), perform(ListHeld(b"", 1000))
        return *super().digest(), hash((*beside, perform(ListStaged())))

    def _held(self, incarnation: bytes) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self.backend.perform(ListHeld(incarnation, 1))
        return found

    def _check_states(self, receipts: set[bytes]) -> None:
        """What is there is whole, is of no life that was erased, and has all that was told."""
        there: dict[bytes, list[str]] = {}
        hidden: set[bytes] = set()
        for key in sorted(self.families):
            row = self.backend.perform(ReadHead(key))
            if row is None:
                continue
            head = Site(self.site.store, key).head(row)
            for each in lives(head):
                known = each.incarnation in receipts
                require(not known or each is not head, f"P8: {key} is of a life that was erased")
                hidden |= {each.incarnation} if each.deleted_us is not None else set()
            loaded = self.ask(load.load(Site(self.site.store, key)))
            if loaded is not None:
                there[head.incarnation] = loaded.sections.get(LOG, [])
        for token, (key, life) in self.acknowledged.items():
            is_kept = token in there.get(life, ()) or life in hidden
            require(is_kept or life in receipts, f"P1: {token} of {key} is lost, and not erased")


# ---- actors ---------------------------------------------------------------------------------


def writer(world: Erasures, saves: int) -> Script:
    """Open the state and save to it, so many times; if it was erased meanwhile, anew."""

    def work(actor: Actor) -> Steps[None]:
        for number in range(saves if actor.life <= LIVES_MAX else 0):
            try:
                yield from _save(world, actor, number)
            except EXPECTED:
                continue
            except (Damaged, KeyMissing):
                if not (yield from _is_erased(world, actor.site)):
                    raise

    return work


def _save(world: Erasures, actor: Actor, number: int) -> Steps[None]:
    core = yield from open_core(actor, MAIN)
    document = core.document
    assert isinstance(document, Document)
    for part in range(2):
        token = f"{actor.name}.{actor.life}.{number}.{part}"
        document.state.setdefault(LOG, []).append(token)
        document.state[COUNT] = len(document.state[LOG])
        body = core.stage()
        assert body is not None
        yield from core.flush("power")
        assert core.position is not None
        world.acknowledged[token] = actor.site.key, core.position.head.incarnation


def _is_erased(world: Erasures, site: Site) -> Steps[bool]:
    """Whether anything was erased: a reader that was under way may find rows gone then."""
    rows = yield ListErased(None, 1)
    return bool(rows)


def eraser(world: Erasures, rounds: int) -> Script:
    """Erase the state, so many times; who dies at it goes on in its next life."""

    def work(actor: Actor) -> Steps[None]:
        for _ in range(rounds if actor.life <= LIVES_MAX else 0):
            try:
                told = yield from erase(actor.site, Wish(force=True))
            except EXPECTED:
                continue
            world.erased |= {bytes.fromhex(each.incarnation) for each in told.lives}

    return work


def upkeep(world: Erasures, rounds: int) -> Script:
    """Maintain the state, so many times."""

    def work(actor: Actor) -> Steps[None]:
        for _ in range(rounds if actor.life <= LIVES_MAX else 0):
            try:
                yield from maintain.maintain(actor.site, full=True)
            except EXPECTED:
                continue
            except (Damaged, KeyMissing):
                if not (yield from _is_erased(world, actor.site)):
                    raise

    return work


def copier(world: Erasures, rounds: int) -> Script:
    """Copy the state, delete it, and so on: lives are added, and stagings begun."""

    def work(actor: Actor) -> Steps[None]:
        for number in range(rounds if actor.life <= LIVES_MAX else 0):
            key = f"{actor.site.key}/copy/{actor.name}.{actor.life}.{number}"
            try:
                if actor.draws.random() < 0.5:
                    yield from states.delete(actor.site)
                else:
                    yield from states.copy(actor.site, Site(actor.site.store, key))
            except EXPECTED:
                continue
            except (Damaged, KeyMissing):
                if not (yield from _is_erased(world, actor.site)):
                    raise

    return work


# ---- worlds ---------------------------------------------------------------------------------


def every_erasure(face: Face) -> Erasures:
    """Two writers of two saves each, and an erasure, which may die."""
    world = Erasures(face, "all")
    world.is_known = True  # it is the same each time
    first = world.add("first", writer(world, 1))
    while first.steps is not None:
        world.take(first, "proceed")
    world.actors.clear()
    world.is_known = False
    world.twins = tuple(world.add(f"w{number}", writer(world, 1)) for number in (1, 2))
    world.add("eraser", eraser(world, 1))
    world.hurried = tuple(world.actors)
    world.mortal = world.hurried[2:]
    world.sorts_reads, world.begins_anew = True, False
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Erasures:
    """Writers, erasers, maintenance, and who copies and deletes."""
    world = Erasures(face, seed)
    for number in range(chance.randint(1, 3)):
        world.add(f"w{number}", writer(world, chance.randint(1, saves)))
    for number in range(chance.randint(1, 2)):
        world.add(f"e{number}", eraser(world, chance.randint(1, 3)))
    for number in range(chance.randint(0, 2)):
        world.add(f"u{number}", upkeep(world, chance.randint(1, 4)))
    if chance.random() < 0.4:
        world.add("c", copier(world, chance.randint(1, 3)))
    return world


# ---- planted bugs ---------------------------------------------------------------------------


@contextmanager
def _unfenced() -> Iterator[None]:
    """Whatever comes late is stored."""

    def planted(*_: Any) -> None:
        return

    with (
        patch.object(Tables, "require_unerased", planted),
        patch.object(object_erased, "require_unerased", planted),
        patch.object(object_erased, "undo_unless", planted),
    ):
        yield


@contextmanager
def _unreceipted() -> Iterator[None]:
    """Nothing tells of what was erased."""
    with patch.object(erase_steps._Plan, "rows", lambda *_: ()):
        yield


ERASING_BUGS = {
    "unfenced": Bug("What comes late of an erased life is stored (P8).", _unfenced, by_chance=True),
    "unreceipted": Bug("An erasure leaves no receipt (P7).", _unreceipted),
}
"""Bugs to plant; see `perdure.testing.sim_plants`."""
