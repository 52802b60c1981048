"""Real kills: processes that save as fast as they can, killed at random moments.

Each writer reports every save on a pipe as soon as it returned and before the next begins. After
the kill the store is opened again and compared with what the writer had reported: every
acknowledged save is there under its id (P1), the newest checkpoint is the last acknowledged one or
the one that was under way, and the state at it is whole (P2).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from perdure import Session, Store
    from perdure.types import Durability

Edit: TypeAlias = Callable[[MutableMapping[str, Any], int], None]
"""Makes the n-th edit. It changes something, and depends on nothing but the state and n."""

Acknowledged: TypeAlias = dict[int, bytes]
"""Ids of the checkpoints whose save returned, by number."""

KEY = "victim"
ACKNOWLEDGEMENT = struct.Struct(">Q16s")
LIFETIME_SECONDS = 0.08
YOUNG_SHARE = 0.15  # of the writers die while they start, or make the store


def die() -> NoReturn:
    """End this process at once, as `kill -9` would: nothing is flushed and no handler runs."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)


@dataclass(frozen=True, slots=True)
class KillReport:
    """What a run of real kills saw."""

    kills: int
    acknowledged: int
    """Saves that had returned when their process was killed. All were found again."""
    unanswered: int
    """Saves that took effect although the process died before they returned."""


# ---- shapes of work -------------------------------------------------------------------------


def append(state: MutableMapping[str, Any], step: int) -> None:
    """One message more, as an agent does all day."""
    state.setdefault("messages", []).append({"role": "user", "content": f"message {step}"})


def edit(state: MutableMapping[str, Any], step: int) -> None:
    """One field, deep inside, of one task of many."""
    tasks = state.setdefault("tasks", [{"log": {"tries": 0}} for _ in range(50)])
    tasks[step * 7 % len(tasks)]["log"].update(tries=step, at=f"step {step}")


def delete(state: MutableMapping[str, Any], step: int) -> None:
    """Whole sections come and go, and a queue is worked off from the front."""
    state[f"section {step % 5}"] = {"step": step}
    state.pop(f"section {(step + 2) % 5}", None)
    queue = state.setdefault("queue", [])
    queue.append(step)
    if len(queue) > 20:
        del queue[: step % 7 + 1]


def large(state: MutableMapping[str, Any], step: int) -> None:
    """A value of up to 300 kB that does not compress, replaced each time."""
    state["blob"] = random.Random(step).randbytes(step % 6 * 50_000 + 1)
    state["step"] = step


SHAPES: dict[str, Edit] = {"append": append, "edit": edit, "delete": delete, "large": large}
"""Kinds of work to interrupt, by name."""


# ---- one writer -----------------------------------------------------------------------------


def kill_while_saving(url: str, shape: str, *, kills: int, seed: int = 0) -> KillReport:
    """Kill a writer `kills` times at random moments; after each, compare store and pipe.

    Args:
        url: A store that processes can share; new, or left by an earlier run of this shape.
        shape: A name in `SHAPES`.
        kills: How many processes to kill.
        seed: Draws the moments and, for each writer, its durability.

    Raises:
        AssertionError: A promise was broken, or a writer failed. The message says how.
    """
    from perdure import Store

    chance = random.Random(seed)
    model: dict[str, Any] = {}
    known = Acknowledged()
    number = unanswered = 0
    for kill in range(1, kills + 1):
        durability = chance.choice(("power", "process"))
        writer = Worker.start(_write_alone, url, shape, durability)
        lifetime = chance.random() * LIFETIME_SECONDS
        fresh = writer.watch_and_kill(lifetime, young=chance.random() < YOUNG_SHARE)
        known |= fresh
        told = max(fresh, default=number)
        with Store(url) as store:
            newest = newest_in(store)
            place = f"after kill {kill} of seed {seed} ({shape}, {durability})"
            assert newest in (told, told + 1), f"{place}: at {newest}, acknowledged up to {told}"
            require_kept(store, fresh, place)
            for step in range(number + 1, newest + 1):
                SHAPES[shape](model, step)
            require_whole(store, model, place)
        unanswered += newest - told
        number = newest
    with Store(url) as store:
        require_kept(store, known, f"at the end of seed {seed} ({shape})")
        assert all(each.ok for each in store.verify(KEY)), "the store does not verify"
    return KillReport(kills, len(known), unanswered)


def _write_alone(url: str, shape: str, durability: Durability, acks: Connection) -> None:
    from perdure import Store

    store = Store(url)
    session = store.open(KEY)
    step = session.checkpoint.number if session.checkpoint else 0
    while True:
        step += 1
        SHAPES[shape](session.state, step)
        checkpoint = session.save(durability=durability)
        assert checkpoint.number == step, "each step of a shape must change something"
        acks.send_bytes(ACKNOWLEDGEMENT.pack(step, bytes.fromhex(checkpoint.id)))


# ---- two writers on one state ---------------------------------------------------------------


