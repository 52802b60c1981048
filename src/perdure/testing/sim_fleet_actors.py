"""Who works on a state of a mixed fleet: sessions of old and new code, and the worlds they are in.

A worker opens through the schema of its version, as the facades do, edits what that shows, saves,
refreshes, loses races and opens again where others migrated the state meanwhile. It may die at any
of its requests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from perdure.core.head import MAIN
from perdure.engine import branches, moving
from perdure.engine.bodies import Body, Overtaken
from perdure.engine.rebase import saving
from perdure.engine.requests import Steps
from perdure.engine.save import Unknowable
from perdure.engine.session import SessionCore
from perdure.engine.unread import Unread
from perdure.errors import (
    BranchMoved,
    BranchNotFound,
    Busy,
    CommitUnknown,
    Conflict,
    MergeConflicts,
    SchemaChanged,
    SchemaNewer,
)
from perdure.evolving import Evolution, evolved
from perdure.opening import Loading, Opened, open_session
from perdure.state.document import MISSING, UNLOADED, Document
from perdure.testing.model import Broken
from perdure.testing.sim_actors import TRIES_MAX, Script, Upkeep
from perdure.testing.sim_branches import SECOND, Try, mover
from perdure.testing.sim_fleet import TOKEN, Edit, Fleet
from perdure.testing.sim_fleet_versions import VERSIONS, Op, chosen, found, is_locked, make
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import Face

KINDS_OF_UPKEEP = "maintain", "step", "collect", "verify"


@dataclass(frozen=True, slots=True)
class Way:
    """How a worker works."""

    version: int
    branch: str = MAIN
    merges: bool = False
    """Whether its sessions merge what others saved first; then no two edits come to the same."""
    lazy: bool = False
    """Whether sections load when they are touched."""
    tries_max: int = TRIES_MAX
    """How many saves it begins in one life."""


class _Session:
    """An open session of a worker."""

    def __init__(self, world: Fleet, actor: Actor, way: Way, opened: Opened) -> None:
        self._world, self._way = world, way
        self._is_refused = False
        """Whether the last save was given up, or is to be."""
        self._who = f"{actor.name}.{actor.life}"
        content = {
            name: UNLOADED if type(value) is Unread else value
            for name, value in opened.content.items()
        }
        stored = Document(content, load=self._read if way.lazy else None)
        if not way.lazy:
            stored.track()
        self.core = SessionCore(
            opened.site,
            stored,
            opened.loaded,
            id=opened.id,
            started_us=opened.now_us,
            holder=actor.holder,
            branch=way.branch,
            on_conflict="merge" if way.merges else "raise",
            strategies={"lines": "append"} if way.merges else {},
            told=opened.told,
            elsewhere=opened.elsewhere,
            missing=MISSING,
        )
        assert opened.plan is not None
        self._document: Document
        self._evolution: Evolution
        parts = opened.plan, self.core, stored, opened.changes
        self._document, self._evolution = evolved(*parts, lazy=way.lazy)
        self.state: Any = self._evolution.typed(self._document)
        self._show("as it opens")

    def _read(self, name: str) -> Any:
        """A section that is touched: nobody else has a turn meanwhile."""
        return self._world.ask(self.core.read(name), self._who)

    def _show(self, when: str) -> None:
        """What is live is what every save that led here made, as this version has it."""
        at = self.core.checkpoint
        if at is not None:
            self._world.saw_as(f"{self._who} {when}", self._way.version, at.id, self.state)

    # ---- saving -------------------------------------------------------------------------------

    def save(self, token: str, draws: random.Random, *, ending: bool) -> Steps[bool]:
        """Edit, and save that under a token; False if it was given up to another worker.

        Raises:
            SchemaChanged: the state was migrated meanwhile.
        """
        version, world = self._way.version, self._world
        self._require_locked()
        ops = self._edits(token, draws)
        world.edits[token] = Edit(version, ops)
        attempt = world.tries[token] = Try(self._way.branch, token)
        self._is_refused = False
        make(version, self.state, ops)
        self._evolution.before_save(self.core, self._document, "power")
        body = self.core.stage(metadata={TOKEN: token})
        assert body is not None
        try:
            yield from self._flushed(body, ending=ending)
            self._show(f"at {token}")
        finally:
            attempt.told = body.saved
            if body.saved is None and self._is_refused:
                world.given_up.add(token)
        return body.saved is not None

    def _edits(self, token: str, draws: random.Random) -> tuple[Op, ...]:
        version = self._way.version
        if self.core.checkpoint is None:
            return found(version, token)
        options = {"locked": self._is_locked, "merges": self._way.merges}
        return chosen(draws, version, self.state, token, **options)

    @property
    def _is_locked(self) -> bool:
        return is_locked(self._way.version, self._evolution.plan.version)

    def _require_locked(self) -> None:
        """What a newer function made is not to be edited by code that does not know it."""
        if not self._is_locked:
            return
        try:
            self.state.budget = 0
        except SchemaNewer:
            return
        raise Broken(f"P10: {self._who} edited what it does not understand")

    def _flushed(self, body: Body, *, ending: bool) -> Steps[None]:
        """Write what was captured, until its fate is known."""
        for _ in range(TRIES_MAX):
            try:
                yield from self.end() if ending else self._flush()
                return
            except (CommitUnknown, Busy):
                continue
            except SchemaChanged:
                self._is_refused = True
                raise
            except (Conflict, MergeConflicts, Unknowable):
                if not (yield from self._refreshed(body)):
                    return
        raise Broken(f"{self._who} could not save in {TRIES_MAX} tries")

    def _flush(self) -> Steps[None]:
        yield from self._merging(partial(self.core.flush, "power"))

    def _merging(self, steps: Any) -> Steps[None]:
        """Steps that save; where others were first, and this session merges, on top of theirs."""
        try:
            yield from steps()
        except Overtaken as overtaken:
            yield from saving(self.core, steps, overtaken)

    def end(self) -> Steps[None]:
        """Save what is unsaved, and end; the session stays open if that fails."""
        with self._closing():
            if self.core.unsaved or self._document.has_edits():
                self._evolution.before_save(self.core, self._document, "power", ending=True)
            self.core.stage(ending=True)
            yield from self._merging(partial(self.core.end, "closed", None, "power"))

    @contextmanager
    def _closing(self) -> Iterator[None]:
        self._document.close()
        try:
            yield
        except BaseException:
            self._document.reopen()
            raise

    # ---- others' work -------------------------------------------------------------------------

    def _refreshed(self, body: Body) -> Steps[bool]:
        """Take in what others saved; whether there is something left to be saved on top of it."""
        try:
            self._document.push()
            yield from self.core.refresh(keep_changes=True)
        except (CommitUnknown, Busy):
            return True
        except (Conflict, MergeConflicts):
            yield from self.give_up()
            return False
        return body.saved is None

    def give_up(self) -> Steps[None]:
        """Take in what others saved, and give up what is not saved.

        Raises:
            SchemaChanged: the state was migrated meanwhile.
        """
        while True:
            try:
                yield from self.core.refresh(keep_changes=False)
            except (CommitUnknown, Busy):
                continue
            self._is_refused = True
            return


def worker(world: Fleet, saves: int, way: Way) -> Script:
    """Save until so many were acknowledged in this life, from wherever the state is moved to."""

    def work(actor: Actor) -> Steps[None]:
        done = tries = 0
        while done < saves and tries < way.tries_max:
            session = yield from opened(world, actor, way)
            with suppress(SchemaChanged):
                while done < saves and tries < way.tries_max:
                    tries += 1
                    token = f"{actor.name}.{actor.life}.{tries}"
                    rides = done == saves - 1
                    done += yield from session.save(token, actor.draws, ending=rides)

    def safely(actor: Actor) -> Steps[None]:
        with suppress(BranchNotFound, BranchMoved):  # it was deleted
            yield from work(actor)

    return safely


def opened(world: Fleet, actor: Actor, way: Way) -> Steps[_Session]:
    """A session of a worker, as the facades open one."""
    loading = Loading(False, None, {}, lazy=way.lazy, schema=VERSIONS[way.version])
    start = yield from open_session(actor.site, loading=loading, branch=way.branch, id_=None)
    return _Session(world, actor, way, start)


# ---- worlds ---------------------------------------------------------------------------------


def begun(world: Fleet, version: int, saves: int, *, forks: bool = True) -> Fleet:
    """A world, with a state that code of a version saved, and a second branch, if it `forks`."""
    world.is_known = True  # it is the same each time
    first = world.add("first", worker(world, saves, Way(version)))
    while first.steps is not None:
        world.take(first, "proceed")
    if forks:
        forking = branches.forking(world.site, SECOND, saves, MAIN)
        done = world.ask(moving.move(world.site, forking))
        assert done is not None
        world.moves.told.append(done.entry)
    world.actors.clear()
    world.is_known = False
    return world


def every_deploy(face: Face) -> Fleet:
    """Old code and new, one save each, on a state of old code, where all schedules are run."""
    world = begun(Fleet(face, "all"), 1, 1, forks=False)
    for version in (1, 2):
        world.add(f"v{version}", worker(world, 1, Way(version)))
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Fleet:
    """Workers of any versions on two branches, a mover at times, and maintenance.

    At times the state is not there yet, and begins in a race.
    """
    world, is_there = Fleet(face, seed), chance.random() < 0.85
    if is_there:
        begun(world, chance.choice((1, 1, 1, 2, 3, 4)), chance.randint(1, 3))
    merges = chance.random() < 0.3
    for number in range(1, chance.randint(2, 4) + 1):
        way = Way(
            chance.choice((1, 1, 2, 2, 3, 4)),
            chance.choice((MAIN, MAIN, SECOND)) if is_there else MAIN,
            merges=merges,
            lazy=chance.random() < 0.5,
        )
        script = worker(world, chance.randint(1, saves), way)
        world.add(f"w{number}.v{way.version}", script, -1_000 * number)
    if is_there and chance.random() < 0.5:
        world.add("mover", mover(world, chance.randint(1, 4)))
    for number in range(1, chance.randint(0, 2) + 1):
        world.add(f"upkeep {number}", Upkeep(world, chance.randint(1, 5), KINDS_OF_UPKEEP))
    return world
