"""A worker that runs a graph for as long as it lives, and tells what was acknowledged to it."""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain_core.messages import HumanMessage
from tests.adapters.langgraph import graphs

from perdure.adapters.langgraph import PerdureSaver


class Telling(PerdureSaver):
    """Writes the id of each checkpoint, and of each task whose writes were saved, when they are."""

    def put(self, *args: Any) -> Any:
        config = super().put(*args)
        os.write(1, f"put {config['configurable']['checkpoint_id']}\n".encode())
        return config

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        id_ = config["configurable"]["checkpoint_id"]
        os.write(1, f"writes {id_} {task_id}\n".encode())


def main(url: str, mode: Any) -> None:
    with Telling(url) as saver:
        graph = graphs.deltas().compile(checkpointer=saver)
        chat = graphs.chat().compile(checkpointer=saver)
        for number in range(10_000):
            graph.invoke({"log": [number]}, graphs.thread("log"), durability=mode)
            said = {"messages": [HumanMessage(f"hi {number}", id=f"h{number}")]}
            chat.invoke(said, graphs.thread("chat"), durability=mode)


if __name__ == "__main__":
    main(*sys.argv[1:])
