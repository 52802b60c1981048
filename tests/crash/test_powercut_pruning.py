"""The power goes while a store is pruned between saves: whole or not at all, no save lost (P1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.crash.test_powercut_upkeep import KEY, Run

from perdure import Retention, Store, limits
from perdure.engine import prune
from perdure.engine.requests import Steps
from perdure.errors import PerdureError
from perdure.testing.sim_stores import small_world

POLICY = Retention(keep_last=4, keep_labels=["tenth"], keep_left=timedelta(0))
CUTS = 30


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)
    with small_world():
        yield


@dataclass
class PrunedRun(Run):
    """A writer that prunes its store as well, and knows what each pruning was to keep."""

    pruned: int = 0

    def maintain(self, store: Store, number: int) -> None:
        if number % 3 == 0:
            super().maintain(store, number)
        if number % 4 == 0:
            (told,) = store.prune(POLICY, KEY)
            self.pruned += told.receipt is not None

    def check(self, store: Store) -> int:
        assert [each.problem for each in store.verify() if not each.ok] == []
        if not store.states():
            return 0
        history = [(each.number, each.id) for each in reversed(store.history(KEY))]
        newest = history[-1][0]
        assert newest - 3 <= history[-min(4, newest)][0], "the newest four are always kept"
        for number, id_ in history:
            # What was being saved then has no id that the writer was told.
            assert self.ids[number - 1 : number] in ([id_], [])
            assert store.at(KEY, number).plain() == self.states[number], number
        return newest


def test_prunings_between_saves_survive_every_cut_P1_P7(tmp_path: Path) -> None:
    run = PrunedRun(tmp_path, 0.03, ("power",), Random(5))
    run.work()
    assert run.pruned >= 5
    assert len(run.cuts) >= CUTS
    for cut in run.cuts:
        assert run.found(cut) in (cut.synced, cut.begun)


def test_prunings_of_saves_that_are_not_synced_leave_a_whole_prefix_P2(tmp_path: Path) -> None:
    run = PrunedRun(tmp_path, 0.03, ("process",), Random(6))
    run.work()
    assert run.pruned >= 5
    assert len(run.cuts) >= CUTS
    assert all(cut.synced <= run.found(cut) <= cut.begun for cut in run.cuts)


def test_a_pruning_that_forgets_what_stands_in_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> Steps[None]:
        return
        yield

    monkeypatch.setattr(prune, "put_twins", nothing)
    run = PrunedRun(tmp_path, 0.05, ("power",), Random(7))
    run.work()
    wrong = 0
    for cut in run.cuts:
        try:
            run.found(cut)
        except (AssertionError, PerdureError):
            wrong += 1
    assert wrong
