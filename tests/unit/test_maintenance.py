"""Snapshots, packs and collection: nothing is lost or changed by them, and little is read after."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.core.head import MAIN
from perdure.core.tree import build
from perdure.core.tree_read import reachable
from perdure.engine import collecting, generations, maintain, snapshots
from perdure.engine.around import Around
from perdure.engine.load import load
from perdure.engine.pages import walk
from perdure.engine.read import read_head
from perdure.engine.requests import (
    Commit,
    ListPages,
    ListRows,
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


SNAPSHOT = perdure.types.MaintenanceStep("snapshot")


def message(n: int) -> dict[str, Any]:
    return {"role": "user", "n": n, "content": f"message {n} " * 40}


def filled(store: perdure.Store, saves: int = 200, key: str = "a") -> dict[str, Any]:
    with store.open(key) as session:
        session.state.update({"messages": [], "plan": {str(n): {"v": n} for n in range(500)}})
        session.state["draft"] = ""
        for n in range(saves):
            session.state["messages"].append(message(n))
            session.state["plan"][str(n % 500)]["v"] = -n
            session.state["draft"] += f"word {n} " * 20
            session.save(label=f"save {n}")
        return session.state.plain()


def head_of(store: perdure.Store, key: str = "a") -> Any:
    return store._driver.run(read_head(store._site(key)))


def rows_of(store: perdure.Store, key: str = "a") -> Any:
    head = head_of(store, key)
    tip = head.branches[MAIN]
    listed = ListRows(head.incarnation, tip.line, 1, tip.number, 10_000)
    return store._driver.backend.perform(listed)


def pages_of(store: perdure.Store, key: str = "a") -> set[bytes]:
    listed = ListPages(head_of(store, key).incarnation, None, 10_000)
    return {id_ for id_, _ in store._driver.backend.perform(listed)}


def test_a_state_is_the_same_after_maintenance_P6_P7(store: perdure.Store) -> None:
    state = filled(store)
    history = store.history("a", changes=True)
    earlier = {number: store.at("a", number).plain() for number in (1, 77, 150, 200)}
    (done,) = store.maintain("a")
    assert set(done.steps) == {"snapshot", "pack"}
    assert store.history("a", changes=True) == history
    assert {number: store.at("a", number).plain() for number in earlier} == earlier
    with store.open("a") as session:
        assert session.state.plain() == state
    assert all(found.ok for found in store.verify())
    assert len(rows_of(store)) < 10 < len(history)


def test_the_root_of_a_snapshot_is_the_checksum_of_the_replayed_state_P6(
    store: perdure.Store,
) -> None:
    filled(store)
    store.maintain("a")
    head = head_of(store)
    newest = head.branches[MAIN].newest
    assert newest is not None
    replayed = store.at("a", newest.number).plain()
    assert newest.root == build(replayed, head.secret).root


def test_a_plan_is_data_and_changes_nothing(store: perdure.Store) -> None:
    filled(store)
    (planned,) = store.maintain("a", dry_run=True)
    assert planned.key == "a"
    assert planned.steps[0] == "snapshot"
    assert not pages_of(store)
    assert store.maintain("a")[0].steps[0] == "snapshot"
    assert store.maintain("a")[0].steps == ()


def test_a_snapshot_writes_only_pages_that_changed(store: perdure.Store) -> None:
    with store.open("a") as session:
        # A secret of the state decides where pages end: 77 on average, less than 31 never.
        session.state["messages"] = [message(n) for n in range(8000)]
        for n in range(limits.tail_records_max + 2):
            session.state["n"] = n
            session.save()
    store.maintain("a")
    before = pages_of(store)
    with store.open("a") as session:
        for n in range(limits.tail_records_max + 2):
            session.state["messages"].append(message(n))
            session.save()
    store._driver.run(maintain.maintain(store._site("a")))
    assert 0 < len(pages_of(store) - before) <= 10 < len(before) / 3


def test_snapshots_are_thinned_and_their_pages_collected(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["big"] = [message(n) for n in range(300)]
        for turn in range(limits.snapshots_kept_max + 4):
            for n in range(limits.tail_records_max + 1):
                session.state["big"][n * 4]["n"] = (turn, n)
                session.save()
            store.maintain("a")
    kept = head_of(store).branches[MAIN].snapshots
    assert kept is not None and len(kept) == limits.snapshots_kept_max
    gaps = [one.number - other.number for one, other in pairwise(kept)]
    assert gaps == sorted(gaps)
    head, site = head_of(store), store._site("a").stored()
    needed = store._driver.run(
        walk(site, head.incarnation, reachable([each.root for each in kept]))
    )
    assert pages_of(store) == needed


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


def test_progress_is_told_in_checkpoints_of_one_state_and_in_states_of_all(
    store: perdure.Store,
) -> None:
    filled(store)
    filled(store, 100, key="b")
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    (done,) = store.maintain("a", progress=progress)
    assert [step.work for step in done.details] == list(done.steps)
    assert len(told) == len(done.steps) + 1
    assert told == sorted(told)
    assert {total for _, total in told} == {200}
    assert told[-1] == (200, 200)
    told.clear()
    store.maintain(progress=progress)
    assert told == [(1, 2), (2, 2)]


def test_a_plan_says_which_rows_each_step_is_about(store: perdure.Store) -> None:
    filled(store)
    (planned,) = store.maintain("a", dry_run=True)
    snapshot, *_ = planned.details
    assert (snapshot.work, snapshot.first, snapshot.last) == ("snapshot", 1, 199)
    assert snapshot.rows == 199
    assert snapshot.bytes > 0


def test_only_a_state_that_is_there_is_maintained(store: perdure.Store) -> None:
    filled(store, 2)
    with pytest.raises(errors.StateNotFound, match="'b'"):
        store.maintain("b")
    store.delete("a")
    with pytest.raises(errors.StateNotFound):
        store.maintain("a", dry_run=True)
    assert store.maintain() == [perdure.types.Maintained("a", ())]


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

    save_on(perdure.types.MaintenanceStep("snapshot"))
    store._driver.run(maintain.maintain(store._site("a"), done=save_on))
    session.close()
    assert "collect" in works
    assert works.count("snapshot") > limits.snapshots_kept_max
    assert all(found.ok for found in store.verify())


@pytest.mark.parametrize("how", ["copy", "import"])
def test_a_state_that_comes_with_its_history_gets_a_snapshot(how: str, tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as other:
        filled(other, 150)
        other.export("a", tmp_path / "a.perdure")
    with perdure.Store(tmp_path / "a.db") as store:
        assert store._upkeep is not None
        if how == "copy":
            store.copy("a", "b")
        else:
            store.import_(tmp_path / "a.perdure", "b")
        store._upkeep.wait(store._site("b"), 60)
        assert head_of(store, "b").branches[MAIN].newest is not None
        assert store.at("b", 150).plain() == store.at("a", 150).plain()


def test_a_call_ends_however_fast_others_save(store: perdure.Store) -> None:
    filled(store)
    with store.open("a") as session:
        made: list[perdure.types.MaintenanceStep] = []

        def save_on(step: perdure.types.MaintenanceStep) -> None:
            made.append(step)
            assert len(made) < 50, "it runs after what is saved meanwhile"
            for n in range(limits.tail_records_max + 2):
                session.state["n"] = (len(made), n)
                session.save(durability="process")

        store._driver.run(maintain.maintain(store._site("a"), full=True, done=save_on))
    assert {"snapshot", "pack"} <= {step.work for step in made}
    assert all(found.ok for found in store.verify())


def saved_on(session: perdure.Session, times: int) -> None:
    for n in range(times):
        session.state["n"] = n
        session.state["messages"].append(message(n))
        session.save()


def test_packing_looks_past_rows_that_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "upkeep_rows_max", 16)
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            session.state["shots"] = []
            for n in range(20):  # two of them do not fit into one step
                session.state["shots"].append(random.Random(n).randbytes(140_000))
                session.save()
            for n in range(200):
                session.state["n"] = n
                session.save()
        store.maintain("a")
        assert sum(count == 1 for _, count, _, _ in rows_of(store)) <= 21


def test_a_collection_that_came_to_nothing_says_so(store: perdure.Store) -> None:
    filled(store)
    store.maintain("a")
    assert not store._driver.run(
        collecting.collect_pages(store._site("a"), head_of(store), Around())
    )


def test_text_that_compresses_well_gets_a_snapshot_too(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["text"] = "all work and no play " * 200_000
        session.save()
        session.state["n"] = 1
        session.save()
    assert store.stats("a").stored_bytes < limits.tail_bytes_max
    store.maintain("a")
    assert store.stats("a").snapshots == (1,)


def test_a_snapshot_that_would_write_far_more_than_the_tail_holds_is_put_off(
    store: perdure.Store,
) -> None:
    plan = [{"status": "open", "text": f"task {n} " * 100} for n in range(1000)]
    with store.open("a") as session:
        session.state["plan"] = plan
        for n in range(limits.tail_records_max + 2):
            session.state["n"] = n
            session.save()
    store.maintain("a")
    site, run = store._site("a").stored(), store._driver.run

    def scattered(saves: int) -> None:
        with store.open("a") as session:
            for n in range(saves):
                session.state["plan"][n * 389 % 1000]["status"] = head_of(store).token.hex()
                session.save(durability="process")

    def snapshot() -> int:
        newest = head_of(store).branches[MAIN].newest
        return int(newest.number)

    before, around = snapshot(), Around()
    scattered(limits.tail_records_max)
    run(maintain.maintain(site, around=around))
    assert around.is_put_off
    assert snapshot() == before
    scattered(limits.tail_records_max * (limits.tail_put_off_max - 1))
    run(maintain.maintain(site))
    assert snapshot() > before
    scattered(limits.tail_records_max)
    before = snapshot()
    store.maintain("a")  # who asks for it gets it
    assert snapshot() > before


@pytest.mark.parametrize("which", [0, -1])
def test_a_snapshot_whose_pages_lead_nowhere_is_let_go_and_the_rest_collected(
    store: perdure.Store, which: int
) -> None:
    state = filled(store)
    store.maintain("a")
    for turn in range(3):
        with store.open("a") as session:
            saved_on(session, limits.tail_records_max + 1)
            session.state["turn"] = turn
            state = session.state.plain()
        store.maintain("a")
    head = head_of(store)
    snapshots = head.branches[MAIN].snapshots
    assert snapshots is not None
    lost = snapshots[which]
    run, site = store._driver.run, store._site("a")
    run(generations.commit_step(site, head, lambda now: now, dropped=(lost.root.id,)))

    around = Around()
    assert run(collecting.collect_pages(site.stored(), head_of(store), around))
    (problem,) = around.problems
    assert f"checkpoint {lost.number} was let go" in problem
    kept = head_of(store).branches[MAIN].snapshots
    assert kept == tuple(each for each in snapshots if each != lost)
    assert pages_of(store) == run(walk(site, head.incarnation, reachable([s.root for s in kept])))
    assert store.maintain("a")[0].problem is None
    kept = head_of(store).branches[MAIN].snapshots
    assert (lost in kept) == (lost == snapshots[0])  # the newest is made anew, from what is older
    with store.open("a") as session:
        assert session.state.plain() == state
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
