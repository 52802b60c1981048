"""What the actors of the simulator do: writers, readers, maintenance.

Each is a generator of engine requests that may be cut off at any of them and begun anew, as a
process that died and was started again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec.structs import replace

from perdure.core.head import MAIN
from perdure.engine import audit, load, maintain, states
from perdure.engine.bodies import Body
from perdure.engine.marks import resumed_from
from perdure.engine.read import Site
from perdure.engine.requests import Now, Random, Steps
from perdure.engine.session import SessionCore
from perdure.engine.unread import Unread
from perdure.errors import Busy, CommitUnknown, Conflict, StateDeleted, StateExists, StateNotFound
from perdure.reports import MaintenanceStep
from perdure.state.document import MISSING, Document
from perdure.testing.model import COUNT, LOG, Attempt, Broken, Model, Sections, require
from perdure.testing.sim_process import Actor
from perdure.testing.sim_world import KEY, STORE, World

Script: TypeAlias = Callable[[Actor], Steps[None]]

TRIES_MAX = 40

ALL_KINDS = "maintain", "maintain", "step", "collect", "verify", "copy", "hide", "list"
PAGE_KINDS = "step", "collect"
"""Kinds of work of `Upkeep`: all of them, and those that meet each other at pages."""


def plain(document: Document) -> Sections:
    """A document's content as plain data."""
    return {name: _plain(value) for name, value in document.state.items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


@dataclass(slots=True)
class _Session:
    """An open session of a writer."""

    model: Model
    core: SessionCore
    document: Document
    who: str

    def save(self, owner: str, token: str, *, ending: bool = False) -> Steps[bool]:
        """Save one more token; False if it was given up to another writer.

        `ending` saves by ending the session, whose end then rides in the record.
        """
        attempt = self.model.saving(owner, token)
        _edit(self.document, owner, token)
        body = self.core.stage()
        assert body is not None
        for _ in range(TRIES_MAX):
            try:
                if ending:
                    yield from self.core.end("closed", None, "power")
                else:
                    yield from self.core.flush("power")
            except (CommitUnknown, Busy):
                continue
            except Conflict:
                if not (yield from self._refreshed(attempt, body)):
                    return False
                continue
            self._acknowledge(attempt, body)
            return True
        raise Broken(f"{self.who} could not save {token} in {TRIES_MAX} tries")

    def _refreshed(self, attempt: Attempt, body: Body) -> Steps[bool]:
        """Whether the save may be tried again on top of what the others saved."""
        try:
            yield from self.core.refresh(keep_changes=True)
        except (CommitUnknown, Busy):
            return True
        except Conflict:
            while True:
                try:
                    yield from self.core.refresh(keep_changes=False)
                    break
                except (CommitUnknown, Busy):
                    continue
            if body.saved is not None:
                return True
            self.model.gave_up(attempt)
            self._show()
            return False
        return True

    def _acknowledge(self, attempt: Attempt, body: Body) -> None:
        self.model.acknowledged(attempt, body.saved)
        self._show()

    def _show(self) -> None:
        """What is in the live containers is what the store holds (P13)."""
        checkpoint = self.core.checkpoint
        assert checkpoint is not None
        self.model.seen(f"{self.who} in its session", checkpoint.number, plain(self.document))


def _edit(document: Document, owner: str, token: str) -> None:
    """What every save changes."""
    log = document.state.setdefault(f"{LOG} {owner}", [])
    log.append(token)
    document.state[f"{COUNT} {owner}"] = len(log)


def writer(world: World, saves: int, owner: str | None = None, *, rides: bool = False) -> Script:
    """Open, save until the state holds `saves` tokens of its own, end.

    `owner` names the sections it edits: its own by default, or some it shares with others. If the
    end `rides`, the last save is made by ending the session; else the end is a commit of its own.
    """

    def work(actor: Actor) -> Steps[None]:
        session = yield from _open(actor.site, world.model, actor)
        sections = owner or actor.name
        tries = 0
        while (done := _saved(session.document, sections, actor.name)) < saves:
            tries += 1
            token = f"{actor.name}.{actor.life}.{tries}"
            yield from session.save(sections, token, ending=rides and done == saves - 1)
        while True:
            try:
                yield from session.core.end("closed", None, "power")
                return
            except (CommitUnknown, Busy):
                continue

    return work


def _saved(document: Document, owner: str, name: str) -> int:
    log = document.state.get(f"{LOG} {owner}", [])
    return sum(token.startswith(f"{name}.") for token in log)


def _open(site: Site, model: Model, actor: Actor) -> Steps[_Session]:
    floor = model.floor
    loaded = yield from load.load(site)
    if loaded is not None and loaded.head.deleted_us is None:
        model.seen(actor.name, loaded.head.branches[MAIN].number, loaded.sections, floor)
        sections = {name: _plain(value) for name, value in loaded.sections.items()}
    else:
        sections = {}
    _, told = yield from resumed_from(site, loaded)
    id_ = yield Random(16)
    now = yield Now()
    document = Document(sections)
    core = SessionCore(
        site,
        document,
        loaded,
        id=id_,
        started_us=now,
        holder=actor.holder,
        told=tuple(told),
        elsewhere={},
        missing=MISSING,
    )
    return _Session(model, core, document, actor.name)


def reader(world: World, loads: int) -> Script:
    """Load again and again: the newest state, its history, and the state at an older checkpoint."""

    def work(actor: Actor) -> Steps[None]:
        last = 0
        for _ in range(loads):
            floor = max(world.model.floor, last)
            loaded = yield from load.load(actor.site)
            if loaded is None:
                require(floor == 0, f"P1: {actor.name} found no state; {floor} was acknowledged")
                continue
            last = loaded.head.branches[MAIN].number
            world.model.seen(actor.name, last, loaded.sections, floor)
            floor = world.model.floor
            history = yield from states.history(actor.site, None, None, False)
            numbers = [checkpoint.number for checkpoint in history]
            whole = numbers == list(range(len(numbers), 0, -1)) and len(numbers) >= floor
            require(whole, f"P2: {actor.name} was shown the history {numbers}")
            yield from _lazily(world, actor)
            at = actor.draws.randint(1, last)
            older = yield from load.load_at(actor.site, at)
            world.model.seen(f"{actor.name} at {at}", at, older.sections)

    return work


def _lazily(world: World, actor: Actor) -> Steps[None]:
    """Open, and read the sections only then: what they hold is that of one checkpoint (P2)."""
    loaded = yield from load.load(actor.site, wanted=lambda _: False)
    assert loaded is not None
    sections = dict(loaded.sections)
    for name, value in loaded.sections.items():
        if isinstance(value, Unread):
            sections[name] = yield from load.read_section(
                actor.site, loaded.head, MAIN, name, {name: value}
            )
    number = loaded.head.branches[MAIN].number
    world.model.seen(f"{actor.name}, which read lazily,", number, sections)


class _Stopped(Exception):
    """Maintenance is stopped after a step."""


@dataclass(slots=True)
class Upkeep:
    """The maintenance actor: one kind of work after another, by its own dice.

    A kind of work is a method named in `kinds`.
    """

    world: World
    rounds: int
    kinds: tuple[str, ...] = ALL_KINDS

    def __call__(self, actor: Actor) -> Steps[None]:
        """The actor's script."""
        for _ in range(self.rounds):
            work: Script = getattr(self, actor.draws.choice(self.kinds))
            try:
                yield from work(actor)
            except (CommitUnknown, Busy, Conflict, StateDeleted, StateNotFound):
                continue

    def maintain(self, actor: Actor) -> Steps[None]:
        """Make snapshots and packs, and collect what they leave."""
        yield from maintain.maintain(actor.site, full=actor.draws.random() < 0.9)

    def step(self, actor: Actor) -> Steps[None]:
        """Do the one step that is most due, and be stopped then."""

        def stop(_step: MaintenanceStep) -> None:
            raise _Stopped

        with suppress(_Stopped):
            yield from maintain.maintain(actor.site, done=stop)

    def collect(self, actor: Actor) -> Steps[None]:
        """Remove pages that nothing leads to, whatever else is due."""
        yield from maintain.collect(actor.site)

    def verify(self, actor: Actor) -> Steps[None]:
        """Verify the state while it is being written."""
        if (yield from load.load(actor.site)) is not None:
            found = yield from audit.verify(actor.site)
            require(found.ok, f"P5: {actor.name} found damage: {found.problem}")

    def copy(self, actor: Actor) -> Steps[None]:
        """Copy the state under a new name; the copy is a whole state of its own."""
        target = replace(actor.site, key=f"{KEY}/copy/{actor.draws.randbytes(4).hex()}")
        floor = self.world.model.floor
        info = yield from states.copy(actor.site, target)
        loaded = yield from load.load(target)
        assert loaded is not None
        number = loaded.head.branches[MAIN].number
        require(number == info.number, f"P2: the copy has {number}, not {info.number} checkpoints")
        self.world.model.seen(f"the copy by {actor.name}", number, loaded.sections, floor)

    def hide(self, actor: Actor) -> Steps[None]:
        """Make another state, delete it and bring it back; its history stays (P7)."""
        site = replace(actor.site, key=f"sim/other/{actor.name}")
        yield from self._show(site)
        session = yield from _open(site, Model(), actor)
        token = f"{actor.name}.{actor.draws.randbytes(4).hex()}"
        _edit(session.document, "other", token)
        log = session.document.state[f"{LOG} other"]
        session.core.stage()
        yield from session.core.flush("power")
        yield from session.core.end("closed", None, "power")
        deleted = yield from states.delete(site)
        require(deleted.number == len(log), f"P7: deleting shows {deleted.number} checkpoints")
        found = yield from states.listing(STORE.store_id, site.key, 10, None, True)
        # More than one life of it, where an earlier round was cut off before it brought one back.
        require({info.key for info in found} == {site.key}, f"{site.key} is not among the deleted")
        yield from self._show(site)
        loaded = yield from load.load(site)
        shown = loaded.sections[f"{LOG} other"] if loaded is not None else None
        require(shown == list(log), f"P7: {site.key} came back with {shown}, not {list(log)}")

    def _show(self, site: Site) -> Steps[None]:
        try:
            yield from states.undelete(site)
        except (StateNotFound, StateExists):
            return

    def list(self, actor: Actor) -> Steps[None]:
        """List all states; the one being written is there as far as it was acknowledged."""
        floor = self.world.model.floor
        found = yield from states.listing(STORE.store_id, KEY, 100, None, False)
        number = max((info.number for info in found if info.key == self.world.site.key), default=0)
        require(number >= floor, f"P1: {actor.name} listed {number}, not {floor}")
