"""The deterministic simulator: engine and store under every schedule, crash and lost answer.

    python -m perdure.testing simulate --seed 1 --steps 100000
    python -m perdure.testing simulate --exhaustive

A run is a function of its choices. `explore` draws them from a seed; `perdure.testing.exhaust`
takes all of them, for a small world, with at most one fault. Both raise `Found` at the first
promise that breaks.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import get_args

from perdure.cache import Cache
from perdure.engine.requests import Commit, StorageRequest
from perdure.errors import PerdureError
from perdure.testing import (
    sim_claims,
    sim_elsewhere,
    sim_erasing,
    sim_fleet_actors,
    sim_pruning,
    sim_redacting,
)
from perdure.testing.exhaust import (
    ON_COMMITS,
    ON_READS,
    exhaust,
    exhaust_claims,
    exhaust_deploying,
    exhaust_elsewhere,
    exhaust_erasing,
    exhaust_moving,
    exhaust_pruning,
    exhaust_redacting,
)
from perdure.testing.sim_actors import ALL_KINDS, PAGE_KINDS, Upkeep, reader, writer
from perdure.testing.sim_branches import by_chance, merging
from perdure.testing.sim_claim_plants import CLAIMING_BUGS
from perdure.testing.sim_erasing import ERASING_BUGS
from perdure.testing.sim_fleet_plants import FLEET_BUGS
from perdure.testing.sim_plants import BUGS, MOVING_BUGS
from perdure.testing.sim_process import Action
from perdure.testing.sim_prune_plants import PRUNING_BUGS
from perdure.testing.sim_redacting import REDACTING_BUGS
from perdure.testing.sim_report import Found, Progress, Report, account, quiet
from perdure.testing.sim_stores import encrypted, small_world
from perdure.testing.sim_world import CACHE_BYTES, DELAY_STEPS_MAX, WRITES, Face, World

FACES: tuple[Face, ...] = get_args(Face)
SKEW_US = 3_500
VERDICT = "no promise was broken"
SCHEDULES_PER_LINE = 500
_PLANTS = BUGS | MOVING_BUGS | PRUNING_BUGS | FLEET_BUGS | CLAIMING_BUGS
_PLANTS |= ERASING_BUGS | REDACTING_BUGS
_KINDS = (
    *("branches", "merging", "pruning", "fleet", "claims", "elsewhere"),
    *("erasing", "redacting", "keyed"),
)
STEPS_MAX = 5_000
"""Steps of one schedule: far more than any that ends."""


# ---- by chance ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What a random schedule is drawn from."""

    faces: tuple[Face, ...] = FACES
    writers: int = 3
    saves: int = 3
    readers: int = 2
    maintenance: int = 6
    """Rounds of the maintenance actor, at most."""
    branches: bool = False
    """Whether writers are on branches that are moved; see `perdure.testing.sim_branches`."""
    merging: bool = False
    """Whether writers merge what others saved first, instead."""
    pruning: bool = False
    """Whether branches are pruned besides; see `perdure.testing.sim_pruning`."""
    fleet: bool = False
    """Whether code of several versions works on one state; see `perdure.testing.sim_fleet`."""
    claims: bool = False
    """Whether actors act on the world, too; see `perdure.testing.sim_claims`."""
    elsewhere: bool = False
    """Whether they claim in a state that many share; see `perdure.testing.sim_elsewhere`."""
    erasing: bool = False
    """Whether states are erased; see `perdure.testing.sim_erasing`."""
    redacting: bool = False
    """Whether texts are redacted; see `perdure.testing.sim_redacting`."""
    keyed: bool = False
    """Whether the store is encrypted."""


def explore(
    seed: int,
    steps: int,
    plan: Plan = Plan(),
    only: int | None = None,
    progress: Progress = quiet,
) -> Report:
    """Run random schedules until they have taken `steps` steps; or the one numbered `only`.

    Args:
        seed: What all choices are drawn from.
        steps: Storage requests in all.
        plan: What a schedule may be.
        only: The number of one schedule, to be run alone.
        progress: Called with the report after each schedule.

    Raises:
        Found: a promise was broken.
    """
    report = Report()
    number = only or 0
    with small_world():
        while report.steps < steps:
            world = run_one(seed, number, plan)
            report.add(world)
            progress(report)
            number += 1
            if only is not None:
                break
    return report


