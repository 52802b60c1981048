"""The simulator's branches: actors that save to them and move them, and what must come of it.

Every save appends its token to one list, so a state says by itself which saves led to it. What was
tried and told is compared in the end with all lines there are, and with the journal of movements.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from perdure.core.head import MAIN, Branch, Head
from perdure.core.journal import Entry
from perdure.core.record import Record
from perdure.engine import audit, branches, load, moving
from perdure.engine.claims import Settling
from perdure.engine.journal import read_journal
from perdure.engine.marks import resumed_from
from perdure.engine.parked import all_branches
from perdure.engine.read import Site, read_head, read_line, replay, spans
from perdure.engine.rebase import saving
from perdure.engine.requests import Now, Random, Run, Steps
from perdure.engine.save import Unknowable
from perdure.engine.session import SessionCore
from perdure.errors import (
    BranchMoved,
    BranchNotFound,
    Busy,
    CheckpointNotFound,
    CommitUnknown,
    Conflict,
    NotAncestor,
    UsageError,
)
from perdure.state.document import MISSING, Document
from perdure.testing.model import Broken, require
from perdure.testing.sim_actors import PAGE_KINDS, TRIES_MAX, Script, Upkeep, plain
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import Face, World
from perdure.types import Checkpoint

W = TypeVar("W", bound="Branched")

LOG, COUNT = "log", "count"
MOVES = "fork", "rollback", "rollback", "promote", "undo", "undo", "redo", "delete"
"""What a mover does, by its own dice."""


@dataclass(slots=True)
class Try:
    """One save as a writer meant it."""

    branch: str
    token: str
    label: str | None = None
    told: Checkpoint | None = None


@dataclass(slots=True)
class Moves:
    """What became of movements."""

    told: list[Entry] = field(default_factory=list)
    """Those that were acknowledged."""
    lost: int = 0
    """Those of which nobody was told what became of them: each is in the journal once at most."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One checkpoint that there is, on whatever line."""

    record: Record
    tokens: tuple[str, ...]
    """Of all saves that led to it."""


class Branched(World):
    """A world whose state has branches."""

    __slots__ = ("moves", "shown", "tries")

    def __post_init__(self) -> None:
        """Make the store, of which nothing was tried yet."""
        super().__post_init__()
        self.tries: dict[str, Try] = {}
        self.moves = Moves()
        self.shown: dict[str, tuple[str, ...]] = {}
        """By id of a checkpoint that somebody was shown, the saves that led to it."""

    def saw(self, who: str, id_: str, number: int, sections: dict[str, Any]) -> None:
        """Somebody was shown a branch at a checkpoint: it is whole, and the same for all (P2)."""
        tokens = tuple(sections.get(LOG, ()))
        whole = sections.get(COUNT) == len(tokens) == number == len(set(tokens))
        require(whole, f"P2: {who} was shown {sections} at checkpoint {number}")
        before = self.shown.setdefault(id_, tokens)
        require(before == tokens, f"P2: {who} was shown {tokens} where there was {before}")

    def observe(self) -> None:
        """Load every branch as readers would at this very moment."""
        loaded = self.ask(load.load(self.site))
        if loaded is None:
            return
        for name in self.ask(all_branches(self.site, loaded.head)):
            one = self.ask(load.load(self.site, name))
            assert one is not None
            assert one.last is not None
            self.saw(f"a load of {name}", one.last.id.hex(), one.last.number, one.sections)

    def settle(self) -> None:
        """Compare all lines and the journal with what was tried, told and shown until now."""
        self._land_late(max((at for at, _ in self.late), default=0))
        found = self.ask(audit.verify(self.site))
        require(found.ok, f"P5: it does not verify: {found.problem}")
        head = self.ask(read_head(self.site))
        journal = self.ask(read_journal(self.site, head))
        self._check_journal(journal)
        kept = self._kept(head, journal)
        self._check_lines(journal, kept)
        self._check_saves(head, journal, kept)
        for id_, tokens in self.shown.items():
            require(id_ in kept, f"P7: checkpoint {id_[:8]} was shown, and is not there any more")
            require(kept[id_].tokens == tokens, f"P2: {id_[:8]} was shown as {tokens}")
        for name in self.ask(all_branches(self.site, head)):
            last = self.ask(load.load(self.site, name))
            assert last is not None
            assert last.last is not None
            self.saw(
                f"the last load of {name}", last.last.id.hex(), last.last.number, last.sections
            )

    def _check_journal(self, journal: list[Entry]) -> None:
        """An acknowledged movement is in the journal once, any other at most once."""
        told = {entry.number: entry for entry in self.moves.told}
        require(len(told) == len(self.moves.told), "P4: two movements have one number")
        for number, entry in told.items():
            found = journal[number - 1] if number <= len(journal) else None
            same = found is not None and (found.move.what, found.move.branch, found.time_us) == (
                entry.move.what,
                entry.move.branch,
                entry.time_us,
            )
            require(same, f"P1: movement {number} was acknowledged, and is not in the journal")
        most = len(told) + self.moves.lost
        require(len(journal) <= most, f"P4: {len(journal)} movements of {most} that were tried")

    def _check_lines(self, journal: list[Entry], kept: dict[str, Kept]) -> None:
        """Nothing was saved on a line after its branch had left it (P3)."""
        for entry in journal:
            left = entry.move.before
            if left is None or entry.move.what == "rename" or entry.move.name is not None:
                continue
            numbers = (
                each.record.number for each in kept.values() if each.record.line == left.line
            )
            last = max(numbers, default=0)
            require(
                last <= left.number,
                f"P3: movement {entry.number} left line {left.line} at {left.number}; "
                f"it was saved to up to {last}",
            )

    def _check_saves(self, head: Head, journal: list[Entry], kept: dict[str, Kept]) -> None:
        """An acknowledged save is on its branch, or on a line that a movement of it left (P1)."""
        for each in self.tries.values():
            if each.told is None:
                continue
            found = kept.get(each.told.id)
            same = found is not None and (
                found.record.number,
                found.record.hash.hex(),
                found.tokens[-1],
            ) == (each.told.number, each.told.hash, each.token)
            require(same, f"P1: {each.token} was acknowledged, and is not there as it was told")
            assert found is not None
            tips = [entry.move.before for entry in journal if entry.move.branch == each.branch]
            tips.append(self.ask(all_branches(self.site, head)).get(each.branch))
            runs = (run for tip in tips if tip is not None for run in self._runs(head, tip))
            at = found.record.line, found.record.number
            there = any(run.line == at[0] and run.first <= at[1] <= run.last for run in runs)
            require(there, f"P1: {each.token} is on no line that {each.branch} has or ever left")

    def _runs(self, head: Head, tip: Branch) -> list[Run]:
        return self.ask(spans(self.site, head, tip, 1, tip.number))

    def _kept(self, head: Head, journal: list[Entry]) -> dict[str, Kept]:
        """Every checkpoint on a line that a branch has or left, replayed, by its id."""
        tips = [*self.ask(all_branches(self.site, head)).values()]
        tips += [entry.move.before for entry in journal if entry.move.before is not None]
        kept: dict[str, Kept] = {}
        for tip in tips:
            sections: dict[str, Any] = {}
            for run in self._runs(head, tip):
                for record in self.ask(read_line(self.site, head, run)):
                    replay([record], sections)
                    now = kept.setdefault(record.id.hex(), Kept(record, tuple(sections[LOG])))
                    require(now.tokens == tuple(sections[LOG]), "P6: one checkpoint, two states")
        return kept


