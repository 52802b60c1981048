"""Whole graphs run as they do with LangGraph's own saver in memory, forks and deltas included."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread, told

from perdure.adapters.langgraph import PerdureSaver

MODES = ("sync", "async", "exit")
CONFIG = thread()


def human(text: str, id_: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(content=text, id=id_)]}


def kept(values: dict[str, Any]) -> dict[str, Any]:
    """Without interrupts, whose ids are made from those of checkpoints."""
    return {name: value for name, value in values.items() if name != "__interrupt__"}


def chat(saver: BaseCheckpointSaver[Any], mode: Any) -> list[Any]:
    """A question that interrupts, its answer, and two forks from before it."""
    graph = graphs.chat().compile(checkpointer=saver)
    found: list[Any] = []
    graph.invoke(human("hi", "h1"), CONFIG, durability=mode)
    graph.invoke(human("ask", "h2"), CONFIG, durability=mode)
    found.append(told(list(graph.get_state_history(CONFIG))))
    found.append(graph.invoke(Command(resume="yes"), CONFIG, durability=mode))
    history = list(graph.get_state_history(CONFIG))
    old = [each for each in history if each.next == ("ask",)][-1]
    found.append(kept(graph.invoke(None, old.config, durability=mode)))
    changed = graph.update_state(old.config, human("changed", "h1"), as_node="agent")
    found.append(kept(graph.invoke(None, changed, durability=mode)))
    found.append(graph.invoke(human("on", "h3"), CONFIG, durability=mode))
    return [*found, told(list(graph.get_state_history(CONFIG)))]


async def achat(saver: BaseCheckpointSaver[Any], mode: Any) -> list[Any]:
    graph = graphs.chat().compile(checkpointer=saver)
    await graph.ainvoke(human("hi", "h1"), CONFIG, durability=mode)
    await graph.ainvoke(human("ask", "h2"), CONFIG, durability=mode)
    last = await graph.ainvoke(Command(resume="yes"), CONFIG, durability=mode)
    return [last, told([each async for each in graph.aget_state_history(CONFIG)])]


@pytest.mark.parametrize("mode", MODES)
def test_a_chat_with_interrupts_subgraphs_and_forks(mode: str, tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db") as saver:
        assert chat(saver, mode) == chat(InMemorySaver(), mode)
        keys = [each.key for each in saver.store.states()]
        assert keys[0] == "threads/alice" and all(key.startswith(keys[0]) for key in keys)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_awaited_and_then_in_another_process_in_sync(mode: str, tmp_path: Path) -> None:
    with PerdureSaver(tmp_path / "agents.db") as saver:
        found = asyncio.run(achat(saver, mode))
        assert found == asyncio.run(achat(InMemorySaver(), mode))
    with PerdureSaver(tmp_path / "agents.db") as saver:  # it knows no objects of the first
        graph = graphs.chat().compile(checkpointer=saver)
        assert told(list(graph.get_state_history(CONFIG))) == found[-1]
        graph.invoke(human("on", "h3"), CONFIG)
        assert [each.id for each in graph.get_state(CONFIG).values["messages"]][-2] == "h3"


def run_deltas(saver: BaseCheckpointSaver[Any], mode: Any) -> list[Any]:
    graph = graphs.deltas().compile(checkpointer=saver)
    found = [graph.invoke({"log": [f"in{i}"]}, CONFIG, durability=mode) for i in range(6)]
    forked = [
        graph.invoke({"log": ["forked"]}, old.config, durability=mode)
        for old in list(graph.get_state_history(CONFIG))[3::5]
    ]
    return [*found, *forked, *told(list(graph.get_state_history(CONFIG)))]


@pytest.mark.parametrize("mode", MODES)
def test_delta_channels_are_rebuilt_from_writes_on_every_fork(mode: str) -> None:
    with PerdureSaver("memory:") as saver:
        assert run_deltas(saver, mode) == run_deltas(InMemorySaver(), mode)
        for each in saver.list(CONFIG):
            plain = thread("alice", each.checkpoint["id"])
            asked: dict[str, Any] = {"config": plain, "channels": ["log", "other", "none"]}
            by_walk = BaseCheckpointSaver.get_delta_channel_history(saver, **asked)
            assert saver.get_delta_channel_history(**asked) == by_walk


@pytest.mark.parametrize("mode", MODES)
def test_pruning_keeps_what_delta_channels_are_rebuilt_from(mode: str) -> None:
    with PerdureSaver("memory:") as saver:
        run_deltas(saver, mode)
        graph = graphs.deltas().compile(checkpointer=saver)
        before, count = graph.get_state(CONFIG), len(list(saver.list(CONFIG)))
        saver.prune(["alice"])
        assert len(list(saver.list(CONFIG))) < count
        assert graph.get_state(CONFIG).values == before.values
        assert [each.name for each in saver.store.branches("threads/alice")] == ["main"]
        after = graph.invoke({"log": ["more"]}, CONFIG)
        assert after["log"][: len(before.values["log"]) + 1] == [*before.values["log"], "more"]
