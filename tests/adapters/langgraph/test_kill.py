"""A worker that is killed with SIGKILL loses nothing that it was told is saved (P1, P2)."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from tests.adapters.langgraph import graphs, killed, steps
from tests.adapters.langgraph.graphs import thread

from perdure.adapters.langgraph import PerdureSaver

ROOT = Path(__file__).parents[3]
KILLS = 4


def killed_after(seconds: float, url: Path, mode: str) -> list[list[str]]:
    """What a worker was told is saved before it was killed."""
    command = [sys.executable, str(killed.__file__), str(url), mode]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT) as worker:
        assert worker.stdout is not None
        try:
            lines = [worker.stdout.readline()]
            time.sleep(seconds)
        finally:
            worker.kill()
        lines += worker.stdout.read().splitlines(keepends=True)
    assert worker.returncode != 0, "it was at work"
    return [line.decode().split() for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_was_acknowledged_is_there_and_the_thread_goes_on_P1(
    mode: str, tmp_path: Path
) -> None:
    url, choose = tmp_path / "agents.db", random.Random(mode)
    told: list[list[str]] = []
    for kill in range(KILLS):
        told += killed_after(choose.uniform(0.05, 0.6), url, mode)
        with PerdureSaver(url) as saver:
            saved = {each.checkpoint["id"]: each for each in saver.list(None)}
            for what, id_, *task in told:
                if what == "put":
                    assert id_ in saved
                elif id_ in saved:  # else its checkpoint was still to come
                    assert task[0] in [write[0] for write in saved[id_].pending_writes or ()]
            assert all(found.ok for found in saver.store.verify())
            graph = graphs.chat().compile(checkpointer=saver)
            said = {"messages": [HumanMessage("on", id=f"on{kill}")]}
            on = graph.invoke(said, thread("chat"))
            assert on["messages"][-2].id == f"on{kill}"
            assert len(graph.get_state(thread("chat")).values["messages"]) == len(on["messages"])
            log = graphs.deltas().compile(checkpointer=saver).invoke(None, thread("log"))
            assert log is None or log["log"] == saver_log(saver)
    assert len(told) > 20
    with PerdureSaver(url) as saver:
        assert [each.name for each in saver.store.branches("threads/log")] == ["main"]


def saver_log(saver: PerdureSaver) -> object:
    graph = graphs.deltas().compile(checkpointer=saver)
    return graph.get_state(thread("log")).values["log"]


@pytest.mark.parametrize(
    ("mode", "fewest", "most"),
    [
        ("sync", steps.KILLED_AT, steps.KILLED_AT),
        ("async", steps.RUN, steps.KILLED_AT),
        ("exit", steps.RUN, steps.RUN),
    ],
)
def test_what_each_durability_mode_leaves_of_a_run_that_is_killed_P1(
    mode: Any, fewest: int, most: int, tmp_path: Path
) -> None:
    url = tmp_path / "agents.db"
    with PerdureSaver(url) as saver:
        graph = steps.steps().compile(checkpointer=saver)
        graph.invoke({"log": [0]}, thread(), durability=mode)
    command = [sys.executable, str(steps.__file__), str(url), mode]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=env, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with PerdureSaver(url) as saver:
        graph = steps.steps().compile(checkpointer=saver)
        left = graph.get_state(thread()).values["log"]
        assert left == list(range(len(left))) and fewest <= len(left) <= most
        assert all(found.ok for found in saver.store.verify())
        # `next` leaves out a task whose writes are there, of a step that is not: it was begun too.
        has_begun = graph.get_state(thread()).tasks != ()
        asked = None if has_begun else {"log": [steps.RUN]}
        assert graph.invoke(asked, thread(), durability=mode)["log"] == list(range(2 * steps.RUN))
