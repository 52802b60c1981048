"""The power goes while a store is maintained between saves: nothing acknowledged is lost (P1, P7).

Every save is followed by what is due: snapshots, packs, collections, and the file made smaller.
None of that is synced by itself. A cut may undo it, but never a save that was acknowledged before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import Store, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import Durability
from perdure.errors import PerdureError
from perdure.testing.powercut import PowerCut
from perdure.testing.sim_stores import small_world

KEY = "agent"
SAVES = 30
CUTS = 50
WORK = {"snapshot", "pack", "collect"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bounds that a few saves reach, so that all kinds of work are due again and again."""
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)
    with small_world():
        yield


@dataclass(frozen=True)
class Cut:
    """A store as a power cut left it, and what its writer knew at that moment."""

    path: Path
    begun: int
    """The newest checkpoint whose save had begun."""
    synced: int
    """The newest one that was acknowledged with "power"."""


@dataclass
class Run:
    """A writer that maintains its store between saves, on a disk that loses power at any write."""

    directory: Path
    share: float
    """How many of the disk's operations are followed by a cut."""
    durabilities: tuple[Durability, ...]
    random: Random
    states: list[Any] = field(default_factory=lambda: [{}])
    """What was saved, or is being saved, as each checkpoint."""
    ids: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    synced: int = 0
    done: set[str] = field(default_factory=set)

    def work(self, backend_class: Callable[..., SqliteBackend] = SqliteBackend) -> None:
        with PowerCut() as disk:
            disk.on_operation = lambda _: self.perhaps_cut(disk)
            backend = backend_class(self.directory / "store.db", vfs=disk.name)
            with Store(backend, maintenance="off") as store:
                for _ in range(SAVES // 5):
                    self.live(store)
            disk.on_operation = None

    def live(self, store: Store) -> None:
        """One session of a few saves."""
        with store.open(KEY) as session:
            for _ in range(5):
                number = len(self.states)
                edit(session.state, number)
                self.states.append(session.state.plain())
                durability = self.random.choice(self.durabilities)
                self.ids.append(session.save(durability=durability).id)
                if durability == "power":
                    self.synced = number
                self.maintain(store, number)

    def maintain(self, store: Store, number: int) -> None:
        for each in store.maintain(KEY):
            self.done.update(each.steps)
        if number % 7 == 0:
            store.compact()

    def perhaps_cut(self, disk: PowerCut) -> None:
        if self.random.random() < self.share:
            path = self.directory / f"cut{len(self.cuts)}"
            path.mkdir()
            disk.survivors(path, seed=self.random.randrange(2**32))
            self.cuts.append(Cut(path / "store.db", len(self.states) - 1, self.synced))

    # ---- after a cut ------------------------------------------------------------------------

    def found(self, cut: Cut) -> int:
        """The newest checkpoint that a cut left; all up to it is there and fit for use."""
        with Store(cut.path, maintenance="off") as store:
            number = self.check(store)
            store.maintain()
            store.compact()
            assert self.check(store) == number
            with store.open(KEY) as session:
                assert session.state.plain() == self.states[number]
                session.state["after"] = True
                assert session.save().number == number + 1
            return number

    def check(self, store: Store) -> int:
        assert [each.problem for each in store.verify() if not each.ok] == []
        if not store.states():
            return 0
        history = [(each.number, each.id) for each in reversed(store.history(KEY))]
        assert history == list(enumerate(self.ids[: len(history)], 1))
        for number in {1, len(history) // 2 + 1, max(1, len(history) - 1), len(history)}:
            assert store.at(KEY, number).plain() == self.states[number], number
        return len(history)


def edit(state: Any, number: int) -> None:
    """What each save changes: a list grows, a map is edited, what is large comes and goes."""
    state.setdefault("messages", []).append({"n": number, "text": f"message {number} " * 20})
    plan = state.setdefault("plan", {str(at): {"tries": 0} for at in range(30)})
    plan[str(number % 30)]["tries"] = number
    # Every second turn it is what it was before, and so are its pages.
    state["file"] = Random(number % 2).randbytes(4_000 if number % 3 else 20_000)


class NeverFull(SqliteBackend):
    """A backend that forgets what "power" asks of it."""

    def _begin(self, synchronous: str) -> Any:
        return super()._begin("NORMAL")


def test_saves_between_maintenance_survive_every_cut_P1_P7(tmp_path: Path) -> None:
    run = Run(tmp_path, 0.03, ("power",), Random(1))
    run.work()
    assert run.done == WORK
    assert len(run.cuts) >= CUTS
    for cut in run.cuts:
        # One more may be there: written whole, and cut before it was acknowledged.
        assert run.found(cut) in (cut.synced, cut.begun)


def test_maintenance_undoes_no_acknowledged_save_whatever_others_ask_for_P1(tmp_path: Path) -> None:
    run = Run(tmp_path, 0.03, ("power", "process", "process"), Random(2))
    run.work()
    assert run.done == WORK
    assert len(run.cuts) >= CUTS
    numbers = [run.found(cut) for cut in run.cuts]
    assert all(
        cut.synced <= number <= cut.begun for cut, number in zip(run.cuts, numbers, strict=True)
    )


def test_maintenance_under_process_durability_leaves_a_whole_prefix_P2(tmp_path: Path) -> None:
    run = Run(tmp_path, 0.03, ("process",), Random(3))
    run.work()
    assert run.done == WORK
    assert len(run.cuts) >= CUTS
    numbers = [run.found(cut) for cut in run.cuts]
    lost = [cut.begun - number for cut, number in zip(run.cuts, numbers, strict=True)]
    assert min(lost) >= 0
    assert max(lost) > 1, "nothing was ever at risk"


def test_a_backend_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    run = Run(tmp_path, 0.03, ("power",), Random(4))
    run.work(NeverFull)
    lost = 0
    for cut in run.cuts:
        try:
            lost += run.found(cut) < cut.synced
        except (AssertionError, PerdureError):
            lost += 1
    assert lost