def kill_rivals(url: str, *, kills: int, seed: int = 0) -> KillReport:
    """Let two writers share one state, kill both at random moments, and count (P1, P3).

    Each appends to a section of its own and takes the other's saves in when it meets a `Conflict`.

    Raises:
        AssertionError: An acknowledged save of either is missing. The message says how.
    """
    from perdure import Store

    chance = random.Random(seed)
    known = Acknowledged()
    unanswered = 0
    for kill in range(1, kills // 2 + 1):
        rivals = [Worker.start(_write_rivalling, url, name) for name in ("left", "right")]
        fresh = Acknowledged()
        try:
            # One may keep the other from saving for long: the first save of either starts the time.
            wait([rival.acks for rival in rivals])
            for rival in rivals:
                theirs = rival.watch_and_kill(chance.random() * LIFETIME_SECONDS, young=True)
                assert not theirs.keys() & fresh.keys(), "one number was acknowledged to both"
                fresh |= theirs
        finally:
            for rival in rivals:
                rival.process.kill()
        known |= fresh
        with Store(url) as store:
            place = f"after pair {kill} of seed {seed}"
            require_kept(store, fresh, place)
            newest = newest_in(store)
            state = store.at(KEY, newest).plain() if newest else {}
        lists = [state.get(name, []) for name in ("left", "right")]
        assert all(each == list(range(len(each))) for each in lists), f"{place}: a gap or a repeat"
        assert sum(map(len, lists)) == newest, f"{place}: an update was lost"
        unanswered = newest - len(known)
        assert 0 <= unanswered <= 2 * kill, f"{place}: {newest} saved, {len(known)} acknowledged"
    with Store(url) as store:
        require_kept(store, known, f"at the end of seed {seed}")
    return KillReport(2 * (kills // 2), len(known), unanswered)


def _write_rivalling(url: str, name: str, acks: Connection) -> None:
    from perdure import Conflict, Store

    store = Store(url, busy_timeout=60.0)
    session = store.open(KEY)
    while True:
        mine = session.state.setdefault(name, [])
        mine.append(len(mine))
        checkpoint = None
        while checkpoint is None:
            try:
                checkpoint = session.save()
            except Conflict:
                session.refresh(keep_changes=True)
        acks.send_bytes(ACKNOWLEDGEMENT.pack(checkpoint.number, bytes.fromhex(checkpoint.id)))


# ---- processes and comparisons --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Worker:
    """A process at work on a store, and our end of the pipe on which it tells what it has done."""

    process: Any
    acks: Connection

    @classmethod
    def start(cls, target: Callable[..., None], *args: object) -> Worker:
        """Let `target` work in a new process; its last argument is its end of the pipe."""
        # A fork server that has the library imported already starts a writer in milliseconds.
        warm = sys.platform != "win32"
        context: Any = multiprocessing.get_context("forkserver" if warm else "spawn")
        context.set_forkserver_preload([__name__, "perdure.store", "perdure.backends.sqlite"])
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=target, args=(*args, theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def watch_and_kill(self, lifetime_seconds: float, *, young: bool = False) -> Acknowledged:
        """Read what it acknowledges, kill it this long after its first save, read the rest.

        A `young` one is killed this long after its start, whether it saved or not.
        """
        told = Acknowledged()
        deadline = time.monotonic() + lifetime_seconds if young else None
        try:
            while deadline is None or self.acks.poll(max(0.0, deadline - time.monotonic())):
                self._read(told)
                deadline = deadline or time.monotonic() + lifetime_seconds
            self.process.kill()
            while True:
                self._read(told)
        except EOFError:
            pass
        self.process.join()
        self.acks.close()
        assert self.process.exitcode not in (0, 1), "a process failed; its traceback is on stderr"
        return told

    def _read(self, told: Acknowledged) -> None:
        number, id_ = ACKNOWLEDGEMENT.unpack(self.acks.recv_bytes())
        told[number] = id_


def newest_in(store: Store) -> int:
    """Number of the newest checkpoint; 0 if there is none."""
    from perdure import StateNotFound

    try:
        return store.info(KEY).number
    except StateNotFound:
        return 0


def require_kept(store: Store, acknowledged: Acknowledged, place: str) -> None:
    """That what was acknowledged is in the history, each under its id (P1)."""
    if not acknowledged:
        return
    reach = newest_in(store) - min(acknowledged) + 1
    kept = {each.number: bytes.fromhex(each.id) for each in store.history(KEY, limit=reach)}
    lost = {number for number, id_ in acknowledged.items() if kept.get(number) != id_}
    assert not lost, f"{place}: acknowledged and not there: {sorted(lost)}"


def require_whole(store: Store, model: dict[str, Any], place: str) -> None:
    """That the state is the model, in the same order (P2)."""
    session: Session = store.open(KEY)
    state = session.state.plain()
    session.close()
    assert state == model, f"{place}: the state is not that of its last checkpoint"
    assert list(state) == list(model), f"{place}: the sections changed their order"
