"""What a moment of maintenance costs others: no transaction and no computation is long."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.engine import maintain
from perdure.engine.requests import Commit, ListPages, ListRows, PutPages, Steps

SNAPSHOTS = limits.snapshots_kept_max + 4
CALLS_MAX = 5000
"""Calls of functions, Python's and C's, that take less than a millisecond."""


class Measuring(MemoryBackend):
    """A backend that notes how much each transaction of maintenance writes or removes (bytes)."""

    def __init__(self) -> None:
        super().__init__()
        self.put: list[list[int]] = []
        self.packed: list[tuple[list[int], int]] = []
        self.dropped: list[list[int]] = []

    def perform(self, request: Any) -> Any:
        if isinstance(request, PutPages):
            self.put.append([len(page.blob) for page in request.pages])
        return super().perform(request)

    def commit(self, batch: Any) -> Any:
        for each in batch:
            self._note(each)
        return super().commit(batch)

    def _note(self, commit: Commit) -> None:
        incarnation = commit.tail.incarnation
        if commit.removed:
            (run,) = commit.removed
            rows = self.perform(ListRows(incarnation, run.line, run.first, run.last, 10**6))
            self.packed.append(([row[2] for row in rows], len(commit.records[0].blob)))
        if commit.dropped:
            pages = dict(self.perform(ListPages(incarnation, None, 10**6)))
            self.dropped.append([pages[id_] for id_ in commit.dropped])


def message(n: int) -> dict[str, Any]:
    return {"role": "user", "n": n, "content": f"message {n} " * 40}


def test_no_transaction_of_maintenance_is_large() -> None:
    backend, chance = Measuring(), random.Random(5)
    with perdure.Store(backend, maintenance="off") as store:
        with store.open("a") as session:
            session.state["messages"] = []
            for turn in range(SNAPSHOTS):
                session.state["noise"] = [chance.randbytes(8_000) for _ in range(80)]
                for n in range(limits.tail_records_max + 1):
                    session.state["messages"].append([chance.randbytes(5_000), message(n)])
                    session.save()
                store._driver.run(maintain.maintain(store._site("a"), full=turn == SNAPSHOTS - 1))
        assert all(found.ok for found in store.verify())
    assert len(backend.put) > SNAPSHOTS and len(backend.dropped) > 4
    for pages in backend.put:
        assert sum(pages) <= limits.put_bytes_max or len(pages) == 1
    for pages in backend.dropped:
        assert sum(pages) <= limits.upkeep_bytes_max
    for rows, made in backend.packed:
        assert sum(rows) <= limits.upkeep_bytes_max and made <= limits.upkeep_bytes_max
        assert len(rows) <= limits.pack_rows_max
    assert max(sum(pages) for pages in backend.put) > limits.put_bytes_max // 2
    assert max(sum(pages) for pages in backend.dropped) > limits.upkeep_bytes_max // 2


def test_a_page_that_is_larger_alone_has_a_transaction_of_its_own() -> None:
    backend, chance = Measuring(), random.Random(5)
    large = tuple(chance.randbytes(1_000) for _ in range(2 * limits.upkeep_bytes_max // 1_000))
    with perdure.Store(backend, maintenance="off") as store:
        with store.open("a") as session:
            session.state["a tuple is stored whole"] = large
            for n in range(limits.tail_records_max + 1):
                session.state["n"] = n
                session.save()
        store.maintain("a")
    assert [len(pages) for pages in backend.put if sum(pages) > limits.put_bytes_max] == [1]


def calls_of(steps: Steps[Any], store: perdure.Store) -> list[int]:
    """How many functions are called from one request of these steps to the next."""
    found: list[int] = []
    answer: Any = None

    def count(_frame: Any, event: str, _what: Any) -> None:
        found[-1] += event in ("call", "c_call")

    while True:
        found.append(0)
        sys.setprofile(count)
        try:
            request = steps.send(answer)
        except StopIteration:
            return found
        finally:
            sys.setprofile(None)
        found.append(0)
        sys.setprofile(count)
        try:
            answer = store._driver.answer(request)
        finally:
            sys.setprofile(None)


def appended(state: Any, n: int) -> None:
    state["messages"].append(message(n))


def edited(state: Any, n: int) -> None:
    state["messages"][n * 131 % 6000]["n"] = -n


def in_map(state: Any, n: int) -> None:
    state["files"][f"file {n * 97}"] = n


def in_numbers(state: Any, n: int) -> None:
    state["numbers"][n * 113 % 40_000] = -n


@pytest.mark.parametrize("edit", [appended, edited, in_map, in_numbers])
def test_no_stretch_of_computing_is_long(
    edit: Callable[[Any, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where pages are cut depends on a secret of the state: let it be the same each time.
    monkeypatch.setattr(os, "urandom", random.Random(5).randbytes)
    with perdure.Store("memory:", maintenance="off") as store:
        session = store.open("a")
        session.state["messages"] = []
        for start in range(0, 6000, 100):
            session.state["messages"].extend(message(start + n) for n in range(100))
            session.save()
        session.state["files"] = {f"file {n}": n for n in range(20_000)}
        session.state["numbers"] = [n % 100 for n in range(40_000)]
        for turn in range(3):
            for n in range(300):
                edit(session.state, turn * 300 + n + 1)
                session.save()
            calls = calls_of(maintain.maintain(store._site("a"), full=turn == 2), store)
            assert sum(calls) > 20 * CALLS_MAX or turn
            assert max(calls) < CALLS_MAX
        session.close()
