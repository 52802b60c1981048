"""Functions that are steps or effects wherever they are called inside a task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from perdure.agent.effects import Effect
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
    rest = {
        "version": version,
        "retries": retries,
        "attempts_max": attempts_max,
        "backoff": backoff,
    }
    return _made(function, "step", name, {"key": key, "inputs": inputs}, rest)


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
    rest = {
        "not_done": not_done,
        "reconcile": reconcile,
        "repeatable": repeatable,
        "retries": retries,
        "attempts_max": attempts_max,
        "backoff": backoff,
    }
    return _made(function, "effect", name, {"key": key, "claims": claims}, rest)


def _made(
    function: Callable[..., Any] | None,
    kind: str,
    name: str | None,
    computed: dict[str, Callable[..., Any] | None],
    rest: dict[str, Any],
) -> Callable[..., Any]:
    """The function that stands in a decorated one's place; or what makes it, where that is to come.

    Args:
        function: what to call; None: the decorator has parentheses.
        kind: the method of a task that it is called by, "step" or "effect".
        name: of the step; that of the function by default.
        computed: options that functions of the arguments give, by name.
        rest: the other options.

    Raises:
        UsageError: these are no such options.
    """
    Options(**rest)  # refused here, and not at the first call
    if function is None:
        return partial(_made, kind=kind, name=name, computed=computed, rest=rest)
    called = function
    title = name or str(getattr(function, "__name__", type(function).__name__))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        options = {name: of(*args, **kwargs) for name, of in computed.items() if of is not None}
        how = current_task().options(**options, **rest)
        return getattr(how, kind)(title, called, *args, **kwargs)

    return call
