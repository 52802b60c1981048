"""The simulator's pruners and holders: histories that are cut, and branches that one may save to.

What a policy keeps is told by the newest save of each line and by labels, both of which it always
keeps here. So whatever goes, and whenever it is looked: the newest checkpoint of each branch says
which saves led to it, and every acknowledged save is in one that is kept.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

from perdure.core.head import MAIN, Head
from perdure.core.journal import JOURNAL_LINE, Entry
from perdure.core.leases import owner_of
from perdure.core.retention import Retention
from perdure.engine import audit, leases, maintain
from perdure.engine.journal import read_entry, read_journal
from perdure.engine.load import state_at
from perdure.engine.past import every_run
from perdure.engine.prune import prune
from perdure.engine.read import read_head, read_run
from perdure.engine.requests import (
    Commit,
    Committed,
    IsAlive,
    ListRows,
    ReadHead,
    Request,
    Steps,
    StorageRequest,
    Tell,
)
from perdure.engine.session import SessionCore
from perdure.errors import BranchNotFound, Busy, CommitUnknown, Conflict, LeaseLost
from perdure.state.document import Document
from perdure.testing.model import require
from perdure.testing.sim_actors import PAGE_KINDS, TRIES_MAX, Script, Upkeep
from perdure.testing.sim_branches import (
    COUNT,
    LOG,
    SECOND,
    Branched,
    Kept,
    Try,
    begun,
    mover,
    open_core,
    saver,
)
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import KEY, Face

MISTAKEN = 0.3
"""How often a process that lives is taken for a dead one."""
LONG = timedelta(days=10_000)
LIVES_MAX = 10
"""Lives of a pruner: it begins anew in each, and where death is likely none comes to an end."""


class Pruned(Branched):
    """A world whose state has branches that are pruned."""

    __slots__ = ("forgets",)

    def __post_init__(self) -> None:
        """Make the store, of which nothing was pruned yet."""
        super().__post_init__()
        self.forgets = False
        """Whether what branches left was ever pruned altogether."""

    def _answer(self, actor: Actor, request: Request) -> Any:
        # A page that is collected leaves a twin that another pruning put since: it will be read,
        # and the reader is told, though what it reads was replaced. What is lost, `settle` finds.
        if isinstance(request, Tell) and "is missing" in request.message:
            return None
        if isinstance(request, IsAlive) and actor.draws.random() < MISTAKEN:
            return False
        return super(Branched, self)._answer(actor, request)

    def perform(self, request: StorageRequest) -> Any:
        """Answer; and no save may land on a branch that another session holds (P3)."""
        is_save = isinstance(request, Commit) and request.records and request.key == KEY
        before = self.backend.perform(ReadHead(KEY)) if is_save else None
        answer = super(Branched, self).perform(request)
        if isinstance(request, Commit) and before is not None and isinstance(answer, Committed):
            self._check_owner(self.site.head(before), self.site.head(request.head), request)
        return answer

    def _check_owner(self, before: Head, after: Head, request: Commit) -> None:
        """Who saved held the branch, or nobody did; or it took a lease for a dead one's, and away.

        That may be a mistake, which costs the holder its lease, and is its affair.
        """
        for record in self.site.records(after.incarnation, request.records[0]):
            for name, tip in after.branches.items():
                if tip.record != record.id or before.branches.get(name) == tip:
                    continue  # what maintenance puts was saved before
                owner, now = owner_of(before, name), owner_of(after, name)
                is_free = owner in (None, record.session) or now is None
                require(is_free, f"P3: {record.session.hex()[:8]} saved to {name}, which was held")

    def settle(self) -> None:
        """Compare what is there with what was tried, told and shown; and again when it is clean."""
        self._land_late(max((at for at, _ in self.late), default=0))
        before = self._compare()
        self.ask(maintain.maintain(self.site, full=True))
        after = self._compare()
        require(before.keys() == after.keys(), "P7: maintenance changed what there is")
        head = self.ask(read_head(self.site))
        found = self.ask(audit.verify(self.site))
        require(not found.unreferenced, f"what nothing needs is still there: {found.unreferenced}")
        rows = self._count(head)
        require(rows == len(after), f"there are {rows} records, of which {len(after)} are needed")

    def _compare(self) -> dict[str, Kept]:
        found = self.ask(audit.verify(self.site))
        require(found.ok, f"P5: it does not verify: {found.problem}")
        head = self.ask(read_head(self.site))
        journal = self.ask(read_journal(self.site, head))
        self._check_journal(journal)
        kept = self._kept_runs(head)
        self._check_lines(journal, kept)
        self._check_kept(journal, kept)
        self.observe()
        return kept

    def _kept_runs(self, head: Head) -> dict[str, Kept]:
        """Every checkpoint that there is, by its id."""
        kept: dict[str, Kept] = {}
        for _, run in self.ask(every_run(self.site, head)):
            for number in range(run.first, run.number + 1):
                sections, _ = self.ask(state_at(self.site, head, run, number))
                (record,) = self.ask(read_run(self.site, head, run, number, number))
                tokens = tuple(sections[LOG])
                now = kept.setdefault(record.id.hex(), Kept(record, tokens))
                whole = now.tokens == tokens and sections[COUNT] == len(tokens) == number
                require(whole, f"P6: checkpoint {number} has {tokens}, and {now.tokens}")
        return kept

    def _check_kept(self, journal: list[Entry], kept: dict[str, Kept]) -> None:
        """What was told and shown is as it was, or a receipt tells that it went (P1, P2, P7)."""
        receipts = [each.move.receipt for each in journal if each.move.receipt is not None]
        gone = {n for each in receipts for _, a, b in each.removed for n in range(a, b + 1)}
        reached = {token for each in kept.values() for token in each.tokens}
        for each in self.tries.values():
            if each.told is None:
                continue
            there = each.told.id in kept or each.told.number in gone
            require(there, f"P1: {each.token} was acknowledged, and no receipt tells that it went")
            if not self.forgets:
                require(each.token in reached, f"P1: {each.token} is in no checkpoint any more")
                is_safe = each.label is None or each.told.id in kept
                require(is_safe, f"P7: {each.token} was labelled, and pruned")
        for id_, tokens in self.shown.items():
            if id_ in kept:
                require(kept[id_].tokens == tokens, f"P2: {id_[:8]} was shown as {tokens}")
            else:
                require(len(tokens) in gone, f"P7: {id_[:8]} was shown, and no receipt tells of it")

    def _count(self, head: Head) -> int:
        """The records that are stored, but for the journal."""
        asked = [
            ListRows(head.incarnation, line, 1, JOURNAL_LINE, 1000) for line in range(head.lines)
        ]
        return sum(count for each in asked for _, count, _, _ in self.backend.perform(each))


# ---- actors ---------------------------------------------------------------------------------


def pruner(world: Pruned, rounds: int, *, forgets: bool = False) -> Script:
    """Prune so many times, by policies of its own dice."""

    def work(actor: Actor) -> Steps[None]:
        for _ in range(rounds if actor.life <= LIVES_MAX else 0):
            left = timedelta(0) if forgets and actor.draws.random() < 0.5 else LONG
            policy = Retention(keep_last=actor.draws.randint(1, 3), keep_left=left)
            dry_run = actor.draws.random() < 0.1
            world.moves.lost += not dry_run  # until it is known better: it may die meanwhile
            try:
                told = yield from prune(actor.site, policy, dry_run=dry_run)
                if told.receipt is not None:
                    entry = yield from read_entry(
                        actor.site, (yield from read_head(actor.site)), told.receipt
                    )
                    world.moves.told.append(entry)
            except (CommitUnknown, Busy):
                continue
            world.moves.lost -= not dry_run

    return work


def tiring(script: Script) -> Script:
    """The same, for so many lives at most."""

    def work(actor: Actor) -> Steps[None]:
        if actor.life <= LIVES_MAX:
            yield from script(actor)

    return work


def holder(world: Pruned, saves: int, branch: str = MAIN) -> Script:
    """Hold a branch, save, and end; who dies holding it leaves it to its next life, or another."""

    def work(actor: Actor) -> Steps[None]:
        with suppress(BranchNotFound, LeaseLost, Busy, Conflict, CommitUnknown):
            core = yield from open_core(actor, branch)
            core.exclusive = True
            fields = actor.holder.host, actor.holder.pid, actor.holder.boot, actor.holder.started
            if (yield from _took(core, branch, fields)):
                yield from _hold(world, core, branch, saves, actor)

    return work


def _took(core: SessionCore, branch: str, fields: tuple[str, int, str, str]) -> Steps[bool]:
    for _ in range(TRIES_MAX):
        try:
            held = yield from leases.take(core.site, branch, core.id, fields)
        except CommitUnknown:
            continue
        if held is not None:
            return False
        with suppress(CommitUnknown):
            yield from core.refresh(keep_changes=False)
            return True
    return False


def _hold(world: Pruned, core: SessionCore, branch: str, saves: int, actor: Actor) -> Steps[None]:
    """Save so many times; each that is acknowledged was made while nobody else was told to hold."""
    document = core.document
    assert isinstance(document, Document)
    for number in range(saves):
        attempt = Try(branch, f"{actor.name}.{actor.life}.h{number}")
        world.tries[attempt.token] = attempt
        document.state.setdefault(LOG, []).append(attempt.token)
        document.state[COUNT] = len(document.state[LOG])
        body = core.stage()
        assert body is not None
        for _ in range(TRIES_MAX):
            with suppress(CommitUnknown):
                yield from core.flush("power")
                break
        attempt.told = body.saved
    yield from leases.release(core.site, branch, core.id)


# ---- worlds ---------------------------------------------------------------------------------


def every_prune(face: Face, *, saves: int = 1) -> Pruned:
    """Two writers, a pruning, and a step of maintenance, of which the last two may die."""
    world = begun(Pruned(face, "all"), 4)
    world.twins = tuple(
        world.add(f"w{number}", saver(world, saves, tries_max=1)) for number in (1, 2)
    )
    world.add("pruner", pruner(world, 1))
    world.add("upkeep", Upkeep(world, 1, ("step",)))
    world.hurried = tuple(world.actors)
    world.mortal = world.hurried[2:]
    world.sorts_reads, world.begins_anew = True, False
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Pruned:
    """Writers on two branches, movers, pruners, holders, and maintenance."""
    world = begun(Pruned(face, seed), chance.randint(3, 6))
    # In some schedules much is saved while it is pruned, and pages are made and collected.
    times = chance.choice((1, 4))
    for number in range(1, chance.randint(1, 3) + 1):
        branch = chance.choice((MAIN, MAIN, SECOND))
        world.add(f"w{number}", saver(world, chance.randint(1, saves * times), branch))
    world.forgets = chance.random() < 0.3
    for number in range(1, chance.randint(1, 2) + 1):
        world.add(f"p{number}", pruner(world, chance.randint(1, 3 * times), forgets=world.forgets))
    for number in range(1, chance.randint(0, 2) + 1):
        branch = chance.choice((MAIN, SECOND, SECOND))
        world.add(f"h{number}", tiring(holder(world, chance.randint(1, saves * times), branch)))
    for number in range(1, chance.randint(0, 2 // times) + 1):
        world.add(f"m{number}", mover(world, chance.randint(1, 4)))
    for number in range(1, chance.randint(0, 2) + 1):
        kinds = chance.choice((("maintain", "step", "collect", "verify"), PAGE_KINDS))
        world.add(f"upkeep {number}", tiring(Upkeep(world, chance.randint(1, 4), kinds)))
    return world
