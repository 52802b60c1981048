"""examples/langgraph_agent as it is run, over real HTTP, and what the command line says of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState
from tests.adapters.langgraph.graphs import thread

from perdure.adapters.langgraph import PerdureSaver

STORY = Path(__file__).parents[2] / "examples" / "langgraph_agent" / "story.py"

TOLD = """\
killed; of its step is saved {"refunded": 17, "again": false}
Both orders are refunded.
the shop was asked for [17, 18, 18], refunded [17, 18]
the thread has user, assistant, tool, tool, assistant
"""


def run(*command: str, home: Path) -> str:
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=home,
        env={**os.environ, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_killed_with_one_of_two_tasks_saved_only_the_other_is_done_again_P1(tmp_path: Path) -> None:
    assert run(str(STORY), home=tmp_path) == TOLD


def test_a_thread_reads_well_on_the_command_line(tmp_path: Path) -> None:
    def agent(state: Any) -> Any:
        call = {"name": "find", "args": {"order": 17}, "id": "c1"}
        found = ToolMessage("shipped", tool_call_id="c1")
        return {"messages": [AIMessage("", tool_calls=[call]), found, AIMessage("It is shipped.")]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_edge(START, "agent")
    with PerdureSaver(tmp_path / "agents.db") as saver:
        compiled = graph.compile(checkpointer=saver)
        for text in ("Where is my order?", "And my dog?"):
            compiled.invoke({"messages": [HumanMessage(text)]}, thread())
        history = [each.config["configurable"] for each in compiled.get_state_history(thread())]

    def perdure(*command: str) -> str:
        return run("-m", "perdure", "--store", "agents.db", *command, home=tmp_path)

    shown = perdure("show", "threads/alice")
    assert "messages" in shown and "8 items" in shown
    assert "It is shipped." in perdure("show", "threads/alice", "messages/7")
    assert history[0]["checkpoint_id"] in perdure("log", "threads/alice")
    first, last = (f"label:{history[at]['checkpoint_id']}" for at in (3, 0))
    changed = perdure("diff", "threads/alice", first, last)
    assert "And my dog?" in changed and "assistant (with $message): It is shipped." in changed
    assert "And my dog?" in perdure("brief", "threads/alice")
    assert "closed" in perdure("ls")
