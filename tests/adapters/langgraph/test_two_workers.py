"""Two workers on one thread are told; who names a checkpoint forks."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread

from perdure import Store, errors
from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.log import Log

KEY = "threads/alice"


def put(saver: PerdureSaver, config: Any, value: Any) -> Any:
    """Put a checkpoint whose only channel has this value."""
    checkpoint: Any = {**empty_checkpoint(), "id": str(uuid6()), "channel_values": {"x": value}}
    checkpoint["channel_versions"] = {"x": 1}
    step = value if isinstance(value, int) else 0
    return saver.put(config, checkpoint, {"source": "loop", "step": step}, {"x": 1})


def values(saver: PerdureSaver, config: Any = None) -> Any:
    found = saver.get_tuple(config or thread())
    return found and found.checkpoint["channel_values"]


@pytest.fixture(params=["one saver", "two savers"])
def savers(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    url = tmp_path / "agents.db"
    with PerdureSaver(url) as one, PerdureSaver(url) as other:
        yield (one, one) if request.param == "one saver" else (one, other)


def test_who_read_the_newest_and_came_second_is_told_and_nothing_is_written_P3(savers: Any) -> None:
    one, other = savers
    put(one, thread(), 1)
    mine, theirs = one.get_tuple(thread()).config, other.get_tuple(thread()).config
    put(one, mine, 2)
    with pytest.raises(errors.Conflict, match="another worker went on"):
        put(other, theirs, 3)
    assert values(other) == values(one) == {"x": 2}
    assert len(one.store.branches(KEY)) == 1
    put(other, other.get_tuple(thread()).config, 4)
    assert values(one) == {"x": 4}


def test_who_named_the_checkpoint_forks(savers: Any) -> None:
    one, other = savers
    first = put(one, thread(), 1)
    put(one, first, 2)
    chosen = other.get_tuple(first).config
    third = put(other, chosen, 3)
    assert values(one, third) == {"x": 3} and values(one) == {"x": 3}
    assert [each.name for each in one.store.branches(KEY)][1].startswith("fork-")
    assert one.get_tuple(third).parent_config == first


def test_two_that_begin_one_thread_are_told(savers: Any) -> None:
    one, other = savers
    assert one.get_tuple(thread()) is None and other.get_tuple(thread()) is None
    put(one, thread(), 1)
    with pytest.raises(errors.Conflict, match="another worker began"):
        put(other, thread(), 2)
    assert values(other) == {"x": 1}


def test_writes_of_others_are_no_conflict(savers: Any) -> None:
    one, other = savers
    first = put(one, thread(), 1)
    mine = one.get_tuple(thread()).config
    other.put_writes(first, [("x", 7)], "task")
    second = put(one, mine, 2)
    other.put_writes(first, [("x", 8)], "late")
    put(one, {"configurable": {**mine["configurable"], **second["configurable"]}}, 3)
    assert [each[0] for each in one.get_tuple(first).pending_writes] == ["late", "task"]
    assert values(other) == {"x": 3}


def test_exclusive_holds_the_thread_until_it_is_released(tmp_path: Path) -> None:
    url = tmp_path / "agents.db"
    with PerdureSaver(url) as first:
        put(first, thread(), 1)
    with (
        PerdureSaver(url, exclusive=True, wait=0) as one,
        PerdureSaver(url, exclusive=True, wait=0) as other,
    ):
        config = one.get_tuple(thread()).config  # type: ignore[union-attr]  # it is there
        with pytest.raises(errors.Busy):
            other.get_tuple(thread())
        put(one, config, 2)
        one.release("alice")
        assert values(other) == {"x": 2}


def test_many_threads_of_one_saver_at_once(tmp_path: Path) -> None:
    names = [f"user-{i}" for i in range(8)]
    failed: list[Exception] = []
    with PerdureSaver(tmp_path / "agents.db") as saver:
        graph = graphs.deltas().compile(checkpointer=saver)

        def run(name: str) -> None:
            try:
                for i in range(3):
                    graph.invoke({"log": [i]}, thread(name))
            except Exception as error:
                failed.append(error)

        runs = [threading.Thread(target=run, args=(name,)) for name in names]
        for each in runs:
            each.start()
        for each in runs:
            each.join(120)
        assert failed == []
        for name in names:
            log = graph.get_state(thread(name)).values["log"]
            assert [each for each in log if isinstance(each, int)] == [0, 1, 2]


def test_more_threads_and_branches_than_sessions_are_kept_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.adapters.langgraph.threads.THREADS_MAX", 2)
    with PerdureSaver(tmp_path / "agents.db") as saver:
        configs = [put(saver, thread(f"user-{i}"), i) for i in range(5)]
        configs = [put(saver, config, 10 + i) for i, config in enumerate(configs)]
        assert [values(saver, config) for config in configs] == [{"x": 10 + i} for i in range(5)]
        first = put(saver, thread(), 0)
        forks = [put(saver, first, i) for i in range(1, 9)]
        forks = [put(saver, config, 10 + i) for i, config in enumerate(forks)]
        assert [values(saver, config) for config in forks] == [{"x": 10 + i} for i in range(8)]
        assert len(saver.store.branches(KEY)) == 8 and values(saver) == {"x": 17}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_sessions_of_its_own(tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db") as saver:
        first = put(saver, thread(), 1)
        pid = os.fork()
        if not pid:
            put(saver, first, 2)
            os._exit(0 if values(saver) == {"x": 2} else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert values(saver) == {"x": 2}


def test_the_newest_of_a_fork_is_read_without_the_history_of_main(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    page = Log._page

    def counted(log: Log, branch: str, before: str | None, limit: int) -> Any:
        read.append(branch)
        return page(log, branch, before, limit)

    with PerdureSaver("memory:") as saver:
        before = put(saver, thread(), 0)
        put(saver, before, "main")
        put(saver, before, "fork")
        monkeypatch.setattr(Log, "_page", counted)
        with PerdureSaver(saver.store) as other:
            assert values(other) == {"x": "fork"}
    assert read.count("main") == 1, "its newest record, whose id tells"


@pytest.mark.parametrize("is_forked", [False, True])
def test_a_checkpoint_that_comes_between_looking_and_reading_has_its_metadata(
    is_forked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tmp_path / "agents.db"
    with PerdureSaver(url) as one, PerdureSaver(url) as other:
        root = put(one, thread(), 1)
        newest = [put(one, root, 2)]
        if is_forked:
            newest = [put(one, root, 3)]
        opened = Store.open

        def open_(store: Store, *args: Any, **told: Any) -> Any:
            if store is other.store and newest:
                put(one, newest.pop(), 4)
            return opened(store, *args, **told)

        monkeypatch.setattr(Store, "open", open_)
        found = other.get_tuple(thread())
        assert found is not None and found.checkpoint["channel_values"] == {"x": 4}
        assert found.metadata == {"source": "loop", "step": 4}