def run_one(seed: int, number: int, plan: Plan = Plan()) -> World:
    """Run one random schedule; it depends on its arguments alone."""
    name = f"{seed}/{number}"
    chance = random.Random(name)
    face = chance.choice(plan.faces)
    with encrypted(plan.keyed):
        world = _begun(face, name, chance, plan)
    try:
        rate = chance.choice((0.0, 0.05, 0.15, 0.4))
        while ready := world.ready():
            if world.step > STEPS_MAX:
                raise AssertionError(f"it does not end within {STEPS_MAX} steps")
            actor = chance.choice(ready)
            action: Action = "proceed"
            likely = rate if isinstance(actor.pending, WRITES) else rate / 8
            if actor.pending is not None and not actor.waiting and chance.random() < likely:
                action = chance.choice(_faults(world, actor.pending))
            world.take(actor, action, chance.randint(1, DELAY_STEPS_MAX))
        world.forget()
        world.settle()
    except (AssertionError, PerdureError) as error:
        again = f"--seed {seed} --schedule {number} --writers {plan.writers} --saves {plan.saves}"
        again += " --branches" * plan.branches + " --merging" * plan.merging
        again += " --pruning" * plan.pruning + " --fleet" * plan.fleet
        again += " --claims" * plan.claims + " --elsewhere" * plan.elsewhere
        again += " --erasing" * plan.erasing + " --redacting" * plan.redacting
        again += " --keyed" * plan.keyed
        raise Found(account(world, error, f"python -m perdure.testing simulate {again}")) from error
    return world


def _begun(face: Face, name: str, chance: random.Random, plan: Plan) -> World:
    """A world with its actors."""
    if plan.fleet:
        return sim_fleet_actors.by_chance(face, name, chance, plan.saves)
    if plan.elsewhere:
        return sim_elsewhere.by_chance(face, name, chance, plan.saves)
    if plan.erasing:
        return sim_erasing.by_chance(face, name, chance, plan.saves)
    if plan.redacting:
        return sim_redacting.by_chance(face, name, chance, plan.saves)
    if plan.claims:
        return sim_claims.by_chance(face, name, chance, plan.saves)
    if plan.pruning:
        return sim_pruning.by_chance(face, name, chance, plan.saves)
    if plan.merging:
        return merging(face, name, chance, plan.saves)
    if plan.branches:
        return by_chance(face, name, chance, plan.saves)
    world = World(face, name)
    _populate(world, chance, plan)
    return world


def _populate(world: World, chance: random.Random, plan: Plan) -> None:
    shared = chance.choice((None, None, "all"))
    cache = _shared_cache(random.Random(world.seed))
    # In some schedules much is saved while pages are made and collected all the time.
    times, kinds = chance.choice(((1, ALL_KINDS), (2, PAGE_KINDS)))
    for number in range(1, chance.randint(1, plan.writers) + 1):
        saves = chance.randint(1, plan.saves * times)
        script = writer(world, saves, shared, rides=chance.random() < 0.5)
        world.add(f"w{number}", script, -SKEW_US * number, cache)
    for number in range(1, chance.randint(0, plan.readers) + 1):
        world.add(f"r{number}", reader(world, chance.randint(1, 3)), 0, cache)
    if plan.maintenance and chance.random() < 0.7:
        # Two at most, so that the steps of one come between those of the other.
        for number in range(1, chance.randint(times, 2) + 1):
            rounds = chance.randint(1, plan.maintenance * times)
            world.add(f"upkeep {number}", Upkeep(world, rounds, kinds), 0, cache)


def _shared_cache(chance: random.Random) -> Cache | None:
    """The cache of all actors, as threads of one process; None where each is a process.

    Between one that keeps nothing and one that keeps all that is read. When one of them dies, it is
    emptied: it may be at any time.
    """
    size = chance.choice((None, None, 0, 4_000, CACHE_BYTES))
    return None if size is None else Cache(size)


