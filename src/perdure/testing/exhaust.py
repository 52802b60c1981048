"""The simulator's small worlds under every schedule there is, with at most one fault.

    python -m perdure.testing simulate --exhaustive

`exhaust` takes all choices in depth-first order and raises `Found` at the first promise that
breaks; the others run it on worlds of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from perdure.testing import (
    sim_claims,
    sim_elsewhere,
    sim_erasing,
    sim_fleet_actors,
    sim_pruning,
    sim_redacting,
)
from perdure.testing.sim_actors import writer
from perdure.testing.sim_branches import every_kind
from perdure.testing.sim_process import Action, Actor, Option
from perdure.testing.sim_report import Found, Progress, Report, account, quiet
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import WRITES, Face, World

ON_READS: tuple[Action, ...] = ("crash before",)
ON_COMMITS: tuple[Action, ...] = (
    "crash before",
    "crash after",
    "lose answer",
    "lose request",
    "outage after",
    "outage before",
)


@dataclass(slots=True)
class _Odometer:
    """The choices of a depth-first search, replayed from the beginning for every schedule."""

    taken: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    depth: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether this point was not reached by replaying earlier choices."""
        return self.depth >= len(self.taken)

    @property
    def is_replayed(self) -> bool:
        """Whether the choice made here is that of the schedule before."""
        return self.depth < len(self.taken) - 1

    def choose(self, width: int) -> int:
        """The next choice among so many."""
        if self.is_fresh:
            self.taken.append(0)
            self.widths.append(width)
        self.depth += 1
        return self.taken[self.depth - 1]

    def advance(self) -> bool:
        """Go on to the next schedule; False when there is none."""
        self.depth = 0
        while self.taken and self.taken[-1] + 1 == self.widths[-1]:
            self.taken.pop()
            self.widths.pop()
        if self.taken:
            self.taken[-1] += 1
        return bool(self.taken)


def exhaust(
    face: Face,
    writers: int = 2,
    saves: int = 2,
    faults: int = 1,
    *,
    rides: bool = True,
    begin: Callable[[], World] | None = None,
    progress: Progress = quiet,
) -> Report:
    """Run every schedule of so many writers and saves with at most so many faults.

    After every commit the state is loaded and checked, so a reader at every moment is included.
    A schedule is cut short where store and actors are exactly as an earlier schedule left them.
    The writers differ in nothing but their names, so the first of them takes the first step.

    Args:
        face: The kind of store.
        writers: How many processes write to one state.
        saves: How many saves each makes.
        faults: Crashes and lost answers in one schedule, at most.
        rides: Whether each session's end rides in its last save; else it is one commit more.
        begin: Makes another world with its actors, instead; see `exhaust_moving`.
        progress: Called with the report after each schedule.

    Raises:
        Found: a promise was broken.
    """
    report = Report()
    known: set[Any] = set()
    odometer = _Odometer()
    while True:
        world = begin() if begin is not None else World(face, "all")
        try:
            for number in range(1, writers + 1) if begin is None else ():
                world.add(f"w{number}", writer(world, saves, rides=rides))
            is_new = _follow(world, odometer, known, faults)
            if is_new or begin is None:
                world.settle()
        except AssertionError as error:
            again = f"python -m perdure.testing simulate --exhaustive --face {face}"
            raise Found(account(world, error, again)) from error
        report.add(world)
        report.pruned += not is_new
        progress(report)
        if not odometer.advance():
            return report


