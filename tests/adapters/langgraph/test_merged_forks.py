"""A fork that was merged is where a thread goes on no more: its branch may stay."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY, put, values

from perdure import Store
from perdure.adapters.langgraph import MERGING, PerdureSaver
from perdure.errors import Conflict


def id_of(config: Any) -> str:
    found: str = config["configurable"]["checkpoint_id"]
    return found


def newest(saver: PerdureSaver) -> tuple[str, Any]:
    """The id and the channel of the checkpoint that a thread goes on from."""
    found = saver.get_tuple(thread())
    assert found is not None
    return found.checkpoint["id"], found.checkpoint["channel_values"]["x"]


def whole(saver: PerdureSaver) -> Any:
    """All that a thread goes on from, but for which record it is read from."""
    found = saver.get_tuple(thread())
    assert found is not None
    return found._replace(config={})


def merge(saver: PerdureSaver, fork: str, into: str = "main") -> None:
    assert saver.store.merge(KEY, fork, into=into, strategies=MERGING)


def branch_of(config: Any) -> str:
    return f"fork-{id_of(config)}"


class Forked:
    """A thread at `main`, `fork` and `other`, all of which went on from `root`."""

    def __init__(self, saver: PerdureSaver) -> None:
        self.root = put(saver, thread(), {"root": 1})
        self.main = put(saver, self.root, {"root": 1, "main": 1})
        self.fork = put(saver, self.root, {"root": 1, "fork": 1})
        self.other = put(saver, self.root, {"root": 1, "other": 1})


@pytest.fixture(params=["clear", "encrypted"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    key = bytes(range(32)) if request.param == "encrypted" else None
    with Store(tmp_path / "a.db", key=key) as store, PerdureSaver(store) as saver:
        yield saver


@pytest.fixture
def forked(saver: PerdureSaver) -> Forked:
    return Forked(saver)


def test_the_thread_goes_on_from_where_its_newest_was_merged(
    saver: PerdureSaver, forked: Forked
) -> None:
    assert newest(saver) == (id_of(forked.other), {"root": 1, "other": 1})
    merge(saver, branch_of(forked.other))
    both = id_of(forked.main), {"root": 1, "main": 1, "other": 1}
    assert newest(saver) == both
    with PerdureSaver(saver.store) as fresh:
        assert newest(fresh) == both
    found = saver.get_tuple(thread())
    assert found is not None
    on = put(saver, found.config, {**both[1], "on": 1})
    assert newest(saver) == (id_of(on), {**both[1], "on": 1})
    names = {each.name: each.tip.number for each in saver.store.branches(KEY)}
    assert names["main"] == 4 and len(names) == 3
    assert [each.checkpoint["id"] for each in saver.list(thread())] == sorted(
        map(id_of, (forked.root, forked.main, forked.fork, forked.other, on)), reverse=True
    )


@pytest.mark.parametrize("by", ["this saver", "another"])
def test_who_read_before_a_merge_is_told_and_overwrites_nothing_P3(
    saver: PerdureSaver, forked: Forked, by: str
) -> None:
    read = saver.get_tuple(forked.main)
    assert read is not None
    saver.put_writes(read.config, [("x", {"ours": 1})], "task")  # which is no reason
    with PerdureSaver(saver.store) as other:
        merge(other if by == "another" else saver, branch_of(forked.other))
    tips = [each.tip.id for each in saver.store.branches(KEY)]
    with pytest.raises(Conflict, match="x of 'threads/alice' was merged"):
        put(saver, read.config, {"root": 1, "main": 1, "stale": 1})
    assert [each.tip.id for each in saver.store.branches(KEY)] == tips
    read = saver.get_tuple(forked.main)
    assert read is not None
    facts = read.checkpoint["channel_values"]["x"]
    assert facts == {"root": 1, "main": 1, "other": 1}
    on = put(saver, read.config, {**facts, "on": 1})
    put(saver, {"configurable": {**read.config["configurable"], **on["configurable"]}}, facts)
    assert newest(saver)[1] == facts  # a run goes on with what it read first


def test_a_checkpoint_reads_with_what_was_merged_after_it_also_when_others_followed(
    saver: PerdureSaver, forked: Forked
) -> None:
    merge(saver, branch_of(forked.other))
    both = {"root": 1, "main": 1, "other": 1}
    found = saver.get_tuple(thread())
    assert found is not None
    put(saver, found.config, {**both, "on": 1})
    assert values(saver, forked.main)["x"] == both
    fork = put(saver, forked.main, {**both, "again": 1})
    assert saver.store.at(KEY, branch_of(fork))["x"] == {**both, "again": 1}
    assert saver.store.history(KEY, branch=branch_of(fork), limit=1)[0].number == 4


def test_to_delete_what_was_merged_is_tidiness(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other))
    both = newest(saver)
    saver.store.delete_branch(KEY, branch_of(forked.other))
    assert newest(saver) == both  # not at `fork`, whose id is greater than that of `main`
    with PerdureSaver(saver.store) as fresh:
        assert newest(fresh) == both


def test_a_fork_that_goes_on_after_its_merge_counts_again(
    saver: PerdureSaver, forked: Forked
) -> None:
    merge(saver, branch_of(forked.other))
    assert newest(saver)[0] == id_of(forked.main)
    on = put(saver, forked.other, {"root": 1, "other": 1, "on": 1})
    assert newest(saver) == (id_of(on), {"root": 1, "other": 1, "on": 1})
    merge(saver, branch_of(forked.other))
    assert newest(saver) == (id_of(forked.main), {"root": 1, "main": 1, "other": 1, "on": 1})


def test_writes_of_tasks_are_no_going_on(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other))
    saver.put_writes(forked.other, [("x", 1)], "task")
    found = saver.get_tuple(thread())
    assert found is not None and found.checkpoint["id"] == id_of(forked.main)
    saver.put_writes(found.config, [("x", 2)], "task")
    with PerdureSaver(saver.store) as fresh:
        for each in (saver, fresh):
            again = each.get_tuple(thread())
            assert again is not None and again.checkpoint["id"] == id_of(forked.main)
            assert again.pending_writes == [("task", "x", 2)]


def test_a_fork_of_which_another_has_all(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other), branch_of(forked.fork))
    assert newest(saver) == (id_of(forked.fork), {"root": 1, "fork": 1, "other": 1})
    merge(saver, branch_of(forked.fork))
    all_ = id_of(forked.main), {"root": 1, "main": 1, "fork": 1, "other": 1}
    assert newest(saver) == all_
    saver.store.delete_branch(KEY, branch_of(forked.fork))  # by which `other` came
    with PerdureSaver(saver.store) as fresh:
        assert newest(saver) == newest(fresh) == all_


def test_a_fork_that_takes_in_another_after_its_own_merge_goes_on(
    saver: PerdureSaver, forked: Forked
) -> None:
    merge(saver, branch_of(forked.other))
    merge(saver, branch_of(forked.fork), branch_of(forked.other))
    assert newest(saver) == (id_of(forked.other), {"root": 1, "fork": 1, "other": 1})


def test_main_that_was_merged_into_a_fork_goes_on_only_when_it_is_put_to(
    saver: PerdureSaver, forked: Forked
) -> None:
    main = put(saver, forked.main, {"root": 1, "main": 2})
    assert newest(saver)[0] == id_of(main)
    merge(saver, "main", branch_of(forked.fork))
    both = {"root": 1, "main": 2, "fork": 1}
    assert newest(saver) == (id_of(forked.fork), both)
    saver.put_writes(forked.root, [("x", 1)], "late")  # these are kept on `main`
    found = saver.get_tuple(thread())
    assert found is not None and found.checkpoint["id"] == id_of(forked.fork)
    on = put(saver, found.config, {**both, "on": 1})
    assert newest(saver) == (id_of(on), {**both, "on": 1})
    on = put(saver, main, {"root": 1, "main": 3})
    assert newest(saver) == (id_of(on), {"root": 1, "main": 3})


def test_of_two_that_merged_each_other_in_turn_the_newer_merge_holds(
    saver: PerdureSaver, forked: Forked
) -> None:
    saver.store.delete_branch(KEY, branch_of(forked.other))
    fork, facts = branch_of(forked.fork), {"root": 1, "main": 1, "fork": 1}
    merge(saver, fork)
    assert newest(saver) == (id_of(forked.main), facts)
    on = put(saver, forked.fork, {"root": 1, "fork": 1, "on": 1})
    merge(saver, "main", fork)
    facts["on"] = 1
    assert newest(saver) == (id_of(on), facts)
    with pytest.raises(Conflict, match="was merged"):
        put(saver, forked.main, {"root": 1, "main": 1, "more": 1})
    read = saver.get_tuple(forked.main)
    assert read is not None
    main = put(saver, read.config, {**read.checkpoint["channel_values"]["x"], "more": 1})
    merge(saver, fork)
    facts["more"] = 1
    assert newest(saver) == (id_of(main), facts)
    with PerdureSaver(saver.store) as fresh:
        assert newest(fresh) == (id_of(main), facts)


def test_a_branch_on_which_nothing_was_done_is_brought_to_the_checkpoint_of_the_other(
    saver: PerdureSaver, forked: Forked
) -> None:
    fork = branch_of(forked.other)
    merge(saver, fork)
    both = newest(saver)
    merge(saver, "main", fork)
    with PerdureSaver(saver.store) as fresh:
        for each in (saver, fresh):
            assert newest(each) == both
            assert values(each, forked.other)["x"] == {"root": 1, "other": 1}
            assert values(each, forked.main)["x"] == both[1]
            found = each.get_tuple(thread())
            assert found is not None and found.metadata and found.parent_config == forked.root
            assert len(list(each.list(thread()))) == 4
    found = saver.get_tuple(thread())
    assert found is not None
    on = put(saver, found.config, {**both[1], "on": 1})
    assert newest(saver) == (id_of(on), {**both[1], "on": 1})
    assert {each.name: each.tip.number for each in saver.store.branches(KEY)}[fork] == 4


def test_of_two_that_took_in_the_newest_the_later_goes_on(
    saver: PerdureSaver, forked: Forked
) -> None:
    merge(saver, branch_of(forked.other), branch_of(forked.fork))
    merge(saver, branch_of(forked.other))
    assert newest(saver)[0] == id_of(forked.main)


def test_a_label_that_was_given_to_a_merge_is_no_checkpoint(
    saver: PerdureSaver, forked: Forked
) -> None:
    saver.store.merge(KEY, branch_of(forked.other), strategies=MERGING, label="zzz")
    assert newest(saver) == (id_of(forked.main), {"root": 1, "main": 1, "other": 1})
    assert len(list(saver.list(thread()))) == 4
    assert values(saver, forked.main)["x"] == {"root": 1, "main": 1, "other": 1}


def test_no_clock_decides_whether_a_fork_was_merged() -> None:
    now = [1_700_000_000_000_000]

    def clock() -> int:
        now[0] += 1_000_000
        return now[0]

    with Store("memory:", clock=clock) as store, PerdureSaver(store) as saver:
        forked = Forked(saver)
        now[0] -= 60_000_000  # so that the merge seems older than what it takes in
        merge(saver, branch_of(forked.other))
        assert newest(saver) == (id_of(forked.main), {"root": 1, "main": 1, "other": 1})


def test_what_a_merge_brought_to_a_branch_is_whole_without_the_fork(
    saver: PerdureSaver, forked: Forked
) -> None:
    before = whole(saver)
    saver.store.rollback(KEY, to=1)
    merge(saver, branch_of(forked.other))
    saver.store.delete_branch(KEY, branch_of(forked.other))
    with PerdureSaver(saver.store) as fresh:
        for each in (saver, fresh):
            assert whole(each) == before
            assert values(each, forked.root)["x"] == {"root": 1}
            ids = [found.checkpoint["id"] for found in each.list(thread(), filter={"step": 0})]
            assert ids == [id_of(forked.other), id_of(forked.fork), id_of(forked.root)]


def test_a_merge_that_is_rolled_back_is_no_merge(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other))
    assert newest(saver)[0] == id_of(forked.main)
    saver.store.rollback(KEY, to=2)
    assert newest(saver) == (id_of(forked.other), {"root": 1, "other": 1})


@pytest.mark.parametrize("name", ["main", "fork"])
def test_the_put_after_goes_to_the_branch_that_was_read(
    name: str, saver: PerdureSaver, forked: Forked
) -> None:
    """Also where another branch is at a checkpoint of the same id."""
    at = getattr(forked, name)
    branch = "main" if name == "main" else branch_of(at)
    saver.store.fork(KEY, "trial", branch=branch)
    merge(saver, branch_of(forked.other), "trial")
    found = saver.get_tuple(thread())
    assert found is not None and found.checkpoint["id"] == id_of(at)
    both = found.checkpoint["channel_values"]["x"]
    assert both == {"root": 1, name: 1, "other": 1}
    saver.put_writes(found.config, [("x", 2)], "task")
    again = saver.get_tuple(thread())
    assert again is not None and again.pending_writes == [("task", "x", 2)]
    on = put(saver, found.config, {**both, "on": 1})
    tips = {each.name: each.tip.number for each in saver.store.branches(KEY)}
    assert tips[branch] == 2 and tips["trial"] == 5
    assert newest(saver) == (id_of(on), {**both, "on": 1})


def test_the_same_awaited(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other))

    async def work() -> tuple[str, Any]:
        found = await saver.aget_tuple(thread())
        assert found is not None
        return found.checkpoint["id"], found.checkpoint["channel_values"]["x"]

    assert asyncio.run(work()) == (id_of(forked.main), {"root": 1, "main": 1, "other": 1})


def test_a_copy_goes_on_from_where_the_thread_does(saver: PerdureSaver, forked: Forked) -> None:
    merge(saver, branch_of(forked.other))
    put(saver, forked.fork, {"root": 1, "fork": 2})
    merge(saver, branch_of(forked.fork))
    saver.copy_thread("alice", "bob")
    with PerdureSaver(saver.store) as fresh:
        for each in (saver, fresh):
            found = each.get_tuple(thread("bob"))
            assert found is not None and found.checkpoint["id"] == newest(saver)[0]
            assert found.checkpoint["channel_values"]["x"] == newest(saver)[1]
            assert found.metadata == saver.get_tuple(thread()).metadata  # type: ignore[union-attr]  # it is there
    ids = [each.checkpoint["id"] for each in saver.list(thread())]
    assert [each.checkpoint["id"] for each in saver.list(thread("bob"))] == ids


def test_a_copy_knows_what_a_merge_brought_to_main(saver: PerdureSaver, forked: Forked) -> None:
    saver.store.rollback(KEY, to=1)
    merge(saver, branch_of(forked.other))
    saver.copy_thread("alice", "bob")
    before, copied = saver.get_tuple(thread()), saver.get_tuple(thread("bob"))
    assert before is not None and copied is not None and before.metadata
    assert (before.checkpoint, before.metadata) == (copied.checkpoint, copied.metadata)


def test_an_export_of_a_merged_thread_goes_on_with_both(
    saver: PerdureSaver, forked: Forked, tmp_path: Path
) -> None:
    merge(saver, branch_of(forked.other))
    saver.store.export(KEY, tmp_path / "alice.perdure")
    saver.store.import_(tmp_path / "alice.perdure", "threads/bob")
    found = saver.get_tuple(thread("bob"))
    assert found is not None and found.checkpoint["id"] == id_of(forked.main)
    assert found.checkpoint["channel_values"]["x"] == {"root": 1, "main": 1, "other": 1}


def test_what_is_pruned_down_to_the_newest_is_what_was_merged(
    saver: PerdureSaver, forked: Forked
) -> None:
    merge(saver, branch_of(forked.other))
    both = newest(saver)
    saver.prune(["alice"])
    assert newest(saver) == both
    assert [each.name for each in saver.store.branches(KEY)] == ["main"]


def test_what_a_merge_brought_to_main_is_whole_when_all_else_is_pruned(
    saver: PerdureSaver, forked: Forked
) -> None:
    saver.store.rollback(KEY, to=1)
    merge(saver, branch_of(forked.other))
    before = whole(saver)
    assert before.metadata
    saver.prune(["alice"])
    with PerdureSaver(saver.store) as fresh:
        assert whole(fresh) == whole(saver) == before
        assert [each.checkpoint["id"] for each in fresh.list(thread())] == [id_of(forked.other)]


def test_to_remove_the_run_of_a_fork_undoes_no_merge(saver: PerdureSaver) -> None:
    root = put(saver, thread(), {"root": 1})
    main = put(saver, root, {"root": 1, "main": 1})
    run: Any = {"configurable": root["configurable"], "metadata": {"run_id": "gone"}}
    fork = put(saver, run, {"root": 1, "fork": 1})
    merge(saver, branch_of(fork))
    saver.delete_for_runs(["gone"])
    assert newest(saver) == (id_of(main), {"root": 1, "main": 1, "fork": 1})
    assert len(list(saver.list(thread()))) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_without_a_merge_nothing_more_is_read(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of each branch, where there are several, when a saver first meets the thread."""
    read: list[Any] = []
    history = Store.history

    def counted(store: Store, key: str, **told: Any) -> Any:
        read.append(told)
        return history(store, key, **told)

    with PerdureSaver(tmp_path / "a.db") as saver:
        root = put(saver, thread(), 1)
        tips = [put(saver, root, each) for each in range(count)]
        for _ in range(9):
            tips = [put(saver, each, at) for at, each in enumerate(tips)]
        with PerdureSaver(saver.store) as fresh:
            monkeypatch.setattr(Store, "history", counted)
            assert fresh.get_tuple(thread()) is not None
            assert len(read) <= count  # no history, however long it is
            firsts = [each["limit"] for each in read if each["before"] is None]
            assert firsts == ([1] * count if count > 1 else [])
            read.clear()
            config = fresh.get_tuple(thread()).config  # type: ignore[union-attr]  # it is there
            put(fresh, config, 7)
            fresh.get_tuple(thread())
            assert read == []
