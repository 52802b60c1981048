"""What is removed of threads, by run, policy, time or value, is gone, with a key and without."""

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_encrypted import KEY as ROOT
from tests.adapters.langgraph.test_encrypted import MARKER, found_in
from tests.adapters.langgraph.test_two_workers import KEY, put, values

from perdure import Retention, Store, errors
from perdure.adapters.langgraph import PerdureSaver


@pytest.fixture(params=[None, ROOT], ids=["clear", "keyed"])
def key(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def url(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "agents.db"


@pytest.fixture
def saver(url: Path, key: bytes | None) -> Iterator[PerdureSaver]:
    with Store(url, key=key) as store, PerdureSaver(store) as saver:
        yield saver


def runs(saver: PerdureSaver, config: Any, names: str) -> list[Any]:
    """A checkpoint of each run, with what it says; their configs."""
    configs = []
    for step, run in enumerate(names):
        said = {"configurable": config["configurable"] | {"run_id": run}}
        config = put(saver, said, f"{MARKER}-{run}{step}")
        configs.append(config)
    return configs


def rows(url: Path) -> int:
    with sqlite3.connect(url) as base:
        (count,) = base.execute("SELECT count(*) FROM records").fetchone()
    base.close()
    return int(count)


def everything(saver: PerdureSaver) -> str:
    """All that any reader can be given of all threads, in words."""
    store = saver.store
    told = [str(each) for each in saver.list(None)]
    for info in store.states(deleted=True):
        told.append(str(info))
        for each in store.history(info.key, every=True, changes=True):
            told += [str(each), str(store.at(info.key, each.id).plain())]
    return "\n".join(told)


def test_runs_that_are_removed_are_read_by_nobody(
    saver: PerdureSaver, url: Path, key: bytes | None
) -> None:
    configs = runs(saver, thread(), "aabbc")
    saver.put_writes(configs[3], [("x", f"{MARKER}-b-write")], "task")
    fork = runs(saver, configs[1], "b")[0]
    runs(saver, thread("bob"), "b")
    kept = runs(saver, thread("carol"), "a")[0]
    assert f"{MARKER}-b" in everything(saver)
    saver.delete_for_runs(["b"])
    for config in (configs[2], configs[3], fork):
        assert saver.get_tuple(config) is None
    with pytest.raises(errors.StateDeleted):
        put(saver, runs_config(saver, "bob"), 1)
    assert f"{MARKER}-b" not in everything(saver)
    assert [each.key for each in saver.store.states(deleted=True)] == []
    assert all(each.ok for each in saver.store.verify())
    assert [each.checkpoint["channel_values"]["x"] for each in saver.list(thread())] == [
        f"{MARKER}-{each}" for each in ("c4", "a1", "a0")
    ]
    assert values(saver, kept) == {"x": f"{MARKER}-a0"}
    assert (found_in(url.parent, MARKER) == []) is (key is not None)


def test_what_others_keep_in_a_thread_of_nothing_but_runs_that_go_stays(
    saver: PerdureSaver, url: Path
) -> None:
    fork = runs(saver, runs(saver, thread(), "ab")[0], "b")[0]
    runs(saver, thread("bob"), "b")
    with saver.store.open(KEY) as session:
        session.state["facts"] = {"likes": "tea"}
    with saver.store.open("threads/bob") as session, session.task("order") as task:
        task.effect("pay", lambda: "paid")
    saver.delete_for_runs(["a", "b"])
    assert saver.get_tuple(thread()) is None and saver.get_tuple(fork) is None
    assert list(saver.list(None)) == [] and f"{MARKER}-" not in everything(saver)
    assert saver.store.at(KEY, "main").plain() == {"facts": {"likes": "tea"}}
    assert len(saver.store.effects("threads/bob")) == 1
    assert all(each.ok for each in saver.store.verify())
    put(saver, thread(), "anew")
    assert values(saver)["x"] == "anew"
    assert saver.store.at(KEY, "main")["facts"] == {"likes": "tea"}


def test_what_others_keep_in_a_thread_does_not_go_back_with_it(saver: PerdureSaver) -> None:
    kept = runs(saver, thread(), "a")[0]
    with saver.store.open(KEY) as session:
        session.state["facts"], session.state["old"] = {"likes": "tea"}, 1
    fork = runs(saver, runs(saver, kept, "b")[0], "b")
    runs(saver, kept, "ab")
    with saver.store.open(KEY) as session:
        session.state["facts"]["likes"] = "coffee"
        session.state["new"] = [1]
        del session.state["old"]
    saver.delete_for_runs(["b"])
    assert saver.get_tuple(fork[0]) is None
    state = saver.store.at(KEY, "main").plain()
    assert (state["facts"], state["new"]) == ({"likes": "coffee"}, [1]) and "old" not in state
    assert f"{MARKER}-b" not in everything(saver)
    assert all(each.ok for each in saver.store.verify())
    found = saver.get_tuple(thread())
    assert found is not None and found.metadata["run_id"] == "a"
    put(saver, found.config, "on")
    assert values(saver)["x"] == "on"


def test_what_others_keep_beside_a_thread_stays_when_its_newest_is_a_fork(
    saver: PerdureSaver,
) -> None:
    configs = runs(saver, thread(), "ab")
    fork = runs(saver, configs[0], "c")[0]
    with saver.store.open(KEY) as session:
        session.state["facts"] = {"likes": "tea"}
    saver.prune(["alice"])
    assert saver.store.at(KEY, "main")["facts"] == {"likes": "tea"}
    assert values(saver, fork)["x"] == values(saver)["x"] == f"{MARKER}-c0"
    assert len(list(saver.list(thread()))) == 1
    assert [each.name for each in saver.store.branches(KEY)] == ["main"]


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("opened", ["at once", "anew"])
def test_a_thread_that_waits_goes_on_when_all_but_its_newest_record_was_pruned(
    saver: PerdureSaver, edited: bool, opened: str
) -> None:
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke({"messages": [HumanMessage("ask", id="h")]}, thread())
    before = saver.get_tuple(thread())
    assert before is not None
    if edited:
        with saver.store.open(KEY) as session:
            session.state["facts"]["edited"] = True
    policy = Retention(keep_last=1, keep_labels=False, keep_left=timedelta(0))
    assert saver.store.prune(policy, KEY)[0].removed
    assert len(saver.store.history(KEY)) == 1
    using = PerdureSaver(saver.store) if opened == "anew" else saver
    found = using.get_tuple(thread())
    assert found is not None
    assert (found.metadata, found.parent_config) == (before.metadata, before.parent_config)
    assert found.checkpoint["channel_values"]["facts"].get("edited", False) is edited
    assert [each._replace(config={}) for each in using.list(thread())] == [
        found._replace(config={})
    ]
    assert using.get_tuple(thread("alice", before.checkpoint["id"])) is not None
    graph = graphs.chat().compile(checkpointer=using)
    assert graph.get_state(thread()).interrupts[0].value == {"question": "go on?"}
    said = graph.invoke(Command(resume="yes"), thread())["messages"]
    assert said[-1].content == "answered yes"
    using.close()


def runs_config(saver: PerdureSaver, name: str) -> Any:
    config = thread(name)
    config["configurable"]["checkpoint_id"] = "00000000-0000-6000-8000-000000000000"
    return config


def test_a_policy_and_a_prune_leave_a_thread_that_goes_on(saver: PerdureSaver, url: Path) -> None:
    config = runs(saver, thread(), "abcdefghij")[-1]
    saver.store.prune(Retention(keep_last=3, keep_labels=False, keep_left=timedelta(0)), KEY)
    assert [values(saver, each.config)["x"][-2:] for each in saver.list(thread())] == [
        "j9",
        "i8",
        "h7",
    ]
    config = put(saver, config, "after")
    saver.prune(["alice"])
    assert [each.config["configurable"]["checkpoint_id"] for each in saver.list(thread())] == [
        config["configurable"]["checkpoint_id"]
    ]
    assert MARKER not in everything(saver)
    put(saver, config, "on")
    assert values(saver) == {"x": "on"} and saver.store.verify(KEY)[0].ok


def test_a_wrong_key_removes_nothing(url: Path) -> None:
    with Store(url, key=ROOT) as store, PerdureSaver(store) as saver:
        runs(saver, thread(), "ab")
    before = rows(url)
    for key, error in ((bytes(32), errors.WrongKey), (None, errors.KeyMissing)):
        with Store(url, key=key) as store, PerdureSaver(store) as saver:
            calls: list[Callable[[], None]] = [
                partial(saver.delete_for_runs, ["b"]),
                partial(saver.prune, ["alice"]),
                partial(saver.copy_thread, "alice", "bob"),
            ]
            for call in calls:
                with pytest.raises(error):
                    call()
    assert rows(url) == before
    with Store(url, key=ROOT) as store, PerdureSaver(store) as saver:
        assert values(saver) == {"x": f"{MARKER}-b1"}


def test_a_thread_expires_after_its_last_checkpoint_and_not_before(
    url: Path, key: bytes | None
) -> None:
    with Store(url, key=key) as store:
        with PerdureSaver(store, expires_in=timedelta(days=1)) as saver:
            put(saver, thread("kept"), 1)
        with PerdureSaver(store, expires_in=timedelta(microseconds=1)) as saver:
            config = put(saver, put(saver, thread(), 1), 2)
            nested: Any = {"configurable": {"thread_id": "alice", "checkpoint_ns": "node:1"}}
            put(saver, nested, 3)
            first = put(saver, thread("again"), 4)
        with PerdureSaver(store) as saver:  # says nothing of it, and leaves it as it is
            put(saver, first, 5)
        with PerdureSaver(store, expires_in=timedelta.max) as saver:
            put(saver, thread("never"), 6)
            swept = [each.key for each in store.sweep()]
            assert swept == ["threads/again", KEY, f"{KEY}#node:1"]
            assert saver.get_tuple(thread()) is None and saver.get_tuple(nested) is None
            assert values(saver, thread("kept")) == {"x": 1}
            for late in (config, nested):
                with pytest.raises(errors.StateDeleted):
                    put(saver, config, 7)
                with pytest.raises(errors.StateDeleted):
                    saver.put_writes(config, [("x", late)], "task")
            store.undelete("threads/again")
            assert values(saver, thread("again")) == {"x": 5}
            put(saver, thread("again", first["configurable"]["checkpoint_id"]), 8)
            assert store.sweep() == []  # that saver said: never


def test_what_is_redacted_of_a_thread_is_nowhere_and_the_graph_goes_on(
    url: Path, key: bytes | None
) -> None:
    def said(text: str) -> Any:
        return {"messages": [HumanMessage(text, id=text[:8])]}

    def ask(state: graphs.Chat) -> Any:
        return said(f"answered {interrupt(state['messages'][-1].content)}")

    asking: Any = StateGraph(graphs.Chat)
    asking.add_node("ask", ask)
    asking.add_edge(START, "ask")
    with Store(url, key=key) as store:
        with PerdureSaver(store) as saver:
            asking.compile(checkpointer=saver).invoke(said(f"really {MARKER}?"), thread("bob"))
            graph = graphs.chat().compile(checkpointer=saver)
            graph.invoke(said(f"my password is {MARKER}"), thread())
            graph.invoke(said(f"ask {MARKER}"), thread())
        for info in list(store.states()):
            store.redact(info.key, match=MARKER)
        assert found_in(url.parent, MARKER) == []
        with PerdureSaver(store) as saver:
            assert MARKER not in everything(saver)
            graph = graphs.chat().compile(checkpointer=saver)
            found = graph.invoke(Command(resume="yes"), thread())["messages"]
            assert found[0].content == "my password is [redacted]"
            assert isinstance(found[1], AIMessage) and found[-1].content == "answered yes"
            asked = asking.compile(checkpointer=saver)
            assert asked.get_state(thread("bob")).interrupts[0].value == "really [redacted]?"
            assert asked.invoke(Command(resume=1), thread("bob"))["messages"][-1].id == "answered"
            assert all(each.ok for each in store.verify())


def test_a_saver_is_not_made_with_an_expiry_that_makes_no_sense(url: Path) -> None:
    with Store(url) as store:
        for wrong in (30, timedelta(0), timedelta(days=-1)):
            with pytest.raises(errors.UsageError, match="expires_in is"):
                PerdureSaver(store, expires_in=wrong)  # type: ignore[arg-type]  # on purpose