def exhaust_moving(
    face: Face, kind: str, faults: int = 1, *, writers_die: bool = True, progress: Progress = quiet
) -> Report:
    """Run every schedule of two writers, a movement of this kind, and a step of maintenance.

    With so many deaths at most. See `perdure.testing.sim_branches.every_kind` for what bounds it.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(every_kind, face, kind, writers_die=writers_die)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_pruning(
    face: Face, faults: int = 1, *, saves: int = 1, progress: Progress = quiet
) -> Report:
    """Run every schedule of two writers, a pruning, and a step of maintenance.

    With so many deaths at most, of the pruner and of maintenance; writers make so many saves.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_pruning.every_prune, face, saves=saves)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_redacting(face: Face, faults: int = 1, *, progress: Progress = quiet) -> Report:
    """Run every schedule of two writers of one save each, and a redaction.

    With so many deaths of the redactor at most.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_redacting.every_redaction, face)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_erasing(face: Face, faults: int = 1, *, progress: Progress = quiet) -> Report:
    """Run every schedule of two writers of two saves each, and an erasure.

    With so many deaths of the eraser at most.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_erasing.every_erasure, face)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_deploying(face: Face, faults: int = 1, *, progress: Progress = quiet) -> Report:
    """Run every schedule of a worker of old code and one of new, on a state of old code.

    With so many crashes and lost answers at most; each makes one save.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_fleet_actors.every_deploy, face)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_claims(
    face: Face, *, races: bool = False, faults: int = 1, progress: Progress = quiet
) -> Report:
    """Run every schedule of one performer that dies anywhere, or of two that race for an effect.

    With so many deaths and lost answers at most, at every request.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_claims.every_claim, face, races=races)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def exhaust_elsewhere(
    face: Face, *, races: bool = False, faults: int = 1, progress: Progress = quiet
) -> Report:
    """The same of one agent, or of two of two states, that claim in a state that they share.

    Raises:
        Found: a promise was broken.
    """
    begin = partial(sim_elsewhere.every_sharing, face, races=races)
    with small_world():
        return exhaust(face, faults=faults, begin=begin, progress=progress)


def _follow(world: World, odometer: _Odometer, known: set[Any], faults: int) -> bool:
    """Run to the end by the odometer's choices; False if cut short."""
    last = 0
    while ready := world.ready():
        if odometer.is_fresh:
            digest = world.digest(), last
            if digest in known:
                return False
            known.add(digest)
        ready = _first_in_order(world, ready, last)
        options = [Option(actor, "proceed") for actor in ready]
        if sum(world.faults.values()) < faults:
            for actor in ready:
                options += (Option(actor, kind) for kind in _kinds(world, actor))
        if not options:
            return False
        world.is_known = odometer.is_replayed
        chosen = options[odometer.choose(len(options))]
        reads = world.sorts_reads and not isinstance(chosen.actor.pending, WRITES)
        last = world.actors.index(chosen.actor) if reads else 0
        world.take(chosen.actor, chosen.action)
        if chosen.actor in world.hurried:
            while chosen.actor.pending and not isinstance(chosen.actor.pending, WRITES):
                world.take(chosen.actor, "proceed")
    return True


def _kinds(world: World, actor: Actor) -> tuple[Action, ...]:
    """What may go wrong with an actor's request, where all schedules are run.

    Beside movements only deaths, and those after commits: who dies before its first one has changed
    nothing, and comes to the same as who begins later.
    """
    if world.sorts_reads:
        is_at_risk = actor in world.mortal and isinstance(actor.pending, WRITES)
        return ("crash after",) if is_at_risk else ()
    return ON_COMMITS if isinstance(actor.pending, WRITES) else ON_READS


def _first_in_order(world: World, ready: list[Actor], last: int) -> list[Actor]:
    """Those whose step now is not the same as a step at another moment.

    What several actors do without a commit between them comes to the same in any order (pages are
    put under names of their own), so it is taken in the order of the actors, `last` being the one
    that was at it just now. Twins differ in nothing but their names, so they begin in one order.
    """
    if not world.sorts_reads:
        return ready[:1] if world.step == 0 else ready
    late = [each for each in world.twins if not each.has_begun][1:]
    return [
        actor
        for actor in ready
        if actor not in late
        and (isinstance(actor.pending, WRITES) or world.actors.index(actor) >= last)
    ]
