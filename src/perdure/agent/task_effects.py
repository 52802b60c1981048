"""An action on the world as a step of a task: performed at most once, its outcome in its record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from perdure.agent import status
from perdure.agent.acts import Acts, Call, Clock, Edit, Sleep
from perdure.agent.effects import Effect, Place, Terms
from perdure.agent.effects import effect as perform
from perdure.agent.records import TASKS, field, section
from perdure.agent.retrying import pause
from perdure.agent.steps import (
    PLAIN,
    Options,
    Run,
    come_to,
    failed,
    failure,
    given_up,
    note,
    run_of,
    running,
    takes,
)
from perdure.agent.tasks import PASSING, TaskBase, named, renewed, saved, told
from perdure.core.values import take
from perdure.errors import UnknownOutcome, UsageError

OPTIONS = ("key", "claims", "not_done", "reconcile", "repeatable", "apply")
"""Options that may stand in the call of an effect itself."""


def effect(task: TaskBase, options: Options, name: str, call: Call) -> Acts[Any]:
    """The result of an effect: as it was recorded, or of performing it now.

    Raises:
        AlreadyClaimed: it was performed elsewhere, or is being.
        UnknownOutcome: whether it was performed is not known.
        EffectRefused: the session may not act on the world.
        StepFailed: it was certainly not performed, or what was to follow from it failed.
        StepRepeated: this entry of the task came to it before.
        TaskTaken: another session took the task over.
        UsageError: the task is not entered, or has ended.
    """
    options.require_of_effect()
    step_key = options.key or named(name)
    whole, record = come_to(task, name, step_key)
    if record is not None and field(record, "stood_in", False):
        record = record if task._session._effects != "allow" else None  # it was only explored
    if record is not None and field(record, "status") == status.DONE:
        if field(record, "effect") is None:
            raise UsageError(
                f"the task {task._name!r} has done {step_key!r} as a step, and what a step gave is "
                f"no outcome of an action: give the effect another name, or a key="
            )
        return take(field(record, "result"))
    attempts = record["attempts"] if record is not None else 0
    run = run_of(task, options, name, step_key, whole, attempts)
    if record is not None and "result" in record and "error" in record:
        return (yield from _followed(run, record))
    if run.is_used_up and field(record, "status") == status.FAILED:
        raise (yield from given_up(run, record))
    terms = Terms(
        options.key or default_key(task._name, name),
        options.not_done,
        options.reconcile,
        options.repeatable,
        options.claims,
    )
    with running(task):
        if run.is_used_up:
            return (yield from _found_out(run, record, terms))
        return (yield from _tried(run, terms, call))


def default_key(task: str, name: str) -> str:
    """The effect key of one that is given none: no other task and step have the same."""
    return f"{task.replace('%', '%25').replace('/', '%2F')}/{name}"


def _tried(run: Run, terms: Terms, call: Call) -> Acts[Any]:
    """Perform it; again, where that is wanted, if it was not performed or can be repeated."""
    for tried in range(1, run.options.retries + 2):
        run.attempts += 1
        if run.is_begun:
            yield Edit(partial(note, run, {"status": status.RUNNING, "effect": terms.key}))
            yield from saved()
        is_last = tried > run.options.retries or run.is_used_up
        following = Following(run)
        try:
            result = yield from perform(run.task._session, following.place, terms, call)
        except terms.not_done as error:
            if is_last:
                raise (yield from failed(run, told(error))) from error
        except UnknownOutcome as error:
            if is_last or not terms.repeatable or error.__cause__ is None:
                yield Edit(partial(note, run, {"status": status.UNKNOWN, "effect": terms.key}))
                raise
        else:
            following.check()
            return result
        yield Sleep(pause(run.options.backoff, tried))
    raise AssertionError("the last try returns or raises")


class _NoAttemptLeft(Exception):
    """It was certainly not performed, and is not tried again."""


def _not_called() -> None:
    raise _NoAttemptLeft


def _found_out(run: Run, record: Any, terms: Terms) -> Acts[Any]:
    """What became of the last attempt, whose end nobody saw; there is no further call.

    That no attempt is left says nothing of what the last one did to the world.
    """
    following = Following(run)
    terms = replace(terms, not_done=(_NoAttemptLeft,), repeatable=False)
    try:
        parts = run.task._session, following.place, terms, Call(_not_called)
        result = yield from perform(*parts)
    except _NoAttemptLeft:
        raise (yield from given_up(run, record)) from None
    except UnknownOutcome:
        yield Edit(partial(note, run, {"status": status.UNKNOWN, "effect": terms.key}))
        raise
    following.check()
    return result


class Following:
    """What follows from an effect, in the checkpoint that has its record."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.error: Exception | None = None
        """What `apply` raised: the action was performed all the same."""

    @property
    def place(self) -> Place:
        """Where what it gave is recorded."""
        return Place(f"{self._run.task._name}/{self._run.name}", self.record)

    def check(self) -> None:
        """Tell of an `apply` that raised.

        Raises:
            StepFailed: it did.
        """
        if self.error is not None:
            raise failure(self._run, told(self.error)) from self.error

    def record(self, value: Any, now: datetime, about: Effect) -> None:
        """Write the record, and make the edits of `apply`."""
        fields = {"status": status.DONE, "ended": now, "result": value, "effect": about.name}
        if about.claimed is None:
            fields["stood_in"] = True
            section(self._run.task._session, TASKS)[self._run.task._name]["stood_in"] = True
        apply = self._run.options.apply
        if apply is None:
            renewed(note(self._run, fields), now)
            return
        try:
            with self._run.task._session._document.block():
                renewed(note(self._run, fields), now)
                apply(take(value))
        except PASSING:
            raise
        except Exception as error:
            self.error = error
            note(self._run, {**fields, "status": status.FAILED, "error": told(error)})


def _followed(run: Run, record: Any) -> Acts[Any]:
    """Make the edits that failed to follow from an effect, which is not performed again."""
    result = take(field(record, "result"))
    following = Following(run)
    claimed = None if field(record, "stood_in", False) else field(record, "ended")
    about = Effect(field(record, "effect"), "", "", claimed)  # a stand-in stays one
    now = yield Clock()
    yield Edit(partial(following.record, result, now, about))
    yield from saved()
    following.check()
    return result


def effect_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Options, Call]:
    """What to call, and how: options are those keywords that cannot be meant for the function.

    Raises:
        UsageError: one may be meant for either.
    """
    given = {name: kwargs[name] for name in OPTIONS if name in kwargs}
    for name in given:
        if takes(function, name):
            raise UsageError(
                f"{name}= may be meant for the function: give the options of the effect before, "
                f"task.options({name}=…).effect(…), where every keyword is the function's"
            )
    rest = {name: value for name, value in kwargs.items() if name not in given}
    return (replace(PLAIN, **given) if given else PLAIN), Call(function, args, rest)
