"""Graphs that tests run under two checkpointers, and what is compared of them afterwards."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send, interrupt


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    count: Annotated[list[int], operator.add]
    facts: dict[str, Any]


def agent(state: Chat) -> dict[str, Any]:
    said = state["messages"][-1].content
    call = {"name": "look", "args": {"x": 1}, "id": "c1"}
    answer = AIMessage(content=f"re: {said}", id=f"a{len(state['messages'])}", tool_calls=[call])
    return {"messages": [answer], "count": [1], "facts": {"seen": len(state["messages"])}}


def ask(state: Chat) -> dict[str, Any]:
    if "ask" not in str(state["messages"][-2].content):
        return {}
    answer = interrupt({"question": "go on?"})
    return {"messages": [HumanMessage(content=f"answered {answer}", id="h-answer")]}


def fan(state: Chat) -> list[Send]:
    return [Send("work", {"i": i}) for i in range(3)]


def work(state: dict[str, int]) -> dict[str, Any]:
    return {"count": [state["i"] * 10]}


def inner() -> Any:
    graph = StateGraph(Chat)
    graph.add_node("think", lambda state: {"count": [100]})
    graph.add_edge(START, "think")
    return graph.compile()


def chat() -> StateGraph[Any, Any, Any, Any]:
    """An agent, a question, a subgraph and three tasks at once."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Chat)
    for name, node in (("agent", agent), ("ask", ask), ("work", work), ("inner", inner())):
        graph.add_node(name, node)
    graph.add_edge(START, "agent")
    graph.add_edge("agent", "ask")
    graph.add_edge("ask", "inner")
    graph.add_conditional_edges("inner", fan, ["work"])
    graph.add_edge("work", END)
    return graph


def joined(old: list[Any], more: Sequence[list[Any]]) -> list[Any]:
    return old + [item for each in more for item in each]


class Deltas(TypedDict):
    log: Annotated[list[Any], DeltaChannel(joined, snapshot_frequency=5)]
    other: Annotated[list[Any], DeltaChannel(joined, snapshot_frequency=3)]
    size: int


def deltas() -> StateGraph[Any, Any, Any, Any]:
    """Two channels that are kept as writes, with tasks that write at once."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Deltas)
    graph.add_node("a", lambda s: {"log": [f"a{len(s['log'])}"], "size": len(s["log"])})
    graph.add_node("b", lambda s: {"log": ["b"], "other": ["o"] * (len(s["log"]) % 2)})
    graph.add_node("c", lambda s: {"log": ["c"]})
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("a", "c")
    graph.add_edge("b", END)
    return graph


def thread(name: str = "alice", checkpoint_id: str | None = None) -> RunnableConfig:
    told = {"thread_id": name, "checkpoint_ns": ""}
    return {"configurable": told | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def told(snapshots: Sequence[Any]) -> list[Any]:
    """What a history says, without ids and times: those differ between two runs."""
    numbers = {
        each.config["configurable"]["checkpoint_id"]: number
        for number, each in enumerate(reversed(snapshots))
    }
    return [
        (
            each.values,
            each.next,
            each.metadata.get("source"),
            each.metadata.get("step"),
            each.parent_config and numbers[each.parent_config["configurable"]["checkpoint_id"]],
            [(task.name, task.path, task.result, task.error) for task in each.tasks],
            [found.value for task in each.tasks for found in task.interrupts],
        )
        for each in snapshots
    ]
