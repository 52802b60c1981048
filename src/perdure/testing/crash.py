"""Kill somebody's agent at every save it makes, resume it, and let them judge what came out.

A test of an agent that only ever runs through says nothing about the moments it was written for.
`crash_everywhere` visits all of them: the n-th save is killed just before it takes effect, and
just after, for every n, each time on a store of its own.
"""

from __future__ import annotations

import inspect
import itertools
import multiprocessing
import pickle
import shutil
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from perdure.testing.kill import die

if TYPE_CHECKING:
    from perdure import Store
    from perdure.backends.protocol import Backend
    from perdure.engine.requests import Answer, Commit, HeadRow
    from perdure.errors import PerdureError

Run: TypeAlias = Callable[[str], object]
Check: TypeAlias = Callable[["Store"], object]

Moment: TypeAlias = Literal["before", "after"]

MOMENTS: tuple[Moment, ...] = ("before", "after")
KILLED, ENDED, FAILED = b"killed", b"ended", b"failed:"


@dataclass(frozen=True, slots=True)
class KillPoint:
    """One moment in an agent's life: just before or just after its n-th save takes effect."""

    save: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} save {self.save} took effect"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What `crash_everywhere` did."""

    kills: int
    """Times the agent was killed: twice for each save it makes."""
    runs: int
    """Times it was started."""
    saves: int
    """Saves of a run that nobody kills."""


class AgentFailed(AssertionError):
    """The agent raised, hung or is none. The message tells how, and a note after which kill."""


def crash_everywhere(
    run: Run,
    check: Check,
    *,
    start: Literal["spawn", "fork"] = "spawn",
    timeout_seconds: float = 60.0,
) -> CrashReport:
    """Kill an agent at each of its saves, resume it until it ends, and judge the outcome.

    `run(store_url)` is the agent: it opens `perdure.Store(store_url)`, takes up what is there and
    works until it is done. It runs in a child process, which dies as by `kill -9` at its first
    save, before that takes effect; a second run without a kill then resumes and ends. The same
    follows for the moment after the first save, for the second save, and so on until a run ends
    without reaching its kill. After each, `check(store)` looks at the outcome and raises
    (`assert`) when it is not what it should be. Every commit of a session that takes effect counts
    as a save, the one that records its end included; those of maintenance do not. Saves that share
    a transaction are killed one by one. That makes four starts for each save, which takes a
    spawned process one to three seconds in all. An agent under asyncio is a `run` that calls
    `asyncio.run`.

    Args:
        run: With `start="spawn"` a function at the top of an importable module.
        check: Gets an open `Store` in this process.
        start: `"fork"` is faster, takes any callable, and exists on POSIX only. From Python 3.12 on
            forking a process that has threads raises a `DeprecationWarning`, with reason.
        timeout_seconds: How long one run may take.

    Returns:
        A `CrashReport`.

    Raises:
        AgentFailed: A run raised or hung.
        ValueError: The agent never saves, so that there is nothing to test.
        TypeError: `run` cannot be sent to a spawned process, or is a coroutine function.
        Exception: Whatever `check` raised, with a note that names the kill. The store is kept.

    Example:
        >>> def count_to_three(url):
        ...     with Store(url) as store, store.open("counter") as session:
        ...         while session.state.get("n", 0) < 3:
        ...             session.state["n"] = session.state.get("n", 0) + 1
        ...             session.save()
        >>> def is_three(store):
        ...     assert store.open("counter").state["n"] == 3
        >>> crash_everywhere(count_to_three, is_three)
        CrashReport(kills=8, runs=17, saves=4)
    """
    _require_plain(run)
    if start == "spawn":
        _require_picklable(run)
    agent = _Agent(run, multiprocessing.get_context(start), timeout_seconds)
    directory = Path(tempfile.mkdtemp(prefix="perdure-crash-"))
    points = (KillPoint(save, moment) for save in itertools.count(1) for moment in MOMENTS)
    kills = 0
    for kills, point in enumerate(points):
        url = str(directory / f"{kills}.db")
        killed = False
        try:
            killed = agent.live(url, point)
            if killed:
                agent.live(url)
            _judge(check, url)
        except Exception as error:
            error.add_note(f"{_fate(point, killed, error)}; its store is kept: {url}")
            raise
        if not killed:
            break
    shutil.rmtree(directory)
    if not kills:
        raise ValueError("the agent never saves to the store it was given: nothing can be tested")
    return CrashReport(kills=kills, runs=2 * kills + 1, saves=kills // len(MOMENTS))


def _fate(point: KillPoint, killed: bool, error: Exception) -> str:
    """What was done to the agent whose run, or whose outcome, failed."""
    if killed:
        return f"The agent was killed {point}"
    if not isinstance(error, AgentFailed):
        return "The agent ran to its end without a kill"
    if point == KillPoint(1, MOMENTS[0]):
        return "It failed in its first run, before any kill"
    return f"It failed in a run of its own, before it could be killed {point}"


def _require_plain(run: Run) -> None:
    called = type(run).__call__  # of an object that is callable, what is called
    if inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(called):
        raise TypeError(
            f"{run!r} is a coroutine function, which does nothing when it is called: pass a "
            "function that runs it, with asyncio.run(...) inside"
        )


def _require_picklable(run: Run) -> None:
    try:
        pickle.dumps(run)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"{run!r} cannot be sent to a new process: pass a function defined at the top of a "
            "module, or start='fork' where the system has it"
        ) from error


