"""Pruning through the public API: what stays can be used as before, what went is told (P7)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha512
from pathlib import Path

import pytest
from tests.unit.pruned import (
    COUNT,
    KEPT,
    LAST_5,
    URLS,
    hundred,
    numbers,
    prune,
    require_sound,
    save,
    told,
    whole,
)

import perdure
from perdure import errors


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    with hundred(request.param, tmp_path) as made:
        yield made


def test_the_newest_and_the_labelled_stay_as_they_were_P7(store: perdure.Store) -> None:
    before = {number: whole(store, number) for number in KEPT}
    hashes = {each.number: each.hash for each in store.history("a")}
    found = prune(store)
    assert numbers(store) == KEPT
    assert found.branches[0].runs == ((20, 21), (60, 60), (96, 100))
    assert (found.removed, found.branches[0].kept, found.left) == (92, 8, 0)
    for number, state in before.items():
        assert whole(store, number) == state
    assert {each.number: each.hash for each in store.history("a")} == {n: hashes[n] for n in KEPT}
    assert whole(store, perdure.label("sixty")) == before[60]
    assert whole(store, store.history("a")[-1].id) == before[20]


def test_a_checkpoint_that_went_is_told_with_what_is_kept(store: perdure.Store) -> None:
    prune(store)
    for ref in (1, 59, "main@95", "~7"):
        with pytest.raises(errors.CheckpointPruned, match=r"was pruned .*20–21, 60, 96–100"):
            store.at("a", ref)
    with pytest.raises(errors.CheckpointNotFound, match="101"):
        store.at("a", 101)


def test_a_dry_run_says_the_same_and_changes_nothing(store: perdure.Store) -> None:
    before = told(store)
    (dry,) = store.prune(LAST_5, "a", dry_run=True)
    assert told(store) == before
    done = prune(store)
    assert dry.dry_run
    assert dry.receipt is None
    assert done.receipt == 1
    assert (dry.branches, dry.removed, dry.bytes) == (done.branches, done.removed, done.bytes)


def test_pruning_again_removes_nothing_and_writes_nothing(store: perdure.Store) -> None:
    prune(store)
    before = told(store)
    again = prune(store)
    assert (again.removed, again.receipt) == (0, None)
    assert told(store) == before


def test_space_is_given_back(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        with store.open("a") as session:
            for number in range(2000):
                session.state["page"] = sha512(b"%d" % number).hexdigest() * 3
                session.save(durability="process")
        store.maintain("a")
        store.compact()
        before, stored = store._driver.backend.size_bytes(), store.stats("a").stored_bytes
        found = prune(store)
        store.compact()
        assert store.stats("a").stored_bytes < stored / 10
        assert store._driver.backend.size_bytes() < before / 3
        assert 0.7 * stored < found.bytes < stored


def test_blame_says_what_was_pruned(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["once"] = True
    save(store, range(101, 110))
    assert store.blame("a", "once").number == 101
    prune(store)
    with pytest.raises(errors.CheckpointPruned, match=r"once.*105 or before"):
        store.blame("a", "once")
    assert store.blame("a", "n").number == 110


def test_a_session_goes_on_while_its_state_is_pruned(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = "open"
        session.save()
        prune(store)
        session.state["log"].append("after")
        session.save()
    assert whole(store)["log"][-1] == "after"
    require_sound(store)


def test_a_session_that_lags_behind_a_pruning_is_told(store: perdure.Store) -> None:
    with store.open("a") as late:
        save(store, range(101, 120))
        prune(store)
        late.state["mine"] = 1
        with pytest.raises(errors.BranchMoved, match="was pruned"):
            late.save()
        late.refresh()
        assert late.state["n"] == 119
        late.state["mine"] = 2
    assert whole(store)["mine"] == 2


def test_a_section_that_was_not_read_yet_says_what_was_pruned(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off", cache_bytes=0) as store:
        save(store, range(1, 90))
        store.maintain("a")
        with store.open("a") as late:
            save(store, range(90, 120))
            prune(store)
            with pytest.raises(errors.PerdureError) as caught:
                late.state["log"]
            assert isinstance(caught.value, errors.CheckpointPruned | errors.Damaged)


def test_maintenance_and_pruning_go_together(store: perdure.Store) -> None:
    store.maintain("a")
    save(store, range(101, 300))
    store.maintain("a")
    before = {number: whole(store, number) for number in (20, 60, 295, 299)}
    prune(store)
    store.maintain("a")
    require_sound(store)
    save(store, range(300, 500))
    store.maintain("a")
    prune(store)
    for number in (20, 60):
        assert whole(store, number) == before[number]
    assert numbers(store) == [20, 21, 60, *range(495, 500)]


def test_copies_and_exports_begin_where_it_was_cut_off(store: perdure.Store) -> None:
    prune(store)
    store.copy("a", "b")
    store.copy("a", "c", at=60)
    assert [each.number for each in store.history("b")] == [100, 99, 98, 97, 96]
    assert store.at("b", 97).plain() == whole(store, 97)
    assert store.at("c", 60).plain() == whole(store, 60)
    file = io.BytesIO()
    assert store.export("a", file).checkpoints == 5
    with perdure.Store("memory:", maintenance="off") as other:
        file.seek(0)
        other.import_(file)
        assert other.at("a", 97).plain() == whole(store, 97)
        assert other.history("a")[0].hash == store.history("a")[0].hash
        with other.open("a") as session:
            session.state["n"] = "on"
        require_sound(other)
    require_sound(store)


def test_an_exported_file_whose_pages_were_changed_is_refused(store: perdure.Store) -> None:
    prune(store)
    file = io.BytesIO()
    store.export("a", file)
    data = bytearray(file.getvalue())
    data[len(data) // 2] ^= 1
    with perdure.Store("memory:") as other:
        with pytest.raises(errors.Damaged):
            other.import_(io.BytesIO(bytes(data)))
        assert not other.states()


def test_thinning_keeps_the_newest_of_each_period(tmp_path: Path) -> None:
    clock = [1_000_000_000_000_000]
    day = timedelta(days=1)
    with perdure.Store("memory:", maintenance="off") as store:
        store._driver.clock = lambda: clock[0]
        with store.open("a") as session:
            for number in range(1, 49):
                session.state["n"] = number
                session.save()
                clock[0] += 6 * 3600 * 1_000_000
        policy = perdure.Retention(thin=[(2 * day, day)], keep_labels=False)
        (found,) = store.prune(policy, "a")
        require_sound(store)
        kept = numbers(store)
        assert found.branches[0].kept == len(kept)
        days = [store.at("a", number).checkpoint.time.date() for number in kept[:-8]]
        assert len(days) == len(set(days)) >= 9
        assert kept[-8:] == list(range(41, 49))
        for number in kept:
            assert store.at("a", number)["n"] == number


def test_all_states_and_those_that_cannot_be_read(store: perdure.Store) -> None:
    with store.open("b") as session:
        for number in range(20):
            session.state["n"] = number
            session.save()
    store.delete("b")
    steps: list[tuple[int, int]] = []
    found = store.prune(LAST_5, progress=lambda done, total: steps.append((done, total)))
    assert [each.key for each in found] == ["a"]
    assert steps[-1][0] == steps[-1][1]


def test_bad_calls(store: perdure.Store) -> None:
    with pytest.raises(errors.UsageError, match="Retention"):
        store.prune({"keep_last": 5}, "a")  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(errors.StateNotFound):
        store.prune(LAST_5, "nobody")


def test_an_empty_policy_keeps_all(store: perdure.Store) -> None:
    assert prune(store, perdure.Retention()).removed == 0
    assert len(numbers(store)) == COUNT


def test_the_async_twin(tmp_path: Path) -> None:
    async def run() -> list[int]:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                for number in range(1, 20):
                    session.state["n"] = number
                    await session.save()
            (found,) = await store.prune(LAST_5, "a")
            assert found.removed == 14
            assert (await store.verify("a"))[0].ok
            return [each.number for each in await store.history("a")]

    assert asyncio.run(run()) == [19, 18, 17, 16, 15]