def _faults(world: World, request: StorageRequest) -> tuple[Action, ...]:
    objects = world.face == "objects"
    if not isinstance(request, WRITES):
        return (*ON_READS, "delay answer", *(("crash inside",) if objects else ()))
    if objects:
        late: tuple[Action, ...] = ("land late", "outage late")
        late = late if isinstance(request, Commit) else ()
        return (*ON_COMMITS, "delay answer", "crash inside", *late)
    return (*ON_COMMITS, "delay answer")


# ---- telling --------------------------------------------------------------------------------


def write_line(line: str) -> None:
    """Print to standard output."""
    sys.stdout.write(f"{line}\n")


def said_now_and_then(report: Report) -> None:
    """One line on standard error for every so many schedules: a long run is seen to live."""
    if report.schedules % SCHEDULES_PER_LINE == 0:
        sys.stderr.write(f"{report.schedules:,} schedules, {report.steps:,} steps so far\n")


def main(argv: Sequence[str]) -> int:
    """Explore as the command line says; 1 if a promise broke."""
    options = _parser().parse_args(argv)
    faces: tuple[Face, ...] = FACES if options.face == "both" else (options.face,)
    with ExitStack() as planted:
        for name in options.plant:
            planted.enter_context(_PLANTS[name].plant())
        try:
            if options.exhaustive:
                for face in faces:
                    for what, run in _exhausting(options).items():
                        report = run(face, progress=said_now_and_then)
                        write_line(f"{face}{what}: {report}; {VERDICT}")
                return 0
            sizes = options.writers or 3, options.saves or 3
            kinds = {name: getattr(options, name) for name in _KINDS}
            plan = Plan(faces, *sizes, **kinds)
            report = explore(options.seed, options.steps, plan, options.schedule, said_now_and_then)
            write_line(f"seed {options.seed}: {report}; {VERDICT}")
        except Found as found:
            write_line(f"FAILED, seed {options.seed}: {found}")
            return 1
    return 0


def _exhausting(options: argparse.Namespace) -> dict[str, Callable[..., Report]]:
    """What runs all schedules on a face, by what is told of it."""
    if options.fleet:
        return {", deploy": exhaust_deploying}
    if options.elsewhere:
        faults = {", death": False, ", race": True}
        return {what: partial(exhaust_elsewhere, races=races) for what, races in faults.items()}
    if options.claims:
        faults = {", death": False, ", race": True}
        return {what: partial(exhaust_claims, races=races) for what, races in faults.items()}
    if options.erasing:
        return {", erase": exhaust_erasing}
    if options.redacting:
        return {", redact": exhaust_redacting}
    if options.pruning:
        return {", prune": exhaust_pruning}
    if options.branches:
        return {f", {kind}": partial(exhaust_moving, kind=kind) for kind in ("fork", "rollback")}
    return {"": partial(exhaust, writers=options.writers or 2, saves=options.saves or 2)}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perdure.testing simulate",
        description="Run the engine under simulated schedules, crashes and lost answers.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="what all choices are drawn from (default: 1)")
    add("--steps", type=_positive, default=10_000, help="storage requests in all (default: 10000)")
    add("--schedule", type=int, help="run this schedule of the seed alone")
    add("--face", choices=(*FACES, "both"), default="both", help="which kind of store")
    add("--writers", type=_positive, help="at most so many (default: 3; exhaustive: 2)")
    add("--saves", type=_positive, help="at most so many each (default: 3; exhaustive: 2)")
    add("--exhaustive", action="store_true", help="all schedules with at most one fault")
    add("--branches", action="store_true", help="with branches, and actors that move them")
    add("--merging", action="store_true", help="with writers that merge what others saved first")
    add("--pruning", action="store_true", help="with branches, and actors that prune and hold them")
    add("--fleet", action="store_true", help="with old code and new on one state")
    add("--claims", action="store_true", help="with actors that act on the world, once each")
    add("--elsewhere", action="store_true", help="with agents that share what is to be done once")
    add("--erasing", action="store_true", help="with states that are erased")
    add("--redacting", action="store_true", help="with texts that are taken out of the history")
    add("--keyed", action="store_true", help="with a store that is encrypted; not exhaustive")
    add(
        "--plant",
        choices=[*_PLANTS],
        action="append",
        default=[],
        help="plant a bug, to see it caught",
    )
    return parser
