"""Pruning through the public API: what stays can be used as before, what went is told (P7)."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.core.refs import Ref
from perdure.engine.parked import parked_branches
from perdure.engine.prune import prune as prune_steps
from perdure.engine.read import read_head
from perdure.engine.requests import ListHeld
from perdure.types import Strategy

URLS = {"sqlite": "{}/a.db", "memory": "memory:", "objects": "memory+objects:"}
LAST_5 = perdure.Retention(keep_last=5)
NO_LEFT = perdure.Retention(keep_last=5, keep_left=timedelta(0))
COUNT = 100
LABELS = {20: "twenty", 21: "next", 60: "sixty"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """A store with a hundred checkpoints of one state, three of them with a label."""
    with perdure.Store(URLS[request.param].format(tmp_path), maintenance="off") as made:
        save(made, range(1, COUNT + 1))
        yield made


def save(store: perdure.Store, values: Any, branch: str = "main") -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state["n"] = value
            session.state.setdefault("log", []).append(f"{branch}: message {value} " * 20)
            session.save(label=LABELS.get(value) if branch == "main" else None)


def whole(store: perdure.Store, ref: Ref = "main") -> dict[str, Any]:
    return store.at("a", ref).plain()


def numbers(store: perdure.Store, branch: str = "main") -> list[int]:
    return [each.number for each in store.history("a", branch=branch)][::-1]


def told(store: perdure.Store) -> str:
    return repr((store.history("a", every=True), store.movements("a"), store.stats("a")))


def require_sound(store: perdure.Store) -> None:
    """Every byte is as it should be, and nothing is stored that nothing needs."""
    for found in store.verify():
        assert found.problem is None
        assert not found.unreferenced
    assert not store.unreferenced()


def prune(store: perdure.Store, policy: perdure.Retention = LAST_5) -> perdure.Pruned:
    (found,) = store.prune(policy, "a")
    require_sound(store)
    return found


KEPT = [20, 21, 60, *range(96, 101)]


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


def test_each_branch_keeps_its_own(store: perdure.Store) -> None:
    store.fork("a", "what-if", at=50)
    save(store, range(1, 4), "what-if")
    there = {number: whole(store, f"what-if@{number}") for number in (49, 50, 51, 53)}
    found = prune(store)
    # What the one keeps of what both have stays on the other too: it is there.
    assert numbers(store) == [20, 21, 49, 50, 60, *range(96, 101)]
    assert numbers(store, "what-if") == [20, 21, *range(49, 54)]
    assert [each.branch for each in found.branches] == ["main", "what-if"]
    for number, state in there.items():
        assert whole(store, f"what-if@{number}") == state


@pytest.mark.parametrize("at", [20, 60, 97])
def test_what_stays_can_be_forked_from_and_saved_on(store: perdure.Store, at: int) -> None:
    prune(store)
    before = whole(store, at)
    store.fork("a", "what-if", at=at)
    assert whole(store, "what-if") == before
    save(store, [1, 2], "what-if")
    require_sound(store)
    assert numbers(store, "what-if")[-3:] == [at, at + 1, at + 2]
    assert whole(store, f"what-if@{at}") == before
    prune(store)
    assert whole(store, f"what-if@{at}") == before


def test_a_rollback_to_an_island_is_undone(store: perdure.Store) -> None:
    prune(store)
    newest, old = whole(store), whole(store, 21)
    store.rollback("a", to=perdure.label("next"))
    assert whole(store) == old
    assert numbers(store) == [20, 21]
    save(store, ["on"])
    assert numbers(store) == [20, 21, 22]
    require_sound(store)
    store.undo("a")
    assert whole(store) == newest
    assert numbers(store) == KEPT
    store.redo("a")
    assert numbers(store) == [20, 21, 22]
    require_sound(store)


def test_what_a_branch_left_stays_for_a_while(store: perdure.Store) -> None:
    save(store, ["left"])
    left = whole(store)
    store.rollback("a", to=90)
    found = prune(store)
    assert found.final == ()
    assert 101 in [each.number for each in store.history("a", every=True)]
    store.undo("a")
    assert whole(store) == left
    require_sound(store)


def test_what_a_branch_left_goes_and_undo_says_so(store: perdure.Store) -> None:
    store.rollback("a", to=90)
    found = prune(store, NO_LEFT)
    assert found.final == (1,)
    assert found.left == 10
    assert max(each.number for each in store.history("a", every=True)) == 90
    with pytest.raises(errors.CheckpointPruned, match="cannot be taken back"):
        store.undo("a")
    # A movement that destroys nothing can still be taken back.
    store.fork("a", "b", at=89)
    prune(store, NO_LEFT)
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]


def test_a_movement_that_left_nothing_can_be_taken_back_however_old_it_is(
    store: perdure.Store,
) -> None:
    store.fork("a", "b", at=100)
    save(store, [1, 2], "b")
    store.promote("a", "b")
    assert prune(store, NO_LEFT).final == ()
    store.undo("a")
    assert numbers(store)[-1] == 100
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]
    require_sound(store)


def test_a_fork_is_undone_after_a_pruning(store: perdure.Store) -> None:
    store.fork("a", "b", at=89)
    prune(store, NO_LEFT)
    store.undo("a")
    assert [each.name for each in store.branches("a")] == ["main"]
    require_sound(store)


def test_a_deleted_branch_comes_back_until_it_is_pruned(store: perdure.Store) -> None:
    store.fork("a", "b", at=50)
    save(store, range(1, 9), "b")
    there = whole(store, "b@58")
    store.delete_branch("a", "b")
    prune(store)
    store.undo("a")
    assert whole(store, "b@58") == there
    store.redo("a")
    prune(store, NO_LEFT)
    with pytest.raises(errors.CheckpointPruned):
        store.undo("a")


def test_the_movement_is_on_record(store: perdure.Store) -> None:
    prune(store)
    assert [each.what for each in store.movements("a")] == ["prune"]
    with pytest.raises(errors.UsageError, match="nothing to undo"):
        store.undo("a")


def grown(store: perdure.Store, branch: str, *values: str) -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state[branch].append(value)
            session.state["log"].append(f"{branch} {value}")
            session.save()


@pytest.fixture
def parted(store: perdure.Store) -> perdure.Store:
    """Two branches that parted long ago, each with a section of its own, and one for both."""
    with store.open("a") as session:
        session.state.update({"main": [], "b": [], "log": []})
        session.save()
    store.fork("a", "b")
    grown(store, "b", *"abcdefgh")
    grown(store, "main", *"123456789")
    return store


APPEND: dict[str, Strategy] = {"log": "append"}


def test_branches_that_parted_below_a_cut_are_merged(parted: perdure.Store) -> None:
    dry = parted.merge("a", "b", strategies=APPEND, dry_run=True)
    assert dry is not None
    prune(parted)
    assert 101 in numbers(parted)  # where they were one
    found = parted.merge("a", "b", strategies=APPEND)
    assert found is not None
    assert found.base == dry.base == 101
    merged = whole(parted)
    assert merged["b"] == list("abcdefgh")
    assert merged["main"] == list("123456789")
    assert merged["log"] == [f"main {n}" for n in "123456789"] + [f"b {n}" for n in "abcdefgh"]
    assert parted.merge("a", "b", strategies=APPEND) is None
    require_sound(parted)


def test_what_was_merged_before_a_cut_is_not_merged_again(parted: perdure.Store) -> None:
    parted.merge("a", "b", strategies=APPEND)
    grown(parted, "main", *"ABCDEFGH")
    grown(parted, "b", *"tuvwxyz")
    prune(parted)
    prune(parted)
    parted.merge("a", "b", strategies=APPEND)
    merged = whole(parted)
    assert merged["b"] == list("abcdefghtuvwxyz")
    assert len(merged["log"]) == len(set(merged["log"])) == 9 + 8 + 8 + 7
    prune(parted)
    parted.merge("a", "main", into="b", strategies=APPEND)
    assert whole(parted, "b")["log"] == merged["log"]
    require_sound(parted)


def test_a_point_that_went_with_its_branch_tells_why_nothing_can_be_merged(
    parted: perdure.Store,
) -> None:
    parted.delete_branch("a", "b")
    prune(parted)
    parted.undo("a")
    with pytest.raises(errors.CheckpointPruned, match="cannot be merged"):
        parted.merge("a", "b", strategies=APPEND)


@pytest.mark.parametrize("pair", [(20, 100), (21, 60), (97, 99), (60, "b@55"), (20, "b")])
def test_differences_are_told_as_before(store: perdure.Store, pair: tuple[Ref, Ref]) -> None:
    store.fork("a", "b", at=50)
    save(store, range(1, 9), "b")
    before = store.diff("a", *pair), store.diff("a", *reversed(pair))
    prune(store)
    assert (store.diff("a", *pair), store.diff("a", *reversed(pair))) == before


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


def test_what_is_saved_to_a_parked_branch_during_a_sweep_stays(store: perdure.Store) -> None:
    for at in range(30):
        store.fork("a", f"b{at}", at=50 + at)
        save(store, [at], f"b{at}")
    site = store._site("a")
    head = store._driver.run(read_head(site))
    name = next(iter(store._driver.run(parked_branches(site, head))))
    steps = prune_steps(site, LAST_5, dry_run=False)
    answer: Any = None
    late = False
    with suppress(StopIteration):
        while True:
            request = steps.send(answer)
            if isinstance(request, ListHeld) and not late:  # it knows what it needs
                late = True
                save(store, ["late"], name)
            answer = store._driver.answer(request)
    assert late
    assert whole(store, name)["n"] == "late"
    require_sound(store)


@pytest.mark.parametrize("keep_left", [timedelta(0), timedelta(days=30)])
def test_a_plan_is_no_larger_for_how_often_branches_left_the_same_P11(keep_left: timedelta) -> None:
    """Each left all of a long history but its last checkpoint where others are, too."""
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            for n in range(500):
                session.state["n"] = n
                session.save()
        for n in range(100):
            with store.open("a") as session:
                session.state["n"] = -n
            store.rollback("a", 500)
        policy = perdure.Retention(keep_last=5, keep_labels=False, keep_left=keep_left)
        tracemalloc.start()
        try:
            (found,) = store.prune(policy, "a", dry_run=True)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found.removed == 495 + (0 if keep_left else 100)
        assert peak < 2_000_000
