"""The simulated world: one store, actors at work on it, and a scheduler that answers everything.

An actor is a generator of engine requests. Whatever it asks of the machine (time, randomness,
who lives) the world answers at once, from the actor's own stream. A storage request waits until
the scheduler chooses the actor, and what becomes of it: see `sim_process.ACTIONS`. So a run is a
function of the choices alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend, StoreInfo
from perdure.cache import Cache
from perdure.core.head import MAIN
from perdure.core.seal import FORMAT
from perdure.engine import audit, load, states
from perdure.engine.read import Site
from perdure.engine.requests import (
    Commit,
    Committed,
    Compute,
    Erase,
    IsAlive,
    ListHeads,
    Moved,
    Now,
    Pause,
    Random,
    ReadState,
    Request,
    StateRows,
    Steps,
    StorageRequest,
    Tell,
)
from perdure.errors import CommitUnknown, PerdureError
from perdure.testing.model import Broken, Model, require
from perdure.testing.sim_process import Action, Actor, Died
from perdure.testing.sim_stores import SimulatedObjects, perhaps_encrypted

T = TypeVar("T")

Face: TypeAlias = Literal["transactional", "objects"]
KEY = "sim/state"
STORE = StoreInfo(b"simulated store!", FORMAT, 0)
EPOCH_US = 1_700_000_000_000_000
TICK_US = 1000
DELAY_STEPS_MAX = 30
CACHE_BYTES = 1_000_000
"""More than all that is read in one schedule."""


LOCAL = (Now, Random, Pause, IsAlive, Compute, Tell)
"""What the world answers at once."""

WRITES = (Commit, Erase)
"""What changes what there is, for all: requests between two of them may come in any order."""


@dataclass(slots=True)
class World:
    """A store, its actors, and what happened so far."""

    face: Face
    seed: str
    backend: Backend = field(init=False)
    model: Model = field(default_factory=Model)
    site: Site = field(default_factory=lambda: Site(STORE.store_id, KEY))
    actors: list[Actor] = field(default_factory=list)
    step: int = 0
    commits: int = 0
    faults: dict[Action, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    late: list[tuple[int, Commit]] = field(default_factory=list)
    is_tearing: bool = False
    """Planted: a crash after a commit leaves its head without its records."""
    is_losing: bool = False
    """Whether what is asked for now gets lost before it comes to the store."""
    inside: Callable[[], None] | None = None
    """Called between the operations of an object store."""
    twins: tuple[Actor, ...] = ()
    """Actors that differ in nothing but their names."""
    hurried: tuple[Actor, ...] = ()
    """Actors that come from one commit to the next in one go, where all schedules are run."""
    mortal: tuple[Actor, ...] = ()
    """Those of them that may die."""
    begins_anew: bool = True
    """Whether an actor that died is started again."""
    sorts_reads: bool = False
    """Whether reads between two writes are taken in one order only, where all schedules are run."""
    is_known: bool = False
    """These steps were checked already, in an earlier schedule that began the same."""

    def __post_init__(self) -> None:
        """Make the store, with an identity that is the same in every run."""
        inner: MemoryBackend | ObjectBackend
        is_one = self.face == "transactional"
        inner = MemoryBackend() if is_one else SimulatedObjects(self._step_in)
        inner._info = STORE
        self.backend = perhaps_encrypted(inner, lambda: self.is_losing)

    # ---- actors ---------------------------------------------------------------------------

    def add(
        self,
        name: str,
        script: Callable[[Actor], Steps[None]],
        skew_us: int = 0,
        cache: Cache | None = None,
    ) -> Actor:
        """A new actor, begun; `cache` is that of its process, one of its own by default."""
        site = Site(STORE.store_id, KEY, Cache(CACHE_BYTES) if cache is None else cache)
        actor = Actor(name, script, f"{self.seed}/{name}", site, skew_us)
        self.actors.append(actor)
        self.begin(actor)
        return actor

    def begin(self, actor: Actor) -> None:
        """A new life of an actor."""
        actor.life += 1
        actor.steps = actor.script(actor)
        self.resume(actor, None)

    def die(self, actor: Actor) -> None:
        """End an actor's life where it is, and begin the next."""
        if actor.steps is not None:
            actor.steps.close()
        actor.pending = None
        actor.history = hash((actor.history, "died"))
        assert isinstance(actor.site.cache, Cache)
        actor.site.cache.renew()
        actor.steps = None
        self.forget()
        if self.begins_anew:
            self.begin(actor)

    def resume(self, actor: Actor, answer: Any) -> None:
        """Let an actor work until it needs the store, or ends."""
        actor.pending = None
        assert actor.steps is not None
        follows = False
        while True:
            if not follows:
                mark = repr(answer) if isinstance(answer, Exception) else answer
                actor.history = hash((actor.history, mark))
            try:
                if isinstance(answer, Exception):
                    request = actor.steps.throw(answer)
                else:
                    request = actor.steps.send(answer)
            except StopIteration:
                actor.steps = None
                return
            except AssertionError:
                raise
            except Exception as error:
                raise Broken(f"{actor.name} got {type(error).__name__}: {error}") from error
            if not isinstance(request, LOCAL):
                actor.pending = request
                return
            answer = self._answer(actor, request)
            follows = isinstance(request, Compute)  # from what the actor was told before

    def _answer(self, actor: Actor, request: Request) -> Any:
        match request:
            case Now():
                return EPOCH_US + self.commits * TICK_US + actor.skew_us
            case Random():
                return actor.draws.randbytes(request.size)
            case IsAlive():
                return any(each.holder == request.holder and each.steps for each in self.actors)
            case Compute():
                return request.work()
            case Tell():
                raise Broken(f"P5: {actor.name} was told of damage: {request.message}")
            case _:
                return None

    # ---- storage --------------------------------------------------------------------------

    def perform(self, request: StorageRequest) -> Any:
        """Have the backend answer; an error is an answer."""
        try:
            answer = self.backend.perform(request)
        except PerdureError as error:
            return error
        if isinstance(answer, Committed):
            self.commits += 1
        return answer

    def ask(self, steps: Steps[T], name: str = "the checker") -> T:
        """Run an engine function without interruption, as a checker does."""
        asker = Actor(name, lambda _: steps, name, self.site)  # type: ignore[arg-type, return-value]
        answer: Any = None
        while True:
            try:
                if isinstance(answer, Exception):
                    request = steps.throw(answer)
                else:
                    request = steps.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            except PerdureError as error:
                raise Broken(f"{name} got {type(error).__name__}: {error}") from error
            is_local = isinstance(request, LOCAL)
            answer = self._answer(asker, request) if is_local else self.perform(request)  # type: ignore[arg-type]

    def observe(self) -> None:
        """Load the state as a reader would at this very moment, and check what it shows."""
        loaded = self.ask(load.load(self.site))
        if loaded is not None:
            number = loaded.head.branches[MAIN].number
            self.model.seen(f"a load at step {self.step}", number, loaded.sections)

    # ---- one step -------------------------------------------------------------------------

    def ready(self) -> list[Actor]:
        """Actors that may go on: those awake, else the first to wake."""
        self._land_late(self.step)
        working = [actor for actor in self.actors if actor.steps is not None]
        awake = [actor for actor in working if actor.wakes <= self.step]
        return awake or sorted(working, key=lambda actor: actor.wakes)[:1]

    def take(self, actor: Actor, action: Action, delay: int = 1) -> None:
        """Let this happen to the actor's pending request."""
        self.step += 1
        actor.has_begun = True
        if actor.waiting:
            (answer,), actor.waiting = actor.waiting, ()
            self._note(actor, "wakes", answer)
            self.resume(actor, answer)
            return
        request = actor.pending
        assert request is not None
        if action != "proceed":
            self.faults[action] = self.faults.get(action, 0) + 1
        self._act(actor, request, action, delay)
        if isinstance(request, WRITES) and not self.is_known:
            self.observe()

    def _act(self, actor: Actor, request: StorageRequest, action: Action, delay: int) -> None:
        answer: Any = None
        if action in ("proceed", "crash after", "lose answer", "outage after", "delay answer"):
            answer = self._perform(request, action)
        elif action in ("lose request", "outage before"):
            self._lose(request)
        elif action == "crash inside":
            answer = self._perform_partly(request, delay)
        elif action.endswith("late"):
            assert isinstance(request, Commit)
            self.late.append((self.step + delay, request))
        self._note(actor, action, answer)
        if action.startswith("crash"):
            self.die(actor)
        elif action == "delay answer":
            actor.wakes, actor.waiting = self.step + delay, (answer,)
        elif action == "proceed":
            self.resume(actor, answer)
        else:
            self.resume(actor, CommitUnknown("the answer was lost"))
            while action.startswith("outage") and actor.pending is request:
                self.resume(actor, CommitUnknown("the answer was lost again"))

    def _perform(self, request: StorageRequest, action: Action) -> Any:
        if self.is_tearing and action == "crash after" and isinstance(request, Commit):
            request = Commit(request.key, request.expect, request.head, request.tail)
        return self.perform(request)

    def _lose(self, request: StorageRequest) -> None:
        """The store never sees it; a layer that encrypts did, and may remember it."""
        if getattr(self.backend, "is_keyed", False):
            self.is_losing = True
            self.perform(request)
            self.is_losing = False

    def forget(self) -> None:
        """Let a layer that encrypts know nothing but what is stored, as in a new process."""
        renew = getattr(self.backend, "renew", None)
        if renew is not None:
            renew()

    def _perform_partly(self, request: StorageRequest, operations: int) -> Any:
        left = operations

        def count() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Died

        self.inside = count
        try:
            return self.perform(request)
        except Died:
            return None
        finally:
            self.inside = None

    def _land_late(self, step: int) -> None:
        due = [commit for at, commit in self.late if at <= step]
        self.late = [(at, commit) for at, commit in self.late if at > step]
        for commit in due:
            answer = self.perform(commit)
            self.trace.append(f"{self.step:4} a late write arrives: {_short(answer)}")
            self.observe()

    def _note(self, actor: Actor, what: str, answer: Any) -> None:
        request = type(actor.pending).__name__
        if isinstance(actor.pending, Commit) and actor.pending.records:
            request += f" of record {actor.pending.records[0].number}"
        name = f"{actor.name}#{actor.life}"
        self.trace.append(f"{self.step:4} {name:14} {request:22} {what:14} {_short(answer)}")

    def settle(self) -> None:
        """Compare the store as it is now with all that was tried, told and shown until now."""
        self._land_late(max((at for at, _ in self.late), default=0))
        for key in self.keys():
            found = self.ask(audit.verify(Site(STORE.store_id, key)))
            require(found.ok, f"P5: {key} does not verify: {found.problem}")
        for key in self.copies():
            copied = self.ask(load.load(Site(STORE.store_id, key)))
            assert copied is not None
            self.model.seen(key, copied.head.branches[MAIN].number, copied.sections)
        loaded = self.ask(load.load(self.site))
        if loaded is not None:
            history = self.ask(states.history(self.site, None, None, True))
            self.model.settle(history[::-1], loaded.sections)
        else:
            self.model.settle([], {})

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of the states in the store."""
        return [key for key, _ in self.backend.perform(ListHeads(prefix, None, 1000))]

    def copies(self) -> list[str]:
        """Keys of the copies that maintenance made."""
        return self.keys(f"{KEY}/copy/")

    def _step_in(self) -> None:
        if self.inside is not None:
            self.inside()

    def digest(self) -> tuple[Any, ...]:
        """All that the future depends on: the store, and what every actor was told."""
        store = tuple(self.backend.perform(ReadState(key)) for key in self.keys())
        actors = tuple((a.history, a.life, a.steps is None) for a in self.actors)
        return hash(store), self.commits, sum(self.faults.values()), actors


def _short(answer: Any) -> str:
    match answer:
        case None:
            return ""
        case StateRows():
            return f"{len(answer.records)} record(s)"
        case Moved():
            return "Moved"
        case Committed():
            return "Committed"
        case tuple():
            return f"{len(answer)} row(s)"
        case Exception():
            return f"{type(answer).__name__}: {answer}"
    return type(answer).__name__