# ---- actors ---------------------------------------------------------------------------------


def saver(
    world: Branched,
    saves: int,
    branch: str = MAIN,
    tries_max: int = TRIES_MAX,
    *,
    merges: bool = False,
) -> Script:
    """Save until so many were acknowledged in this life, from wherever the branch is moved to.

    What meets another's work is merged with it, or given up, and something else is saved, in
    `tries_max` tries.
    """

    def work(actor: Actor) -> Steps[None]:
        core = yield from open_core(actor, branch, merges)
        done = tries = 0
        while done < saves and tries < tries_max:
            tries += 1
            label = "kept" if tries % 3 == 2 else None
            attempt = Try(branch, f"{actor.name}.{actor.life}.{tries}", label)
            done += yield from save_one(world, core, attempt, ending=done == saves - 1)

    def safely(actor: Actor) -> Steps[None]:
        with suppress(BranchNotFound, BranchMoved):  # it was deleted
            yield from work(actor)

    return safely


def open_core(actor: Actor, branch: str, merges: bool = False) -> Steps[SessionCore]:
    """A session of an actor on a branch, as the facades open one."""
    loaded = yield from load.load(actor.site, branch)
    sections = dict(loaded.sections) if loaded is not None else {}
    sections = {name: list(each) if name == LOG else each for name, each in sections.items()}
    _, told = yield from resumed_from(actor.site, loaded)
    id_ = yield Random(16)
    now = yield Now()
    return SessionCore(
        actor.site,
        Document(sections),
        loaded,
        id=id_,
        started_us=now,
        holder=actor.holder,
        branch=branch,
        on_conflict="merge" if merges else "raise",
        strategies={LOG: "append", COUNT: "counter"},
        told=tuple(told),
        elsewhere={},
        missing=MISSING,
    )


def save_one(
    world: Branched,
    core: SessionCore,
    attempt: Try,
    *,
    ending: bool,
    settles: tuple[Settling, ...] = (),
) -> Steps[bool]:
    """Save one token; False if it was given up for what the branch is now."""
    world.tries[attempt.token] = attempt
    document = core.document
    assert isinstance(document, Document)
    state = document.state
    state.setdefault(LOG, []).append(attempt.token)
    state[COUNT] = len(state[LOG])
    body = core.stage(attempt.label, settles=settles)
    assert body is not None
    for _ in range(TRIES_MAX):
        try:
            steps = partial(core.end, "closed", None) if ending else core.flush
            saves = partial(steps, "power")
            yield from saving(core, saves) if core.merges else saves()
        except (Conflict, Unknowable):
            while body.saved is None:
                try:
                    yield from core.refresh(keep_changes=False)
                    break
                except (CommitUnknown, Busy):
                    continue
        except (CommitUnknown, Busy):
            continue
        attempt.told = body.saved
        at = core.checkpoint
        if at is not None:
            world.saw("a session", at.id, at.number, plain(document))
        return body.saved is not None
    raise Broken(f"{attempt.token} could not be saved in {TRIES_MAX} tries")


