"""Maintenance beside saves and other maintenance, killed or interrupted: the store stays good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.maintained import SNAPSHOT, filled, head_of, message, pages_of

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.core.head import MAIN
from perdure.engine import collecting, generations, maintain, snapshots
from perdure.engine.around import Around
from perdure.engine.load import load
from perdure.engine.requests import (
    Commit,
    PutPages,
)


@pytest.fixture(params=["sqlite", "memory", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    urls = {
        "sqlite": str(tmp_path / "a.db"),
        "memory": "memory:",
        "objects": "memory+objects:",
    }
    with perdure.Store(urls[request.param], maintenance="off") as made:
        yield made


def test_a_tail_stays_within_its_limits_in_the_background(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db") as store:
        state = filled(store, 400)
        done = threading.Event()
        for _ in range(500):
            head = head_of(store)
            newest = head.branches[MAIN].newest
            if newest and head.branches[MAIN].number - newest.number <= limits.tail_records_max:
                break
            done.wait(0.02)
        else:
            raise AssertionError("no snapshot came")
        assert store._upkeep is not None and store._upkeep._thread is not None
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        assert store.at("a", 400).plain() == state
        assert all(found.ok for found in store.verify())


def test_saves_go_on_while_maintenance_works(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off", durability="process") as store:
        filled(store, 300)
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                store.maintain("a")

        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        try:
            with store.open("a") as session:
                for n in range(300, 600):
                    session.state["messages"].append(message(n))
                    session.save()
                saved = session.state.plain()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        with store.open("a") as session:
            assert session.state.plain() == saved
        assert len(store.history("a")) == 600
        assert all(found.ok for found in store.verify())


class Killed(BaseException):
    """The process dies here."""


class Dying(MemoryBackend):
    """A backend whose process dies at its nth writing request, before or after it took effect."""

    dies_at = -1
    after = False

    def perform(self, request: Any) -> Any:
        if not isinstance(request, Commit | PutPages):
            return super().perform(request)
        Dying.dies_at -= 1
        if Dying.dies_at == 0 and not self.after:
            raise Killed
        answer = super().perform(request)
        if Dying.dies_at == 0:
            raise Killed
        return answer

    def commit(self, batch: Any) -> Any:
        return [self.perform(each) for each in batch]


@pytest.mark.parametrize("after", [False, True])
def test_maintenance_may_be_killed_anywhere(after: bool) -> None:
    for moment in range(1, 40):
        backend = Dying()
        Dying.after, Dying.dies_at = after, -1
        store = perdure.Store(backend, maintenance="off")
        state = filled(store, 150)
        Dying.dies_at = moment
        try:
            store.maintain("a")
        except Killed:
            pass
        else:
            assert moment > 3
            return
        Dying.dies_at = -1
        assert store.at("a", 150).plain() == state
        store.maintain("a")
        assert store.at("a", 150).plain() == state
        assert store.at("a", 70)["messages"] == state["messages"][:70]
        assert all(found.ok for found in store.verify())
    raise AssertionError("it never ends")


def test_what_abandoned_copies_left_is_removed(tmp_path: Path) -> None:
    from perdure.testing.clock import Clock

    clock = Clock()
    backend = MemoryBackend()
    with perdure.Store(backend, maintenance="off", clock=clock) as store:
        filled(store, 20)

        def killed(*_: Any) -> Any:
            raise Killed
            yield

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("perdure.engine.states.adopt", killed)
            with pytest.raises(Killed):
                store.copy("a", "b")
        assert len(backend._tables.staged) == 1
        store.maintain()
        assert len(backend._tables.staged) == 1
        clock.advance(limits.staging_us_max / 1e6 + 1)
        store.maintain()
        assert not backend._tables.staged
        assert store._driver.run(load(store._site("a"))) is not None


def test_pages_collected_while_a_snapshot_is_made_are_made_again(store: perdure.Store) -> None:
    state = filled(store)
    site, run = store._site("a"), store._driver.run
    making = snapshots.make_snapshot(site, head_of(store), SNAPSHOT, None)
    answer: Any = None
    while not isinstance(request := making.send(answer), Commit):
        answer = store._driver._answer(request, store._driver.backend)
    assert pages_of(store)
    assert run(
        collecting.collect_pages(site, head_of(store), Around())
    )  # nothing refers to them yet
    assert not pages_of(store)
    with pytest.raises(StopIteration) as made:
        making.send(store._driver._answer(request, store._driver.backend))
    assert made.value.value is False
    assert head_of(store).branches[MAIN].newest is None
    assert store.maintain("a")[0].steps
    assert all(found.ok for found in store.verify())
    with store.open("a") as session:
        assert session.state.plain() == state


def test_maintenance_that_is_interrupted_leaves_a_good_store(store: perdure.Store) -> None:
    state = filled(store)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.maintain("a", progress=interrupted)
    assert head_of(store).branches[MAIN].newest is not None
    assert all(found.ok for found in store.verify())
    assert store.at("a", 200).plain() == state
    assert "pack" in store.maintain("a")[0].steps


def test_packs_are_made_though_a_snapshot_is_always_due(tmp_path: Path) -> None:
    works: list[str] = []
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        filled(store, 200)
        session = store.open("a")

        def save_on(step: Any) -> None:
            works.append(step.work)
            for n in range(limits.tail_records_max * 2 if len(works) < 6 else 0):
                session.state["n"] = (len(works), n)
                session.save()

        store._driver.run(maintain.maintain(store._site("a"), done=save_on))
        session.close()
        assert all(found.ok for found in store.verify())
    assert works[:4] == ["snapshot", "pack", "snapshot", "pack"]


def test_pages_are_collected_though_something_is_always_due(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "snapshots_loose_max", 2)
    works: list[str] = []
    session = store.open("a")
    session.state["big"] = [message(n) for n in range(300)]

    def save_on(step: Any) -> None:
        works.append(step.work)
        for n in range(limits.tail_records_max * 2 if "collect" not in works else 0):
            session.state["big"][n]["n"] = (len(works), n)
            session.save()
        assert len(works) < 100

    save_on(perdure.reports.MaintenanceStep("snapshot"))
    store._driver.run(maintain.maintain(store._site("a"), done=save_on))
    session.close()
    assert "collect" in works
    assert works.count("snapshot") > limits.snapshots_kept_max
    assert all(found.ok for found in store.verify())


def test_a_call_ends_however_fast_others_save(store: perdure.Store) -> None:
    filled(store)
    with store.open("a") as session:
        made: list[perdure.reports.MaintenanceStep] = []

        def save_on(step: perdure.reports.MaintenanceStep) -> None:
            made.append(step)
            assert len(made) < 50, "it runs after what is saved meanwhile"
            for n in range(limits.tail_records_max + 2):
                session.state["n"] = (len(made), n)
                session.save(durability="process")

        store._driver.run(maintain.maintain(store._site("a"), full=True, done=save_on))
    assert {"snapshot", "pack"} <= {step.work for step in made}
    assert all(found.ok for found in store.verify())


def test_what_others_collect_meanwhile_is_not_told_as_lost(store: perdure.Store) -> None:
    filled(store)
    store.maintain("a")
    run, site, around = store._driver.run, store._site("a").stored(), Around()
    early = head_of(store)
    root = early.branches[MAIN].snapshots[0].root
    assert run(generations.commit_step(site, early, lambda now: now, dropped=(root.id,)))
    assert not run(collecting.collect_pages(site, early, around))
    assert around.problems == []