def _judge(check: Check, url: str) -> None:
    from perdure import Store

    with Store(url) as store:
        check(store)


@dataclass(frozen=True, slots=True)
class _Agent:
    """Somebody's agent, and how to give it one life in a process of its own."""

    run: Run
    context: Any  # a multiprocessing context; their base class lacks Process
    timeout_seconds: float

    def live(self, url: str, point: KillPoint | None = None) -> bool:
        """One life, until its end or until `point`. Tells whether it was killed."""
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_life, args=(self.run, url, point, theirs))
        process.start()
        theirs.close()
        try:
            if not ours.poll(self.timeout_seconds):
                process.kill()
                raise AgentFailed(f"the agent did not end within {self.timeout_seconds} seconds")
            fate: bytes = ours.recv_bytes()
        except EOFError:
            fate = FAILED + b"its process ended without a word"
        finally:
            process.join()
            process.close()
            ours.close()
        if fate.startswith(FAILED):
            raise AgentFailed(fate.removeprefix(FAILED).decode())
        return fate == KILLED


def _life(run: Run, url: str, point: KillPoint | None, fate: Connection) -> None:
    """In the child: be the agent, and report how it went."""
    try:
        if point is not None:
            _arm(url, point, fate)
        result = run(url)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("it gave a coroutine instead of running it; use asyncio.run(...)")
    except BaseException:
        fate.send_bytes(FAILED + traceback.format_exc().encode(errors="replace"))
    else:
        fate.send_bytes(ENDED)


def _arm(url: str, point: KillPoint, fate: Connection) -> None:
    """Make this process die at `point`.

    The class is changed, not an object, because the agent opens the store itself, by its URL.
    """
    from perdure.backends.url import backend_for
    from perdure.engine.requests import Committed
    from perdure.errors import PerdureError

    kept: Any = type(backend_for(url))
    commit = kept.commit
    saves = 0

    def settle(backend: Backend, request: Commit) -> Answer | PerdureError:
        nonlocal saves
        is_save = _is_save(backend, request)
        if is_save and (saves + 1, "before") == (point.save, point.moment):
            _report_and_die(fate)
        answer: Answer | PerdureError
        try:
            (answer,) = commit(backend, (request,))
        except PerdureError as error:
            answer = error
        saves += is_save and isinstance(answer, Committed)
        if is_save and (saves, "after") == (point.save, point.moment):
            _report_and_die(fate)
        return answer

    def fatal(backend: Backend, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        # One by one: those that share a transaction have a moment each, too.
        return [settle(backend, request) for request in batch]

    kept.commit = fatal


def _is_save(backend: Backend, request: Commit) -> bool:
    """Whether a commit takes effect now, and is a session's and not one of maintenance."""
    from perdure.core.head_bytes import open_head
    from perdure.engine.requests import ReadHead

    present: HeadRow | None = backend.perform(ReadHead(request.key))
    if (present.token if present is not None else None) != request.expect:
        return False
    if present is None:
        return True
    store = backend.connect().store_id
    before, after = (
        open_head(row.blob, store=store, key=request.key) for row in (present, request.head)
    )
    return before.generation == after.generation or before.incarnation != after.incarnation


def _report_and_die(fate: Connection) -> NoReturn:
    fate.send_bytes(KILLED)
    die()