def mover(world: Branched, kinds: Iterable[str] | int) -> Script:
    """Make these movements, or so many by its own dice."""

    def work(actor: Actor) -> Steps[None]:
        chosen = (
            [actor.draws.choice(MOVES) for _ in range(kinds)] if isinstance(kinds, int) else kinds
        )
        for count, kind in enumerate(chosen):
            plan = yield from _planned(actor, kind, f"{actor.name}.{actor.life}.{count}")
            world.moves.lost += 1  # until it is known better: it may die meanwhile
            try:
                done = yield from moving.move(actor.site, plan)
            except CommitUnknown:
                continue
            except (Busy, UsageError, CheckpointNotFound, BranchNotFound, NotAncestor):
                world.moves.lost -= 1
                continue
            world.moves.lost -= 1
            if done is not None:
                world.moves.told.append(done.entry)

    return work


def _planned(actor: Actor, kind: str, name: str) -> Steps[moving.Plan]:
    """A movement, from what there is now."""
    site: Site = actor.site
    head = yield from read_head(site)
    others = sorted(head.branches.keys() - {MAIN}) or [MAIN]
    number = head.branches[MAIN].number
    match kind:
        case "fork":
            return branches.forking(site, name, actor.draws.randint(1, number), MAIN)
        case "rollback":
            to = max(1, number - actor.draws.randint(1, 3))
            return branches.rolling_back(site, to, MAIN)
        case "promote":
            return branches.promoting(site, actor.draws.choice(others), MAIN)
        case "delete" if others != [MAIN]:
            return branches.deleting(site, actor.draws.choice(others))
        case "redo":
            return branches.redoing(site)
    return branches.undoing(site)


# ---- worlds ---------------------------------------------------------------------------------

SECOND = "second"
"""A branch that there is from the start."""


def begun(world: W, saves: int = 3) -> W:
    """A world, with a state of so many checkpoints and a second branch from the last but one."""
    world.is_known = True  # it is the same each time
    first = world.add("first", saver(world, saves))
    while first.steps is not None:
        world.take(first, "proceed")
    forking = branches.forking(world.site, SECOND, saves - 1, MAIN)
    done = world.ask(moving.move(world.site, forking))
    assert done is not None
    world.moves.told.append(done.entry)
    world.actors.clear()
    world.is_known = False
    return world


def every_kind(face: Face, kind: str, *, writers_die: bool = True) -> Branched:
    """Two writers of one save each, one movement, and a step of maintenance.

    Where all schedules are run. Each goes from one of its commits to the next in one go, a writer
    that meets another's work gives up, and who dies stays dead: chance does the rest.
    """
    world = begun(Branched(face, "all"))
    world.twins = tuple(world.add(f"w{number}", saver(world, 1, tries_max=1)) for number in (1, 2))
    world.add("mover", mover(world, (kind,)))
    world.add("upkeep", Upkeep(world, 1, ("step",)))
    world.hurried = tuple(world.actors)
    world.mortal = world.hurried if writers_die else world.hurried[2:]
    world.sorts_reads, world.begins_anew = True, False
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Branched:
    """Writers on two branches, movers, and maintenance."""
    world = begun(Branched(face, seed), chance.randint(2, 4))
    for number in range(1, chance.randint(1, 3) + 1):
        branch = chance.choice((MAIN, MAIN, SECOND))
        world.add(f"w{number}", saver(world, chance.randint(1, saves), branch))
    for number in range(1, chance.randint(1, 2) + 1):
        world.add(f"m{number}", mover(world, chance.randint(1, 5)))
    for number in range(1, chance.randint(0, 2) + 1):
        kinds = chance.choice((("maintain", "step", "collect", "verify"), PAGE_KINDS))
        world.add(f"upkeep {number}", Upkeep(world, chance.randint(1, 6), kinds))
    return world


def merging(face: Face, seed: str, chance: random.Random, saves: int) -> Branched:
    """Writers on one branch that merge, at times one that moves it, and maintenance."""
    world = begun(Branched(face, seed), chance.randint(2, 4))
    for number in range(1, chance.randint(2, 3) + 1):
        world.add(f"w{number}", saver(world, chance.randint(1, saves), merges=True))
    if chance.random() < 0.3:
        world.add("mover", mover(world, chance.randint(1, 2)))
    world.add("upkeep", Upkeep(world, chance.randint(1, 4), ("maintain", "step", "collect")))
    return world
