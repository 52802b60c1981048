"""A step of a task: a function that is called once, and whose result later sessions are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import msgspec

from perdure.agent import status
from perdure.agent.acts import Acts, Call, Clock, Edit, Sleep
from perdure.agent.records import TASKS, field, section
from perdure.agent.retrying import Backoff, pause
from perdure.agent.tasks import PASSING, TaskBase, named, renewed, saved, told
from perdure.core.values import same, take
from perdure.errors import StepFailed, StepRepeated, UnknownOutcome, UsageError, Waiting

INTERRUPTED = {"type": "Interrupted", "message": "the process died in it"}
"""The error of a step that has no attempt left after one that nobody saw the end of."""


class Options(msgspec.Struct, frozen=True):
    """How a step is done; see `Task.options`."""

    key: str | None = None
    inputs: Any = msgspec.UNSET
    version: Any = None
    retries: int = 0
    attempts_max: int | None = None
    backoff: Backoff | None = None
    apply: Callable[[Any], object] | None = None
    not_done: tuple[type[BaseException], ...] = ()
    """Of an effect, as the rest: exceptions that say that the action was not performed."""
    reconcile: Callable[[Any], Any] | None = None
    repeatable: bool = False
    claims: str | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            named(self.key)
        if self.retries < 0 or (self.attempts_max is not None and self.attempts_max < 1):
            raise UsageError("retries= is 0 or more, and attempts_max= 1 or more")
        if not all(isinstance(each, type) for each in self.not_done):
            raise UsageError("not_done= is a tuple of types of exceptions")

    def require_of_step(self) -> None:
        """See to it that nothing is asked of a step that only an effect has.

        Raises:
            UsageError: something is.
        """
        if self.not_done or self.reconcile is not None or self.repeatable or self.claims:
            raise UsageError(
                "not_done=, reconcile=, repeatable= and claims= are for an action on the world, "
                "which is performed at most once: task.options(…).effect(…)"
            )

    def require_of_effect(self) -> None:
        """See to it that nothing is asked of an effect that only a step has.

        Raises:
            UsageError: something is.
        """
        if self.inputs is not msgspec.UNSET or self.version is not None:
            raise UsageError(
                "inputs= and version= would do the action again: give what is to be done once more "
                "another key=, and leave them to task.options(…).step(…)"
            )


PLAIN = Options()


class Run(msgspec.Struct):
    """A step that is being done: where its record goes, and how often it was tried."""

    task: TaskBase
    name: str
    key: str
    options: Options
    attempts: int
    """Those of earlier sessions too."""
    is_begun: bool
    """Whether the record has it already, or is to have it before the function is called."""

    @property
    def is_used_up(self) -> bool:
        """Whether there is no attempt left."""
        most = self.options.attempts_max
        return most is not None and self.attempts >= most


def step(task: TaskBase, options: Options, name: str, call: Call) -> Acts[Any]:
    """The result of a step: as it was recorded, or of calling its function now.

    Raises:
        StepFailed: it failed, and has no attempt left.
        StepRepeated: this entry of the task came to that name before.
        TaskTaken: another session took the task over.
        UsageError: the task is not entered, or has ended.
    """
    options.require_of_step()
    key = options.key or named(name)
    whole, record = come_to(task, name, key)
    if record is not None and field(record, "effect") is not None:
        raise UsageError(
            f"the task {task._name!r} has {key!r} as an action on the world: give the step another "
            "name, or a key="
        )
    is_same = record is not None and _is_same(record, options)
    if is_same and field(record, "status") == status.DONE:
        return take(field(record, "result"))
    attempts = record["attempts"] if record is not None and is_same else 0
    run = run_of(task, options, name, key, whole, attempts)
    run.is_begun |= task._died > 0 or attempts > 0
    if run.is_used_up:
        raise (yield from given_up(run, record))
    with running(task):
        return (yield from _tried(run, call))


def come_to(task: TaskBase, name: str, key: str) -> tuple[dict[str, Any], Any]:
    """Come to a step or an effect: the records of its task, and of itself, if there is one.

    Raises:
        StepRepeated: this entry of the task came to it before.
        UsageError: the task is not entered.
    """
    task._require_open()
    if key in task._reached:
        raise StepRepeated(
            f"the task {task._name!r} came to its step {key!r} twice: give each its own name, or a "
            f"key, task.options(key=…).step({name!r}, …)"
        )
    task._reached.add(key)
    whole = task._record()
    return whole, field(field(whole, "steps", {}), key)


def run_of(
    task: TaskBase, options: Options, name: str, key: str, whole: dict[str, Any], attempts: int
) -> Run:
    """What is to be done, so many attempts after the first.

    Raises:
        TaskTaken: another session took the task over.
        SaveInsideAtomic: the running code is inside an atomic block.
        UsageError: the task has ended.
    """
    task._require_running(whole)
    task._session._refuse_inside_atomic()
    return Run(task, name, key, options, attempts, options.attempts_max is not None)


def _is_same(record: Mapping[str, Any], options: Options) -> bool:
    """Whether what is recorded is of the same version, and of the same inputs if any are told."""
    version = field(record, "version")
    if not (version is options.version or same(version, take(options.version))):
        return False
    if options.inputs is msgspec.UNSET:
        return True
    inputs = take(options.inputs, ("inputs",))
    return "inputs" in record and same(field(record, "inputs"), inputs)


def _tried(run: Run, call: Call) -> Acts[Any]:
    """Call the function, again if it fails and that is wanted, and record what comes of it."""
    options = run.options
    for tried in range(1, options.retries + 2):
        run.attempts += 1
        if run.is_begun:
            yield Edit(partial(note, run, {"status": status.RUNNING}))
            yield from saved()
        try:
            found = yield call
        except (Waiting, UnknownOutcome, *PASSING):
            yield Edit(partial(_untried, run))
            raise
        except Exception as error:
            if tried > options.retries or run.is_used_up:
                raise (yield from failed(run, told(error))) from error
            yield Sleep(pause(options.backoff, tried))
        else:
            return (yield from _kept(run, found))
    raise AssertionError("the last try returns or raises")


def _kept(run: Run, found: Any) -> Acts[Any]:
    """Record a result, and what follows from it, in one checkpoint."""
    now = yield Clock()
    try:
        result = take(found, ("result",))
        fields = {"status": status.DONE, "ended": now, "result": result}
        keep = partial(_keep, run, fields, result)
        yield Edit(keep, is_block=run.options.apply is not None)
    except PASSING:
        raise
    except Exception as error:  # no state can hold it, or what was to follow from it failed
        raise (yield from failed(run, told(error))) from error
    yield from saved()
    return result


def _keep(run: Run, fields: dict[str, Any], result: Any) -> None:
    renewed(note(run, fields), fields["ended"])
    if run.options.apply is not None:
        run.options.apply(take(result))


def failed(run: Run, error: Mapping[str, Any]) -> Acts[StepFailed]:
    """Record, durably, that a step failed; the error that says so."""
    now = yield Clock()
    fields = {"status": status.FAILED, "ended": now, "error": dict(error)}
    yield Edit(partial(note, run, fields))
    yield from saved()
    return failure(run, error)


def given_up(run: Run, record: Any) -> Acts[StepFailed]:
    """The error of a step that has no attempt left, as it is recorded."""
    if field(record, "status") == status.FAILED:
        return failure(run, record["error"])
    return (yield from failed(run, INTERRUPTED))


def failure(run: Run, error: Mapping[str, Any]) -> StepFailed:
    """The error of a step, the same in every session."""
    tries = "" if run.attempts == 1 else f" ({run.attempts} attempts)"
    return StepFailed(
        f"the step {run.name!r} of the task {run.task._name!r} failed{tries}: "
        f"{error['type']}: {error['message']}",
        task=run.task._name,
        step=run.key,
        error_type=error["type"],
        error_message=error["message"],
        attempts=run.attempts,
    )


def note(run: Run, fields: dict[str, Any]) -> Any:
    """Write the record of a step, one assignment, whatever it was before; that of its task."""
    record: dict[str, Any] = {**fields, "attempts": run.attempts}
    if run.options.version is not None:
        record["version"] = take(run.options.version)
    if run.options.inputs is not msgspec.UNSET:
        record["inputs"] = take(run.options.inputs, ("inputs",))
    whole = section(run.task._session, TASKS)[run.task._name]
    run.task._require_running(whole)
    whole.setdefault("steps", {})[run.key] = record
    return whole


def _untried(run: Run) -> None:
    """Take an attempt back that was none: its function waits, or others were in the way."""
    run.attempts -= 1
    if run.is_begun:
        note(run, {"status": status.WAITING})


# ---- several at once ------------------------------------------------------------------------


class Running:
    """A step that runs, and how many run inside it."""

    def __init__(self) -> None:
        self.inside = 0


_inside: ContextVar[tuple[Any, Running] | None] = ContextVar("perdure.step", default=None)
"""The session, and its step that the running code is inside of."""


class running:  # noqa: N801 - it is entered like a function's result, at less cost
    """While a step runs: several at once, of one session, make edits outside of them ambiguous.

    One that waits for those inside it does not count itself.
    """

    __slots__ = ("_above", "_around", "_session")

    def __init__(self, task: TaskBase) -> None:
        self._session = task._session
        self._above = _inside.get()
        is_ours = self._above is not None and self._above[0] is self._session
        self._around = self._above[1] if self._above is not None and is_ours else None

    def __enter__(self) -> None:
        """Count it."""
        around = self._around
        with self._session._counting:
            self._count(around is None or around.inside > 0)
            if around is not None:
                around.inside += 1
        _inside.set((self._session, Running()))

    def __exit__(self, *_: object) -> None:
        """Count it no more."""
        _inside.set(self._above)
        around = self._around
        with self._session._counting:
            if around is not None:
                around.inside -= 1
            self._count(-(around is None or around.inside > 0))

    def _count(self, further: int) -> None:
        tracker = self._session._document._tracker
        before = tracker.parallel
        tracker.parallel += further
        if (before > 1) != (tracker.parallel > 1):
            tracker.guard()


# ---- calling --------------------------------------------------------------------------------


def step_call(
    options: Options, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Options, Call]:
    """What to call, and how: `apply=` is an option where it cannot be meant for the function."""
    if "apply" in kwargs and not takes(function, "apply"):
        kwargs = dict(kwargs)
        options = Options(apply=kwargs.pop("apply"))
    return options, Call(function, args, kwargs)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a keyword may be meant for a function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True  # nobody can tell
    kinds = {each.kind for each in parameters}
    return inspect.Parameter.VAR_KEYWORD in kinds or name in {each.name for each in parameters}
