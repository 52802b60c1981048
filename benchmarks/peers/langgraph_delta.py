"""LangGraph's DeltaChannel over SqliteSaver: a graph of one node, invoked once for each message."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.messages import Message
from benchmarks.peers.langgraph_saver import THREAD, saver_mode
from benchmarks.peers.peer import Peer, with_text


def joined(messages: list[Message], more: Sequence[list[Message]]) -> list[Message]:
    return messages + [message for each in more for message in each]


class Conversation(TypedDict):
    messages: Annotated[list[dict[str, Any]], DeltaChannel(joined)]


class LangGraphDelta(Peer):
    def open(self, directory: Path) -> None:
        self._opened = ExitStack()
        path = str(directory / "conversation.db")
        self._saver = self._opened.enter_context(SqliteSaver.from_conn_string(path))
        graph = StateGraph(Conversation)
        graph.add_node("agent", lambda _: {})
        graph.add_edge(START, "agent")
        graph.add_edge("agent", END)
        self._graph: Any = graph.compile(checkpointer=self._saver)

    def save(self, message: Message) -> None:
        self._graph.invoke({"messages": [message]}, THREAD)

    def load(self) -> int:
        # LangGraph made message objects of what went in.
        values = self._graph.get_state(THREAD).values
        return with_text([message.content for message in values["messages"]])

    def mode(self) -> str:
        return saver_mode(self._saver)

    def close(self) -> None:
        self._opened.close()
