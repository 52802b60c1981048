"""Threads that were deleted stay so, and what is pruned, copied or removed by run is just that."""

from pathlib import Path
from typing import Any

import pytest
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread, told
from tests.adapters.langgraph.test_same_as_memory import human
from tests.adapters.langgraph.test_two_workers import KEY, put, values

import perdure
from perdure import errors
from perdure.adapters.langgraph import PerdureSaver


@pytest.fixture
def url(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


@pytest.mark.parametrize("is_other", [False, True])
def test_a_run_that_was_under_way_cannot_bring_a_thread_back(url: Path, is_other: bool) -> None:
    with PerdureSaver(url) as saver, PerdureSaver(url) as second:
        other = second if is_other else saver
        first = put(saver, thread(), 1)
        running = saver.get_tuple(thread()).config  # type: ignore[union-attr]  # it is there
        other.delete_thread("alice")
        with pytest.raises(errors.StateDeleted):
            put(saver, running, 2)
        with pytest.raises(errors.StateDeleted):
            saver.put_writes(first, [("x", 3)], "task")
        subgraph: Any = {"configurable": {**first["configurable"], "checkpoint_ns": "node:1"}}
        with pytest.raises(errors.StateDeleted):
            saver.put_writes(subgraph, [("x", 3)], "task")
        assert saver.store.states() == [] and saver.get_tuple(thread()) is None
        put(saver, thread(), 4)  # its name can be used again
        assert values(saver) == {"x": 4}
        with pytest.raises(errors.Conflict):
            put(saver, running, 5)
        assert values(saver) == {"x": 4}


def test_an_erased_thread_is_nowhere_and_no_late_write_brings_it_back_P8(url: Path) -> None:
    with PerdureSaver(url, erases=True) as saver, PerdureSaver(url) as other:
        first = put(saver, thread(), "MARK-root")
        nested: Any = {"configurable": {"thread_id": "alice", "checkpoint_ns": "node:1"}}
        put(saver, nested, "MARK-nested")
        put(saver, thread("bob"), "kept")
        running = other.get_tuple(thread()).config  # type: ignore[union-attr]  # it is there
        saver.delete_thread("alice")
        for late in (saver, other):
            with pytest.raises(errors.StateDeleted):
                put(late, running, "MARK-late")
            with pytest.raises(errors.StateDeleted):
                late.put_writes(first, [("x", "MARK-late")], "task")
        assert [each.key for each in saver.store.states(deleted=True)] == []
        assert len(saver.store.erasures(KEY)) == 1
        left = b"".join(file.read_bytes() for file in url.parent.glob(f"{url.name}*"))
        assert b"MARK" not in left
        assert b"kept" in left
        put(saver, thread(), 4)  # its name can be used again
        assert values(saver) == {"x": 4}


def test_delete_hides_all_namespaces_of_one_thread_and_can_be_undone_P7(url: Path) -> None:
    with PerdureSaver(url) as saver:
        for name in ("alice", "alice#1", "alice2"):
            put(saver, thread(name), 1)
        put(saver, {"configurable": {"thread_id": "alice", "checkpoint_ns": "node:1"}}, 2)
        saver.delete_thread("alice")
        left = {each.config["configurable"]["thread_id"] for each in saver.list(None)}
        assert left == {"alice#1", "alice2"}
        saver.store.undelete(KEY)
        assert values(saver) == {"x": 1}


def test_a_copy_has_every_branch_and_goes_its_own_way(url: Path) -> None:
    with PerdureSaver(url) as saver:
        graph = graphs.chat().compile(checkpointer=saver)
        for text in ("hi", "ask"):
            graph.invoke(human(text, text), thread())
        for old in list(graph.get_state_history(thread()))[1:4]:
            graph.invoke(None, old.config)
        before = told(list(graph.get_state_history(thread())))
        saver.copy_thread("alice", "bob")
        assert told(list(graph.get_state_history(thread("bob")))) == before
        graph.invoke(human("on", "on"), thread("bob"))
        assert told(list(graph.get_state_history(thread()))) == before
        with pytest.raises(errors.StateExists):
            saver.copy_thread("alice", "bob")


def test_runs_are_removed_from_all_branches_for_good(url: Path) -> None:
    with PerdureSaver(url) as saver:
        configs: list[Any] = [thread()]
        for step, run in enumerate("aabbc"):
            checkpoint = configs[-1]["configurable"] | {"run_id": run}
            configs.append(put(saver, {"configurable": checkpoint}, step))
        fork = put(saver, {"configurable": configs[2]["configurable"] | {"run_id": "b"}}, 9)
        saver.put_writes(configs[4], [("x", 1)], "task")
        saver.delete_for_runs(["b", "c"])
        kept = [each.metadata["step"] for each in saver.list(thread())]
        assert kept == [1, 0] and values(saver) == {"x": 1}
        assert saver.get_tuple(fork) is None and saver.get_tuple(configs[4]) is None
        assert [each.label for each in saver.store.history(KEY, every=True)] == [
            config["configurable"]["checkpoint_id"] for config in (configs[2], configs[1])
        ]
        assert saver.store.verify(KEY)[0].ok
        put(saver, saver.get_tuple(thread()).config, 7)  # type: ignore[union-attr]  # it is there
        assert values(saver) == {"x": 7}


def test_writes_that_came_late_for_a_checkpoint_stay_as_long_as_it_does(url: Path) -> None:
    with PerdureSaver(url) as saver:
        configs: list[Any] = [thread()]
        for step, run in enumerate("aab"):
            checkpoint = configs[-1]["configurable"] | {"run_id": run}
            configs.append(put(saver, {"configurable": checkpoint}, step))
        for config in configs[1:]:
            saver.put_writes(config, [("x", "late")], "task")
        saver.delete_for_runs(["b"])
        for config in configs[1:3]:
            found = saver.get_tuple(config)
            assert found is not None and found.pending_writes == [("task", "x", "late")]
        assert saver.get_tuple(configs[3]) is None and values(saver) == {"x": 1}


def test_a_run_in_the_middle_is_removed_and_what_came_after_keeps_its_content(url: Path) -> None:
    with PerdureSaver(url) as saver:
        config: Any = thread()
        for step, run in enumerate("abc"):
            config = put(saver, {"configurable": config["configurable"] | {"run_id": run}}, step)
        saver.delete_for_runs(["b"])
        assert [each.checkpoint["channel_values"] for each in saver.list(thread())] == [
            {"x": 2},
            {"x": 0},
        ]


def test_a_policy_of_the_store_keeps_the_newest(url: Path) -> None:
    with PerdureSaver(url) as saver:
        config: Any = thread()
        for step in range(20):
            config = put(saver, config, step)
        saver.store.prune(perdure.Retention(keep_last=3, keep_labels=False), KEY)
        assert [each.metadata["step"] for each in saver.list(thread())] == [19, 18, 17]
        put(saver, saver.get_tuple(thread()).config, 20)  # type: ignore[union-attr]  # it is there
        assert values(saver) == {"x": 20}
