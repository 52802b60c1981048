"""Doing acts: the same generator under a `Session` and under an `AsyncSession`."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.agent.acts import (
    Acts,
    Ask,
    Call,
    Clock,
    Edit,
    Load,
    NotCalled,
    Refresh,
    Save,
    Sleep,
    Window,
    Work,
    performing,
)
from perdure.engine.requests import Now
from perdure.engine.view import when

if TYPE_CHECKING:
    from perdure.aio_session import AsyncSession
    from perdure.session import Session

T = TypeVar("T")


def perform(session: Session[Any], acts: Acts[T]) -> T:
    """Do acts to their end in this thread.

    Raises:
        UsageError: a function of the user gave something that has to be awaited.
    """
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            act = acts.send(result) if error is None else acts.throw(error)
        except StopIteration as stop:
            value: T = stop.value
            return value
        result, error = None, None
        try:
            result = DOING[type(act)](session, act)
        except BaseException as raised:  # also an interrupt: the record tells how a step ended
            error = raised


def _call(session: Session[Any], act: Call) -> Any:
    if act.effect is None:
        return _not_awaitable(act.function(*act.args, **act.kwargs), act.function)
    with performing(act.effect):
        return _not_awaitable(act.function(*act.args, **act.kwargs), act.function)


def _edit(session: Session[Any], act: Edit) -> Any:
    with session.atomic() if act.is_block else session._outside_block():
        return act.function()


def _clock(session: Session[Any], _: Clock) -> Any:
    return when(session._driver.answer(Now()))


def _ask(session: Session[Any], act: Ask) -> Any:
    return session._driver.run(session._in_store(act.steps))


DOING: dict[type, Callable[[Session[Any], Any], Any]] = {
    Call: _call,
    Work: lambda session, act: act.function(*act.args),
    Save: lambda session, act: session._saved_with(durability=act.durability, settles=act.settles),
    Edit: _edit,
    Refresh: lambda session, act: session.refresh(keep_changes=True),
    Load: lambda session, act: session.load(act.name),
    Window: lambda session, act: session.window(act.name, last=act.last),
    Sleep: lambda session, act: time.sleep(act.seconds),
    Clock: _clock,
    Ask: _ask,
}
"""By act, how a session does it: a table, since a step is four acts and costs microseconds."""


def _not_awaitable(result: T, function: Callable[..., Any]) -> T:
    if inspect.iscoroutine(result):
        result.close()  # else Python warns that nobody awaited it
        name = getattr(function, "__qualname__", repr(function))
        raise NotCalled(
            f"{name} is a coroutine function, and this session is not async: open the state with "
            "AsyncStore, or give a function that returns its result"
        )
    return result


async def aperform(session: AsyncSession[Any], acts: Acts[T]) -> T:
    """Do acts to their end on the running event loop."""
    result: Any = None
    error: BaseException | None = None
    while True:
        try:
            act = acts.send(result) if error is None else acts.throw(error)
        except StopIteration as stop:
            value: T = stop.value
            return value
        result, error = None, None
        try:
            result = await _ado(session, act)
        except BaseException as raised:  # also cancellation: the record tells how a step ended
            error = raised


async def _ado(session: AsyncSession[Any], act: Any) -> Any:
    match act:
        case Call(function, args, kwargs, effect):
            with nullcontext() if effect is None else performing(effect):
                result = function(*args, **kwargs)
                return (await result) if inspect.isawaitable(result) else result
        case Work(function, args):
            import asyncio

            return await asyncio.to_thread(function, *args)
        case Save(durability, settles):
            return await session._saved_with(durability=durability, settles=settles)
        case Edit(function, is_block):
            async with session.atomic() if is_block else session._outside_block():
                return function()
        case Refresh():
            return await session.refresh(keep_changes=True)
        case Load(name):
            return await session.load(name)
        case Window(name, last):
            return await session.window(name, last=last)
        case Sleep(seconds):
            import asyncio

            return await asyncio.sleep(seconds)
        case Clock():
            return when(session._driver.answer(Now()))
        case Ask(steps):
            return await session._driver.arun(session._in_store(steps))
    raise TypeError(f"no act: {act!r}")
