"""examples/langgraph_agent as it is run, over real HTTP, and what the command line says of it."""

import importlib.util
import os
import random
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState
from tests.adapters.langgraph.graphs import thread

from perdure import Store
from perdure.adapters.langgraph import PerdureSaver

KILLS = 5
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


def killed_at_random(story: Any, url: str, choose: random.Random) -> list[bool]:
    """Start the agent again and again, and kill it when it is at work; whether each was killed."""
    killed = []
    for _ in range(KILLS):
        agent, asked = story.start(url), len(story.times)
        while len(story.times) == asked and agent.poll() is None:
            time.sleep(0.005)
        time.sleep(choose.uniform(0, 0.5))
        agent.kill()  # SIGKILL
        killed.append(agent.wait() != 0)
    assert story.start(url).wait(60) == 0
    return killed


def test_killed_at_random_it_comes_to_the_same_end_with_each_refund_once_P1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("story", STORY)
    assert spec is not None and spec.loader is not None
    story: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(story)
    story.shop.killed.set()  # it answers everybody
    story.times = []

    class Slow(story.Handler):  # type: ignore[misc]  # of a module that was read from its file
        def do_POST(self) -> None:
            story.times.append(time.monotonic())
            time.sleep(0.1)
            super().do_POST()
            time.sleep(0.05)

    monkeypatch.chdir(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever).start()
    try:
        killed = killed_at_random(story, f"http://127.0.0.1:{server.server_port}", random.Random(7))
    finally:
        server.shutdown()
        server.server_close()
    assert any(killed)
    assert story.shop.refunds == {"call_17": 17, "call_18": 18}  # once each: the keys are kept
    with Store("agent.db") as store:
        said = store.at("threads/refunds", "main")["messages"]
        assert [each["role"] for each in said] == ["user", "assistant", "tool", "tool", "assistant"]
        assert sorted(each["tool_call_id"] for each in said[2:4]) == ["call_17", "call_18"]
        assert said[-1]["content"] == "Both orders are refunded."
        assert [each.name for each in store.branches("threads/refunds")] == ["main"]
        assert store.verify()[0].ok


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
    assert "And my dog?" in changed and "assistant: It is shipped." in changed
    assert "And my dog?" in perdure("brief", "threads/alice")
    assert "closed" in perdure("ls")
