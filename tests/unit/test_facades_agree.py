"""`Store` and `AsyncStore`, `Session` and `AsyncSession` are one API, awaited or not."""

import inspect
import typing
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pytest

import perdure
from perdure import aio_session, aio_watch, session_base, store_base, watching
from perdure.agent import async_known, known, on_async_task, on_task

PAIRS = (
    (perdure.Store, perdure.AsyncStore),
    (perdure.Session, perdure.AsyncSession),
    (watching.Watch, aio_watch.AsyncWatch),
    (on_task.Task, on_async_task.AsyncTask),
    (on_task.TaskOptions, on_async_task.AsyncTaskOptions),
    (on_task.Plan, on_async_task.AsyncPlan),
    (on_task.Working, on_async_task.AsyncWorking),
    (known.Children, async_known.AsyncChildren),
)

# The few words in which the docstrings may differ, sync on the left: all there is to allow.
WORDS = {
    perdure.Store.open: (
        "Nothing is written until something is saved.",
        "Nothing is written until something is saved. Await it, or enter it with `async with`.",
    ),
}
# The same operation where Python names it differently.
TWINS = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__next__": "__anext__"}
# Sync methods whose async twin is no coroutine function: what to call it gives something to enter.
ENTERED = {
    "open": aio_session.Opening,
    "child": aio_session.Opening,
    "atomic": AbstractAsyncContextManager,
    "watch": aio_watch.AsyncWatch,
    "task": on_async_task.AsyncTask,
    "options": on_async_task.AsyncTaskOptions,
    "work": on_async_task.AsyncWorking,
}


def methods(cls: type) -> dict[str, Callable[..., Any]]:
    """Public methods by name, the context manager's included, inherited ones too."""
    names = [name for name in dir(cls) if not name.startswith("_") or name in TWINS]
    names += [name for name in dir(cls) if name in TWINS.values()]
    members = {name: inspect.getattr_static(cls, name) for name in names}
    return {name: each for name, each in members.items() if inspect.isfunction(each)}


def pairs_of_methods() -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
    found = []
    for sync, async_ in PAIRS:
        theirs = methods(async_)
        for name, method in methods(sync).items():
            twin = theirs.get(TWINS.get(name, name))
            if twin is not None:
                found.append((method, twin))
    return found


METHODS = pytest.mark.parametrize(
    ("method", "twin"), pairs_of_methods(), ids=lambda each: each.__qualname__
)


@pytest.mark.parametrize(("sync", "async_"), PAIRS)
def test_both_facades_have_the_same_names(sync: type, async_: type) -> None:
    ours = {TWINS.get(name, name) for name in methods(sync)}
    assert ours == set(methods(async_))
    properties = [
        {name for name in dir(cls) if isinstance(inspect.getattr_static(cls, name), property)}
        for cls in (sync, async_)
    ]
    assert properties[0] == properties[1]


def test_the_methods_that_users_call_are_among_those_compared() -> None:
    compared = {method.__qualname__ for method, _ in pairs_of_methods()}
    assert {"Store.open", "Store.import_", "Session.save", "Session.atomic"} <= compared
    assert len(compared) > 20


@METHODS
def test_parameters_agree(method: Callable[..., Any], twin: Callable[..., Any]) -> None:
    ours, theirs = inspect.signature(method).parameters, inspect.signature(twin).parameters
    assert list(ours.values()) == list(theirs.values())


@METHODS
def test_results_agree(method: Callable[..., Any], twin: Callable[..., Any]) -> None:
    if method is twin:  # shared by both: nothing in it waits
        return
    if method.__name__ in ENTERED:
        entered: type[Any] = ENTERED[method.__name__]
        result = twin(object.__new__(perdure.AsyncSession)) if method.__name__ == "atomic" else None
        assert result is None or isinstance(result, entered)
        assert not inspect.iscoroutinefunction(twin)
        return
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(method).return_annotation == inspect.signature(twin).return_annotation


@METHODS
def test_docstrings_agree(method: Callable[..., Any], twin: Callable[..., Any]) -> None:
    ours, theirs = inspect.getdoc(method), inspect.getdoc(twin)
    assert ours
    assert theirs
    said, said_there = WORDS.get(method, ("", ""))
    assert said in " ".join(ours.split())
    assert " ".join(ours.split()).replace(said, said_there, 1) == " ".join(theirs.split())


def test_what_is_shared_is_written_once() -> None:
    for shared, classes in ((store_base.StoreBase, PAIRS[0]), (session_base.SessionBase, PAIRS[1])):
        for cls in classes:
            assert issubclass(cls, shared)
    assert inspect.signature(perdure.Store) == inspect.signature(perdure.AsyncStore)


def test_the_manager_of_a_session_is_a_context_manager_of_its_own_kind() -> None:
    opened = typing.get_origin(typing.get_type_hints(perdure.Store.open)["return"])
    assert opened is perdure.Session
    assert issubclass(opened, AbstractContextManager)
    assert issubclass(aio_session.Opening, AbstractAsyncContextManager)
