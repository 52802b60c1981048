"""Snapshots, packs and collection: nothing is lost or changed by them, and little is read after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.maintained import filled, head_of, message, pages_of, rows_of, saved_on

import perdure
from perdure import errors, limits
from perdure.core.head import MAIN
from perdure.core.tree import build
from perdure.core.tree_read import reachable
from perdure.engine import collecting, generations, maintain
from perdure.engine.around import Around
from perdure.engine.pages import walk


@pytest.fixture(params=["sqlite", "memory", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    urls = {
        "sqlite": str(tmp_path / "a.db"),
        "memory": "memory:",
        "objects": "memory+objects:",
    }
    with perdure.Store(urls[request.param], maintenance="off") as made:
        yield made


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
    assert store.maintain() == [perdure.reports.Maintained("a", ())]


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
