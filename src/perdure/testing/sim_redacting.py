"""The simulator's redactors: texts are taken out of a history while others save to it (P7, P8).

Each save writes a secret of its own beside its token. From the commit of a redaction on, no secret
that anybody had made by then is ever there again, in any checkpoint or page: not by a save that was
built before, and not by maintenance. All else stays: tokens, numbers, ids and hashes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Head, succeeding
from perdure.core.redaction import wanted
from perdure.core.seal import Kind, Place, unseal
from perdure.engine import audit, load, maintain, redact, states
from perdure.engine.journal import read_journal
from perdure.engine.load import state_at
from perdure.engine.read import read_head
from perdure.engine.requests import (
    Commit,
    Committed,
    ListPages,
    ReadHead,
    ReadPages,
    Steps,
    StorageRequest,
)
from perdure.engine.session import SessionCore
from perdure.errors import Busy, CommitUnknown, Conflict, Redacted, StateNotFound
from perdure.state.document import Document
from perdure.testing.model import require
from perdure.testing.sim_actors import Script, Upkeep
from perdure.testing.sim_branches import COUNT, LOG, open_core
from perdure.testing.sim_plants import Bug
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import KEY, Face, World
from perdure.types import Checkpoint

LIVES_MAX = 8
SECRET = re.compile(r"secret of [^!]+!")
EVERYWHERE = wanted(None, SECRET)


class Redactions(World):
    """A world in whose state there are secrets."""

    __slots__ = ("acknowledged", "gone", "made", "receipts")

    def __post_init__(self) -> None:
        """Make the store; nothing was saved to it yet."""
        super().__post_init__()
        self.made: set[str] = set()
        """Every secret that anybody has written to a state in memory."""
        self.gone: set[str] = set()
        """Those that were made before the newest redaction: none is stored any more."""
        self.acknowledged: dict[str, Checkpoint] = {}
        """By token, what a save that was told to have landed was told."""
        self.receipts: set[int] = set()
        """The movements that redactors were told of."""

    def perform(self, request: StorageRequest) -> Any:
        """Answer; what adds to the journal here is a redaction."""
        is_ours = isinstance(request, Commit) and request.key == KEY
        before = self.backend.perform(ReadHead(KEY)) if is_ours else None
        answer = super().perform(request)
        if isinstance(request, Commit) and before is not None and isinstance(answer, Committed):
            head = self.site.head(request.head)
            self.gone |= self.made if head.journal != self.site.head(before).journal else set()
        return answer

    def observe(self) -> None:
        """Load the state as a reader would at this very moment."""
        loaded = self.ask(load.load(self.site))
        if loaded is not None:
            self._check(loaded.sections, "a load")

    def _check(self, sections: dict[str, Any], what: str) -> list[str]:
        """The tokens of a state: that it is whole, and has nothing that was redacted."""
        log = list(sections.get(LOG, []))
        require(len(log) == sections.get(COUNT, 0), f"P2: {what} saw a part of a checkpoint")
        there = self.gone & {text.partition(" ")[2] for text in log}
        require(not there, f"P8: {what} saw {sorted(there)}, which was redacted")
        return [text.partition(" ")[0] for text in log]

    def settle(self) -> None:
        """Look at every checkpoint, and at every page, for what is told to be gone or there."""
        self._land_late(max((at for at, _ in self.late), default=0))
        self.observe()
        head = self.ask(read_head(self.site))
        if head is None:
            require(not self.acknowledged, "P1: what was acknowledged is not there")
            return
        self._check_history(head)
        self.ask(maintain.maintain(self.site, full=True))
        found = self.ask(audit.verify(self.site))
        require(found.ok, f"P5: it does not verify: {found.problem}")
        require(not found.unreferenced, f"what nothing needs is still there: {found.unreferenced}")
        head = self.ask(read_head(self.site))
        self._check_history(head)
        self._check_pages(head)

    def _check_history(self, head: Head) -> None:
        history = self.ask(states.history(self.site, None, None, True))[::-1]
        tip, before = head.branches[MAIN], list[str]()
        for each in history:
            sections, _ = self.ask(state_at(self.site, head, tip, each.number))
            tokens = self._check(sections, f"checkpoint {each.number}")
            require(tokens[: len(before)] == before, f"P7: {each.number} has other tokens")
            before = tokens
        there = {each.number: (each.id, each.hash) for each in history}
        require([*there] == [*range(1, tip.number + 1)], "P7: the history has a gap")
        for token, told in self.acknowledged.items():
            require(token in before, f"P1: {token} was acknowledged, and is not there")
            is_same = there.get(told.number) == (told.id, told.hash)
            require(is_same, f"P7: checkpoint {told.number} has another id or hash by now")
        journal = self.ask(read_journal(self.site, head))
        missing = self.receipts - {each.number for each in journal}
        require(not missing, f"P7: there are no receipts {missing}")

    def _check_pages(self, head: Head) -> None:
        listed = self.backend.perform(ListPages(head.incarnation, None, 10_000))
        ids = tuple(id_ for id_, _ in listed)
        for row in self.backend.perform(ReadPages(head.incarnation, ids)):
            place = Place(self.site.store, head.incarnation, page=row.id)
            page = unseal(Kind.PAGE, place, row.blob, limits.page_payload_bytes_max)
            there = [secret for secret in sorted(self.gone) if secret.encode() in page]
            require(not there, f"P8: a page has {there}, which was redacted")


# ---- actors ---------------------------------------------------------------------------------


def writer(world: Redactions, saves: int) -> Script:
    """Save so many secrets, in sessions that go on, or begin anew."""

    def work(actor: Actor) -> Steps[None]:
        core: SessionCore | None = None
        for number in range(saves if actor.life <= LIVES_MAX else 0):
            try:
                if core is None or actor.draws.random() < 0.3:
                    core = yield from open_core(actor, MAIN)
                yield from _save(world, core, f"{actor.name}.{actor.life}.{number}")
            except (Conflict, Redacted, Busy, CommitUnknown):
                core = None

    return work


def _save(world: Redactions, core: SessionCore, token: str) -> Steps[None]:
    document, secret = core.document, f"secret of {token}!"
    assert isinstance(document, Document)
    world.made.add(secret)
    document.state.setdefault(LOG, []).append(f"{token} {secret}")
    document.state[COUNT] = len(document.state[LOG])
    body = core.stage()
    assert body is not None
    yield from core.flush("power")
    assert body.saved is not None
    world.acknowledged[token] = body.saved


def redactor(world: Redactions, rounds: int) -> Script:
    """Redact every secret that is there, so many times."""

    def work(actor: Actor) -> Steps[None]:
        for _ in range(rounds if actor.life <= LIVES_MAX else 0):
            try:
                told = yield from redact.redact(actor.site, EVERYWHERE, None, dry_run=False)
            except (Busy, CommitUnknown, StateNotFound):
                continue
            if told.receipt is not None:
                world.receipts.add(told.receipt)

    return work


# ---- worlds ---------------------------------------------------------------------------------


def every_redaction(face: Face) -> Redactions:
    """Two writers of one save each, and a redaction, which may die."""
    world = Redactions(face, "all")
    world.is_known = True  # it is the same each time
    first = world.add("first", writer(world, 1))
    while first.steps is not None:
        world.take(first, "proceed")
    world.actors.clear()
    world.is_known = False
    world.twins = tuple(world.add(f"w{number}", writer(world, 1)) for number in (1, 2))
    world.add("redactor", redactor(world, 1))
    world.hurried = tuple(world.actors)
    world.mortal = world.hurried[2:]
    world.sorts_reads, world.begins_anew = True, False
    return world


def by_chance(face: Face, seed: str, chance: random.Random, saves: int) -> Redactions:
    """Writers, redactors and maintenance."""
    world = Redactions(face, seed)
    for number in range(1, chance.randint(1, 3) + 1):
        world.add(f"w{number}", writer(world, chance.randint(1, 3 * saves)))
    for number in range(1, chance.randint(1, 2) + 1):
        world.add(f"r{number}", redactor(world, chance.randint(1, 3)))
    for number in range(1, chance.randint(0, 2) + 1):
        kinds = chance.choice((("maintain", "step", "collect", "verify"), ("step", "collect")))
        world.add(f"upkeep {number}", Upkeep(world, chance.randint(1, 4), kinds))
    return world


# ---- planted bugs ---------------------------------------------------------------------------


@contextmanager
def _unfenced() -> Iterator[None]:
    """A redaction that does not fence off what was built before it."""

    def planted(new: Head, old: Head, token: bytes) -> Head:
        return succeeding(replace(new, fence=old.fence), old, token)

    with patch.object(redact, "succeeding", planted):
        yield


REDACTING_BUGS = {
    "redaction-unfenced": Bug("A save built before a redaction lands after it (P8).", _unfenced),
}
"""Bugs to plant; see `perdure.testing.sim_plants`."""
