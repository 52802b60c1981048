"""Many engine generators at once, whose commits share transactions.

Each commit still stands by its own condition: one that finds its state moved is answered so, and
the others of its transaction are not touched by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from perdure import limits
from perdure.engine.requests import Commit, Steps

if TYPE_CHECKING:
    from perdure.drive import Driver

T = TypeVar("T")


class _Waiting(msgspec.Struct):
    """A generator that waits for the answer to a commit."""

    steps: Steps[Any]
    commit: Commit
    size: int
    """Of its records (bytes)."""


class _Done(msgspec.Struct):
    """What a generator returned."""

    result: Any


def run_together(
    driver: Driver, works: Iterable[Steps[T]], pausing: Callable[[], None] | None = None
) -> Iterator[T]:
    """Run engine generators to their ends, and yield what they return as it comes.

    As many run at once as have a commit in one transaction: `limits.batch_commits_max`, or fewer
    that write `limits.migration_batch_bytes_max`. They must be about different states. Whatever one
    raises ends all; what was committed until then stays.
    """
    waiting: list[_Waiting] = []
    try:
        for steps in works:
            yield from _sorted(_advance(driver, steps, None, pausing), waiting)
            while _is_full(waiting):
                yield from _settle(driver, waiting, pausing)
        while waiting:
            yield from _settle(driver, waiting, pausing)
    finally:
        for each in waiting:
            each.steps.close()


def _sorted(outcome: _Waiting | _Done, waiting: list[_Waiting]) -> Iterator[Any]:
    if isinstance(outcome, _Done):
        yield outcome.result
    else:
        waiting.append(outcome)


def _is_full(waiting: list[_Waiting]) -> bool:
    if len(waiting) >= limits.batch_commits_max:
        return True
    return sum(each.size for each in waiting) > limits.migration_batch_bytes_max


def _settle(
    driver: Driver, waiting: list[_Waiting], pausing: Callable[[], None] | None
) -> Iterator[Any]:
    """Send the commits that wait as one transaction, and let everyone go on with the answer."""
    batch = tuple(waiting)
    outcomes = driver.commit_all([each.commit for each in batch])
    for each, outcome in zip(batch, outcomes, strict=True):
        waiting.remove(each)
        yield from _sorted(_advance(driver, each.steps, outcome, pausing), waiting)


def _advance(
    driver: Driver, steps: Steps[Any], answer: Any, pausing: Callable[[], None] | None
) -> _Waiting | _Done:
    """Run a generator up to its next commit, or to its end."""
    while True:
        try:
            failed = isinstance(answer, BaseException)
            request = steps.throw(answer) if failed else steps.send(answer)
        except StopIteration as stop:
            return _Done(stop.value)
        if type(request) is Commit:
            return _Waiting(steps, request, sum(len(row.blob) for row in request.records))
        if pausing is not None:
            pausing()
        try:
            answer = driver.answer(request)
        except Exception as raised:
            answer = raised
