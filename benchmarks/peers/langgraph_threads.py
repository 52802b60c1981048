"""`python -m benchmarks.peers.langgraph_threads`: savers of LangGraph at the end of a long thread.

A thread of `COUNT` message objects is put at once; then a message at a time is added, read, and
added by a whole graph. Each saver syncs every commit. Takes less than a minute.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from rich.console import Console
from rich.table import Table

from benchmarks.messages import message
from benchmarks.peers.peer import sqlite_mode
from benchmarks.report import about
from perdure.adapters.langgraph import PerdureSaver

COUNT, COUNT_QUICK = 3_000, 30
PUTS, READS, INVOKES, SETTLING_S = 100, 7, 7, 2.0
CONFIG: Any = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}


def made(number: int) -> AnyMessage:
    kind = AIMessage if number % 2 else HumanMessage
    return kind(message(number)["content"], id=f"m{number}")


def milliseconds(times: list[float]) -> float:
    return statistics.median(times) * 1e3


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began


def put(saver: Any, config: Any, messages: list[AnyMessage]) -> tuple[Any, float]:
    version = f"{len(messages):032}.0"
    checkpoint = empty_checkpoint() | {
        "id": str(uuid6()),
        "channel_values": {"messages": messages},
        "channel_versions": {"messages": version},
    }
    told = {"source": "loop", "step": len(messages)}
    return timed(lambda: saver.put(config, checkpoint, told, {"messages": version}))


def measure(saver: Any, count: int) -> dict[str, float]:
    messages: list[AnyMessage] = [made(number) for number in range(count)]
    config, _ = put(saver, CONFIG, messages)
    time.sleep(SETTLING_S)  # what is due after so large a put is not part of the next ones
    puts, busy = [], []
    for number in range(count, count + PUTS):
        messages = [*messages, made(number)]
        began = time.thread_time()
        config, took = put(saver, config, messages)
        busy.append(time.thread_time() - began)
        puts.append(took)
    reads = [timed(lambda: saver.get_tuple(CONFIG))[1] for _ in range(READS)]
    graph: Any = StateGraph(MessagesState)
    graph.add_node("agent", lambda _: {"messages": [AIMessage("and on")]})
    graph.add_edge(START, "agent")
    graph.add_edge("agent", END)
    compiled = graph.compile(checkpointer=saver)
    said = {"messages": [HumanMessage("on")]}
    invokes = [timed(lambda: compiled.invoke(said, CONFIG))[1] for _ in range(INVOKES)]
    return {
        "put, p50 ms": milliseconds(puts),
        "put, p50 ms of the processor": milliseconds(busy),
        "get_tuple, p50 ms": milliseconds(reads),
        "invoke, p50 ms": milliseconds(invokes),
    }


def sqlite_saver(directory: Path) -> AbstractContextManager[Any]:
    opened: AbstractContextManager[Any] = SqliteSaver.from_conn_string(str(directory / "a.db"))
    return opened


def perdure_saver(directory: Path) -> AbstractContextManager[Any]:
    return PerdureSaver(directory / "conversation.db")


def require_synced(saver: Any) -> None:
    """See that SqliteSaver syncs each commit, as Perdure does by default."""
    if isinstance(saver, SqliteSaver):
        saver.setup()
        mode = [
            saver.conn.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
        assert sqlite_mode(*mode) == "WAL, FULL"


def main(arguments: list[str]) -> int:
    count = COUNT_QUICK if "--quick" in arguments else COUNT
    found = []
    for opened in (sqlite_saver, perdure_saver):
        with (
            tempfile.TemporaryDirectory(prefix="peers-", dir=".") as directory,
            opened(Path(directory)) as saver,
        ):
            require_synced(saver)
            found.append(measure(saver, count))
    table = Table("", "SqliteSaver", "PerdureSaver", "ratio")
    for name, theirs in found[0].items():
        ours = found[1][name]
        table.add_row(name, f"{theirs:,.2f}", f"{ours:,.2f}", f"{theirs / ours:,.1f}")
    console = Console(width=100)
    console.print(f"LangGraph, a thread of {count:,} messages", table, highlight=False)
    told = about(
        Path("."), quick=count != COUNT, command="python -m benchmarks.peers.langgraph_threads"
    )
    console.print("\n".join(f"{name}: {each}" for name, each in told.items()), highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
