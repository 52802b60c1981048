"""Functions that are steps or effects wherever they are called inside a task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import msgspec

from perdure.agent.effects import Effect
from perdure.agent.on_task import Task
from perdure.agent.retrying import Backoff
from perdure.agent.steps import Options
from perdure.agent.tasks import current
from perdure.errors import UsageError


def current_task() -> Any:
    """The task that the running code is in, a `Task` or an `AsyncTask`.

    Raises:
        UsageError: it is in none. Threads of a pool are in none that was entered elsewhere.

    Example:
        >>> current_task().name
        'audit json'
    """
    task = current.get()
    while task is not None and (not task._is_open or task._session.closed):
        task = task._around  # it was never left
    if task is None:
        raise UsageError(
            "this code runs in no task: enter one, `with session.task(…):`, in the thread or "
            "asyncio task that runs it"
        )
    return task


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    key: Callable[..., str] | None = None,
    inputs: Callable[..., Any] | None = None,
    version: Any = None,
    retries: int = 0,
    attempts_max: int | None = None,
    backoff: Backoff | None = None,
) -> Callable[..., Any]:
    """Make a function a step of whatever task it is called in, named like the function.

    Under asyncio, the call is awaited. The function itself is its attribute `__wrapped__`.

    Args:
        function: what to call; the decorator may stand without parentheses.
        name: of the step; that of the function by default.
        key: a function of the same arguments that gives what the step is known by in its task:
            needed where a task calls it more than once.
        inputs: a function of the same arguments that gives what the result follows from.
        version: as in `Task.options`, as the rest.
        retries: see there.
        attempts_max: see there.
        backoff: see there.

    Raises:
        UsageError: when called outside of a task.

    Example:
        >>> @step(key=lambda path: f"parse {path}", retries=2)
        ... def parse(path): ...
        >>> with session.task("audit json"):
        ...     parse("json/decoder.py")
    """
    if function is None:
        return partial(
            step,
            name=name,
            key=key,
            inputs=inputs,
            version=version,
            retries=retries,
            attempts_max=attempts_max,
            backoff=backoff,
        )
    called = function
    title = name or str(getattr(function, "__name__", type(function).__name__))
    rest = Options(None, msgspec.UNSET, version, retries, attempts_max, backoff)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        task: Task = current_task()
        return task.options(
            key=None if key is None else key(*args, **kwargs),
            inputs=msgspec.UNSET if inputs is None else inputs(*args, **kwargs),
            version=rest.version,
            retries=rest.retries,
            attempts_max=rest.attempts_max,
            backoff=rest.backoff,
        ).step(title, called, *args, **kwargs)

    return call


def effect(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    key: Callable[..., str] | None = None,
    not_done: tuple[type[BaseException], ...] = (),
    reconcile: Callable[[Effect], Any] | None = None,
    repeatable: bool = False,
    claims: Callable[..., str] | None = None,
    retries: int = 0,
    attempts_max: int | None = None,
    backoff: Backoff | None = None,
) -> Callable[..., Any]:
    """Make a function an effect of whatever task it is called in: performed at most once.

    Under asyncio, the call is awaited. The function itself is its attribute `__wrapped__`.

    Args:
        function: what to call; the decorator may stand without parentheses.
        name: of the step; that of the function by default.
        key: a function of the same arguments that gives what is done once in the whole state:
            needed where it is called more than once.
        not_done: as in `Task.options`, as the rest.
        reconcile: see there.
        repeatable: see there.
        claims: a function of the same arguments that gives the key of a state that many share.
        retries: see there.
        attempts_max: see there.
        backoff: see there.

    Raises:
        UsageError: when called outside of a task.

    Example:
        >>> @effect(key=lambda order: f"orders/{order}", not_done=(CardDeclined,))
        ... def refund(order): ...
        >>> with session.task("refunds"):
        ...     refund(17)
    """
    if function is None:
        return partial(
            effect,
            name=name,
            key=key,
            not_done=not_done,
            reconcile=reconcile,
            repeatable=repeatable,
            claims=claims,
            retries=retries,
            attempts_max=attempts_max,
            backoff=backoff,
        )
    called = function
    title = name or str(getattr(function, "__name__", type(function).__name__))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        task: Task = current_task()
        return task.options(
            key=None if key is None else key(*args, **kwargs),
            not_done=not_done,
            reconcile=reconcile,
            repeatable=repeatable,
            claims=None if claims is None else claims(*args, **kwargs),
            retries=retries,
            attempts_max=attempts_max,
            backoff=backoff,
        ).effect(title, called, *args, **kwargs)

    return call
