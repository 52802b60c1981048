"""Threads are states like any other: they can be looked at, merged and edited past LangGraph."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import START, MessagesState, StateGraph
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY, put, values
from tests.damage.hurting import hurt_records

from perdure import Store, errors
from perdure.adapters.bookkeeping import SECTIONS, is_bookkeeping
from perdure.adapters.langgraph import MERGING, PerdureSaver
from perdure.adapters.langgraph.places import CHECKPOINT, LATE, PENDING
from perdure.cli.app import app


@pytest.fixture
def url(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


def run(url: Path, *args: str) -> str:
    result = CliRunner().invoke(app, ["--store", str(url), *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def forked(saver: PerdureSaver) -> tuple[Any, str]:
    """A thread whose fork has facts of its own; its root, and the name of the fork."""
    facts: dict[str, Any] = {"city": "Oslo"}
    said = [HumanMessage("hi", id="1")]
    root = put(saver, thread(), {"facts": facts, "said": said})
    put(saver, root, {"facts": facts, "said": [*said, AIMessage("main", id="2")]})
    put(saver, root, {"facts": {**facts, "price": 7}, "said": said})
    (fork,) = [each.name for each in saver.store.branches(KEY) if each.name != "main"]
    return root, fork


def test_a_fork_is_merged_and_the_thread_goes_on_with_both(url: Path) -> None:
    with PerdureSaver(url) as saver:
        _, fork = forked(saver)
        main = saver.store.history(KEY, limit=1)[0].label
    with Store(url) as store:
        assert store.merge(KEY, fork, strategies=MERGING)
        store.delete_branch(KEY, fork)
    with PerdureSaver(url) as saver:
        found = saver.get_tuple(thread())
        assert found is not None and found.checkpoint["id"] == main
        merged = found.checkpoint["channel_values"]["x"]
        assert merged["facts"] == {"city": "Oslo", "price": 7}
        assert [each.content for each in merged["said"]] == ["hi", "main"]
        assert values(saver, thread("alice", main)) == {"x": merged}
        config = put(saver, found.config, {**merged, "on": True})
        assert values(saver)["x"]["on"] and saver.get_tuple(config).parent_config is not None  # type: ignore[union-attr]  # it is there
        assert len(list(saver.list(thread()))) == 3


def test_the_command_merges_a_fork_with_the_same_strategies(url: Path) -> None:
    with PerdureSaver(url) as saver:
        _, fork = forked(saver)
        main = saver.store.history(KEY, limit=1)[0].label
    assert "conflict" not in run(url, "merge", KEY, fork, "--dry-run")
    said = run(url, "merge", KEY, fork, "--strategy", "**=theirs")
    assert "price" in said
    assert "price" in run(url, "show", KEY, "x/facts")
    with PerdureSaver(url) as saver:
        found = saver.get_tuple(thread())
        assert found is not None and found.checkpoint["id"] == main


def test_an_edit_past_langgraph_is_of_the_checkpoint_it_came_after(url: Path) -> None:
    with PerdureSaver(url) as saver:
        root, fork = forked(saver)
        label = saver.store.history(KEY, branch=fork, limit=1)[0].label
    with Store(url) as store, store.open(KEY, branch=fork) as session:
        session.state["x"]["said"][0]["content"] = "redacted"
    with PerdureSaver(url) as saver:
        found = saver.get_tuple(thread())
        assert found is not None and found.checkpoint["id"] == label
        assert found.checkpoint["channel_values"]["x"]["said"][0].content == "redacted"
        assert values(saver, found.config)["x"]["said"][0].content == "redacted"
        assert values(saver, root)["x"]["said"][0].content == "hi"
        assert len(list(saver.list(thread()))) == 3


def test_sections_of_ones_own_stay_beside_the_channels(url: Path) -> None:
    """Also one that is edited while a run is under way, by a node or by others."""
    with PerdureSaver(url) as saver, saver.store.open(KEY) as session:
        session.state["notes"] = ["before the first run"]
        session.save()

        def agent(state: MessagesState) -> dict[str, Any]:
            with saver.store.open(KEY, on_conflict="merge") as session:
                session.state["notes"].append(state["messages"][-1].content)
            return {"messages": [AIMessage("and?")]}

        builder = StateGraph(MessagesState)
        builder.add_node("agent", agent)
        builder.add_edge(START, "agent")
        graph: Any = builder.compile(checkpointer=saver)
        for text in ("hi", "on"):
            graph.invoke({"messages": [HumanMessage(text)]}, thread(), durability="sync")
        assert saver.store.at(KEY, "main")["notes"] == ["before the first run", "hi", "on"]
        assert len(graph.get_state(thread()).values["messages"]) == 4
        put(saver, thread(), {"facts": {}})
        assert "notes" in saver.store.at(KEY, "main")


def test_a_run_that_did_not_see_an_edit_of_its_channels_is_told_and_the_next_goes_on_P3(
    url: Path,
) -> None:
    edits = ["edited"]

    def agent(state: MessagesState) -> dict[str, Any]:
        if edits:
            # The run may be saving what its tasks wrote.
            with Store(url) as store, store.open(KEY, on_conflict="merge") as session:
                session.state["messages"][0]["content"] = edits.pop()
        return {"messages": [AIMessage(state["messages"][0].content)]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_edge(START, "agent")
    with PerdureSaver(url) as saver:
        graph: Any = builder.compile(checkpointer=saver)
        with pytest.raises(errors.Conflict, match=r"messages of .* was (edited|merged) past"):
            graph.invoke({"messages": [HumanMessage("hi")]}, thread(), durability="sync")
        said = graph.invoke(None, thread())["messages"]
        assert [each.content for each in said] == ["edited", "hi"]


def test_a_channel_that_has_no_value_any_more_goes_versioned_or_not(url: Path) -> None:
    with PerdureSaver(url) as saver:
        checkpoint: Any = {**empty_checkpoint(), "channel_values": {"x": 1, "bare": 2, "y": 3}}
        checkpoint["channel_versions"] = {"x": 1, "y": 1}
        config = saver.put(thread(), checkpoint, {}, {"x": 1, "y": 1})
        assert values(saver) == {"x": 1, "bare": 2, "y": 3}
        assert saver.get_tuple(thread()).checkpoint.keys() == checkpoint.keys()  # type: ignore[union-attr]
        new: Any = {**checkpoint, "id": str(uuid6()), "channel_values": {"x": 1}}
        new["channel_versions"] = {"x": 1, "y": 2}
        saver.put(config, new, {}, {"y": 2})
        assert values(saver) == {"x": 1}


def test_channels_come_first_and_bookkeeping_has_a_line_unless_it_is_asked_for(url: Path) -> None:
    with PerdureSaver(url) as saver:
        graph = graphs.chat().compile(checkpointer=saver)
        for text in ("hi", "and then?"):
            graph.invoke({"messages": [HumanMessage(text, id=text)]}, thread())
        sections = list(saver.store.at(KEY, "main"))
    differing = [line for line in run(url, "diff", KEY, "5").splitlines() if line[0] != " "]
    names = [line.split()[0] for line in differing]
    assert {"messages", "count", "facts", CHECKPOINT, PENDING} <= set(names)
    assert names == sorted(names, key=is_bookkeeping)
    (line,) = (each for each in differing if each.startswith(f"{CHECKPOINT} "))
    assert line.endswith(f"(diff --path {CHECKPOINT} shows it)")
    whole = run(url, "diff", KEY, "5")
    assert "channel_versions" not in whole and "and then?" in whole
    assert "channel_versions" in run(url, "diff", KEY, "5", "--path", CHECKPOINT)
    assert "channel_versions" in run(url, "diff", KEY, "5", "--json")
    for form in ("--stat", "--summary"):
        told = run(url, "diff", KEY, "5", form).splitlines()
        assert told[0].split()[0] == "messages"
    shown = [line.split()[0] for line in run(url, "show", KEY).splitlines()[3:]]
    assert sorted(shown) == sorted(sections) and shown == sorted(shown, key=is_bookkeeping)
    assert shown[0] == "messages"


def test_what_the_command_line_takes_for_bookkeeping_is_what_the_adapter_keeps() -> None:
    assert {CHECKPOINT, PENDING, LATE} <= SECTIONS
    assert not is_bookkeeping("langgraph.channel.langgraph")  # a channel of that name


def test_a_thread_goes_on_from_what_is_whole_if_its_store_says_so(url: Path) -> None:
    with Store(url, maintenance="off") as store, PerdureSaver(store) as saver:
        graph = graphs.chat().compile(checkpointer=saver)
        for text in ("one", "two"):
            graph.invoke({"messages": [HumanMessage(text)]}, thread())
        last = store.info(KEY).number
    hurt_records(url, [last])
    with PerdureSaver(url) as saver, pytest.raises(errors.Damaged):
        saver.get_tuple(thread())
    with Store(url, on_damage="last_good") as store, PerdureSaver(store) as saver:
        graph = graphs.chat().compile(checkpointer=saver)
        found = graph.invoke({"messages": [HumanMessage("three")]}, thread())["messages"]
        said = [each.content for each in found if each.type == "human"]
        assert said[0] == "one" and said[-1] == "three"
        assert store.movements(KEY)[0].damage
