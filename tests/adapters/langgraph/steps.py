"""A worker that runs a graph step by step, and kills itself with SIGKILL in the middle of one."""

from __future__ import annotations

import operator
import os
import signal
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from tests.adapters.langgraph.graphs import thread

from perdure.adapters.langgraph import PerdureSaver

RUN, KILLED_AT = 12, 18
"""How many numbers a run adds, and what the step would add in which the second run is killed."""


class Log(TypedDict):
    log: Annotated[list[int], operator.add]


def steps(killed_at: int | None = None) -> StateGraph[Any, Any, Any, Any]:
    """A graph that counts on, a number a step, to the end of its run."""

    def step(state: Log) -> dict[str, Any]:
        number = len(state["log"])
        if number == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"log": [number]}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(Log)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda s: "step" if len(s["log"]) % RUN else END)
    return graph


def main(url: str, mode: Any) -> None:
    with PerdureSaver(url) as saver:
        graph = steps(KILLED_AT).compile(checkpointer=saver)
        graph.invoke({"log": [RUN]}, thread(), durability=mode)


if __name__ == "__main__":
    main(*sys.argv[1:])
