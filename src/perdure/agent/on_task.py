"""Tasks, their steps and plans, for `Session`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import msgspec

from perdure.agent.acts import Acts, Call
from perdure.agent.effects import Effect
from perdure.agent.plan import Given, Progress, add_missing, ordered, progress, tasks_in
from perdure.agent.retrying import Backoff
from perdure.agent.steps import PLAIN, Options, step, step_call
from perdure.agent.task_effects import effect, effect_call
from perdure.agent.tasks import TaskBase, enter, leave
from perdure.agent.whole_tasks import abandon, run
from perdure.agent.work import Work, take_next

if TYPE_CHECKING:
    from perdure.agent.on_session import AgentSession


class Task(TaskBase):
    """A named unit of work; `session.task` gives it. Enter it to do it.

    Example:
        >>> with session.task("audit json") as task:
        ...     report = task.step("parse", parse, "json/decoder.py")
    """

    _session: AgentSession[Any]

    def __enter__(self) -> Self:
        """Begin it, or go on with it.

        Raises:
            TaskTaken: another session is at it.
            UsageError: it is entered already, or comes after one that is not done.
            PlanCycle: it would come after itself.
        """
        self._session._act(enter(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Record it, durably, as done; after an exception as failed, after `Waiting` as waiting.

        One that was interrupted, or could not be saved, is pending again.
        """
        self._session._act(leave(self, error))

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The result of the task: kept if it is done, else what the function gives, as it is kept.

        Args:
            function: what to call, inside of the task.
            args: what to call it with.
            kwargs: the same.

        Raises:
            TaskTaken: another session is at it.
            UsageError: it was abandoned, is entered already, or comes after one that is not done.

        Example:
            >>> session.task("audit json").run(audit, "json/")
        """
        return self._session._act(run(self, Call(function, args, kwargs)))

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once; later sessions are given its result, which is saved with the step.

        The result comes as it is kept, also the first time: a model as a dict, say (P13). A
        function that raises has failed, and is called again when the task is entered again.

        Args:
            name: of the step, within the task.
            function: what to call.
            args: what to call it with.
            kwargs: the same; `apply=` is as in `options` if the function has no such parameter.

        Raises:
            StepFailed: the function raised.
            StepRepeated: this entry of the task came to that name before.
            TaskTaken: another session took the task over.
            UsageError: the task is not entered, or has ended.

        Example:
            >>> task.step("parse", parse, "json/decoder.py")
        """
        options, call = step_call(PLAIN, function, args, kwargs)
        return self._session._act(step(self, options, name, call))

    def effect(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Act on the world at most once; later sessions are given the result (P9).

        It is claimed, durably, before the call, and its outcome is saved after it: two saves. What
        the function raises leaves it unknown whether the action was performed, and it is not
        repeated; unless that is an exception of `not_done`, or the service knows the action's key,
        which `current_effect().key` gives inside of the function.

        Args:
            name: of the step, within the task.
            function: what to call.
            args: what to call it with.
            kwargs: the same, but for `key=`, `claims=`, `not_done=`, `reconcile=`, `repeatable=`
                and `apply=`: they are as in `options`, and refused where they may be meant for the
                function.

        Raises:
            UnknownOutcome: whether it was performed is not known: ask the world (`reconcile`), or
                a person (`perdure effects settle`).
            AlreadyClaimed: it was performed elsewhere, or is being; the error has its result.
            EffectRefused: the session was opened with `effects="refuse"`.
            StepFailed: it was certainly not performed, or `apply` raised.
            StepRepeated: this entry of the task came to that name or key before.
            TaskTaken: another session took the task over.
            UsageError: the task is not entered, or has ended; or an option may be the function's.

        Example:
            >>> task.effect("refund", pay, order, key="orders/17", not_done=(CardDeclined,))
        """
        options, call = effect_call(function, args, kwargs)
        return self._session._act(effect(self, options, name, call))

    def options(
        self,
        *,
        key: str | None = None,
        inputs: Any = msgspec.UNSET,
        version: Any = None,
        retries: int = 0,
        attempts_max: int | None = None,
        backoff: Backoff | None = None,
        apply: Callable[[Any], object] | None = None,
        not_done: tuple[type[BaseException], ...] = (),
        reconcile: Callable[[Effect], Any] | None = None,
        repeatable: bool = False,
        claims: str | None = None,
    ) -> TaskOptions:
        """How what is called on it is done, so that no option is taken for the function's.

        Args:
            key: what the step is known by within the task; its name by default. Of an effect: what
                is done once in the whole state, by whatever task; by default the names of the task
                and of the step.
            inputs: what the result follows from: with others than recorded, it is done anew.
            version: of the function: with another than recorded, it is done anew.
            retries: how often it is tried again at once when the function raises.
            attempts_max: how often it is tried in all sessions together. Those in which the process
                died count, which takes one more save, before the call.
            backoff: how long to wait in between: seconds, or a function of how often it was tried,
                or a `wait` strategy of tenacity. By default longer and longer, with jitter.
            apply: is given the result, to edit the state in the same checkpoint.
            not_done: of an effect, as the rest: exceptions that say that the action was not
                performed. It has failed then, may be tried again, and is not unknown.
            reconcile: asks the world about an unknown outcome: is given the `Effect`, gives
                `Happened(result)`, `DidNotHappen()` (it is performed then) or `CannotTell()`.
            repeatable: whether it may be called again when its outcome is unknown, as the service
                knows `current_effect().key`.
            claims: key of another state, that many share, in which it is claimed too: it is done
                once among them all, and those that come later are given the result.

        Raises:
            UsageError: these are no such options.

        Example:
            >>> task.options(retries=3, attempts_max=10).step("fetch", fetch, url, timeout=5)
        """
        return TaskOptions(
            self,
            Options(
                key,
                inputs,
                version,
                retries,
                attempts_max,
                backoff,
                apply,
                not_done,
                reconcile,
                repeatable,
                claims,
            ),
        )

    def abandon(self, because: str | None = None) -> None:
        """Record, durably, that nobody will do it, and why; those that come after it are blocked.

        Raises:
            UsageError: it has ended.
        """
        self._session._act(abandon(self, because))


class TaskOptions:
    """A task with options for a step or an effect; `Task.options` gives it."""

    def __init__(self, task: Task, options: Options) -> None:
        self._task = task
        self._options = options

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `Task.step`, with these options; every keyword is the function's.

        Raises:
            StepFailed: it has no attempt left.
            StepRepeated: this entry of the task came to that name or key before.
            TaskTaken: another session took the task over.
            UsageError: the task is not entered, or has ended.
        """
        call = Call(function, args, kwargs)
        return self._task._session._act(step(self._task, self._options, name, call))

    def effect(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `Task.effect`, with these options; every keyword is the function's.

        Raises:
            UnknownOutcome: whether it was performed is not known.
            AlreadyClaimed: it was performed elsewhere, or is being; the error has its result.
            EffectRefused: the session was opened with `effects="refuse"`.
            StepFailed: it was certainly not performed, or `apply` raised.
            StepRepeated: this entry of the task came to that name or key before.
            TaskTaken: another session took the task over.
            UsageError: the task is not entered, or has ended; or `inputs` or `version` was given.
        """
        call = Call(function, args, kwargs)
        return self._task._session._act(effect(self._task, self._options, name, call))


class Plan:
    """The tasks of a state; `session.plan` gives it."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self._session = session

    @property
    def progress(self) -> Progress:
        """How far it is: `str` of it is a line."""
        return progress(tasks_in(self._session))

    @property
    def order(self) -> list[str]:
        """The names of its tasks, each after what it comes after, else as they were added."""
        return ordered(tasks_in(self._session))

    def add_missing(self, tasks: Iterable[Given]) -> list[str]:
        """Add tasks, durably; those that are there stay as they are. The names of those added.

        Args:
            tasks: each a name, a `perdure.agent.Todo`, or a dict of `name`, `after` and `input`.

        Raises:
            PlanCycle: they would come after one another in a circle; nothing is added.
            UsageError: one is no task.
            NotStorable: no state can hold what one is given to work on.

        Example:
            >>> session.plan.add_missing(["read", {"name": "audit", "after": ["read"]}])
            ['read', 'audit']
        """
        return self._session._act(add_missing(self._session, tasks))

    def work(self, *, concurrency: int = 1, attempts_max: int | None = None) -> Working:
        """Take its tasks, each as soon as all are done that it comes after, until none is left.

        Each is for this worker alone, whatever other threads, tasks and processes do; sessions of
        several processes are opened with `on_conflict="merge"`. One whose worker died is taken
        over. What comes after a task that waits or failed is left alone. Each task is given out
        once; enter it, or `run` it.

        Args:
            concurrency: how many tasks may be given out and not ended yet: the next one waits.
            attempts_max: how often a task may be begun. With it, those that failed before are begun
                again; without it only those whose worker died.

        Raises:
            UsageError: these are no such numbers.

        Example:
            >>> for task in session.plan.work():
            ...     with task:
            ...         task.step("audit", audit, task.input)
        """
        return Working(Work(self._session, concurrency, attempts_max))


Taken: TypeAlias = Task
"""What is taken, of either kind of session."""


class Working:
    """The tasks that are taken, one after another; `Plan.work` gives it. Threads may share it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._taking = threading.Lock()

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> Taken:
        """Wait for a task to take, and take it."""
        session: Any = self._work.session
        acts: Acts[str | None] = take_next(self._work)
        with self._taking:
            name = session._act(acts)
        if name is None:
            raise StopIteration
        return Task(session, name)
