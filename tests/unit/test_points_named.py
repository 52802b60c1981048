"""`at` and `diff` of both facades take any reference: of any branch, and of another state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.backends.memory import MemoryBackend
from perdure.core.diff import Difference
from perdure.core.refs import Ref
from perdure.testing.clock import Clock

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


class Both:
    """One store, asked through both facades, which have to agree."""

    def __init__(self) -> None:
        self.backend, self.clock = MemoryBackend(), Clock(BEGUN)
        self.store = perdure.Store(self.backend, clock=self.clock)

    def _waiting(self) -> perdure.AsyncStore:
        """It is not closed: that would close the backend of both."""
        return perdure.AsyncStore(self.backend, clock=self.clock)

    def at(self, ref: Ref) -> int:
        view = self.store.at("a", ref)

        async def ask() -> dict[str, Any]:
            return (await self._waiting().at("a", ref)).plain()

        assert asyncio.run(ask()) == view.plain()
        return int(view["n"])

    def diff(self, before: Ref, after: Ref, **other: Any) -> list[Difference]:
        found = self.store.diff("a", before, after, **other)

        async def ask() -> list[Difference]:
            return await self._waiting().diff("a", before, after, **other)

        assert asyncio.run(ask()) == found
        return found


def save(both: Both, key: str, branch: str, numbers: range) -> None:
    """A checkpoint a minute, in which `n` is its number on main, and a hundred more on others."""
    with both.store.open(key, branch=branch) as session:
        for n in numbers:
            session.state["n"] = n
            session.save(label="odd" if n % 2 else "even")
            both.clock.advance(60)


@pytest.fixture
def both() -> Iterator[Both]:
    """Checkpoints 1 to 6 on main, 4 and 5 of "exp" that are 104 and 105."""
    made = Both()
    save(made, "a", "main", range(1, 7))
    made.store.fork("a", "exp", at=3)
    save(made, "a", "exp", range(104, 106))
    yield made
    made.store.close()


@pytest.mark.parametrize(
    ("ref", "n"),
    [
        (2, 2),
        ("3", 3),
        ("main", 6),
        ("~1", 5),
        ("exp", 105),
        ("exp@4", 104),
        ("exp@3", 3),
        ("exp~2", 3),
        (perdure.label("odd"), 5),
        (perdure.label("odd", branch="exp"), 105),
        (perdure.label("even", branch="exp"), 104),
        (perdure.label("even", branch="main"), 6),
        (perdure.time(BEGUN + timedelta(seconds=90)), 2),
        (perdure.time(BEGUN + timedelta(minutes=6, seconds=30), branch="exp"), 104),
        (perdure.time(timedelta(seconds=90), branch="exp"), 104),
        (perdure.time(timedelta(seconds=90)), 6),
    ],
)
def test_a_point_by_any_reference(both: Both, ref: Ref, n: int) -> None:
    assert both.at(ref) == n
    told = both.diff(ref, 1)
    assert [(each.path, each.before, each.after) for each in told] == [(("n",), n, 1)]
    assert both.diff(ref, ref) == []
    assert [(each.before, each.after) for each in both.diff(1, ref)] == [(1, n)]


def test_a_branch_or_label_that_is_not_there(both: Both) -> None:
    for ref in (perdure.label("odd", branch="beef"), perdure.time(BEGUN, branch="beef"), "beef@1"):
        with pytest.raises(errors.BranchNotFound, match="beef"):
            both.at(ref)
    with pytest.raises(errors.CheckpointNotFound, match="on 'exp'"):
        both.at(perdure.label("none", branch="exp"))
    for wrong in (17, b"exp"):
        with pytest.raises(errors.UsageError, match="a branch is named by a string"):
            perdure.label("odd", branch=wrong)  # type: ignore[arg-type]
        with pytest.raises(errors.UsageError, match="a branch is named by a string"):
            perdure.time(BEGUN, branch=wrong)  # type: ignore[arg-type]


def test_a_label_of_another_branch_moves_a_branch(both: Both) -> None:
    both.store.rollback("a", perdure.label("even", branch="exp"))
    assert both.at("main") == 104
    assert both.store.fork("a", "b", at=perdure.label("odd", branch="exp")).tip.number == 5


def test_points_of_two_states(both: Both) -> None:
    save(both, "b", "main", range(51, 53))
    both.store.fork("b", "only-b", at=1)
    told = both.diff("exp", "main", other="b")
    assert [(each.path, each.before, each.after) for each in told] == [(("n",), 105, 52)]
    assert both.diff(2, "only-b", other="b") == [Difference(("n",), "changed", 2, 51)]
    assert both.diff(2, 5, other="a") == both.diff(2, 5)
    both.store.copy("a", "c")
    assert both.diff("main", "main", other="c") == []


def test_two_states_of_which_one_or_its_point_is_missing(both: Both) -> None:
    save(both, "b", "main", range(51, 53))
    with pytest.raises(errors.StateNotFound, match="'nobody'"):
        both.diff(1, 1, other="nobody")
    with pytest.raises(errors.CheckpointNotFound, match="'b' has no checkpoint 3"):
        both.diff(1, 3, other="b")
    with pytest.raises(errors.BranchNotFound, match="exp"):
        both.diff(1, "exp@1", other="b")
    with pytest.raises(errors.UsageError):
        both.diff(1, 1, other="")


def test_the_beginning_of_an_id_that_is_all_digits(both: Both) -> None:
    """One in forty ids begins so: it is no number of a checkpoint that is not there."""
    found: perdure.Checkpoint | None = None
    with both.store.open("a") as session:
        for n in range(7, 3000):
            session.state["n"] = n
            saved = session.save()
            if saved.id[:8].isdecimal() and int(saved.id[:8]) > 3000:
                found = saved
                break
    assert found is not None
    assert both.at(found.id[:8]) == found.number
    assert both.diff(found.id[:8], "main") == []
