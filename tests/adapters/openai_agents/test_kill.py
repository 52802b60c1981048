"""A process killed in the middle of a tool: the next run goes on, and is told (P1, P9)."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner
from tests.adapters.openai_agents import killed
from tests.adapters.openai_agents.stub import ModelServer, model
from tests.adapters.openai_agents.test_runner import CONFIG

import perdure
from perdure.adapters.openai_agents import PerdureSession
from perdure.adapters.openai_agents.items import UNKNOWN

ROOT = Path(__file__).parents[3]


def kill_in_the_tool(url: str, store: Path, mode: str) -> None:
    command = [sys.executable, killed.__file__, url, str(store), mode]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT) as worker:
        assert worker.stdout is not None
        try:
            assert worker.stdout.readline() == b"in the tool\n"
        finally:
            worker.kill()
    assert worker.returncode == -signal.SIGKILL


async def go_on(url: str, store: Path, key: bytes | None) -> tuple[Any, Any]:
    kind, client = model(url)
    async with client, PerdureSession("alice", store, key=key) as session:
        agent = Agent("clerk", model=kind)
        answer = await Runner.run(agent, "hello again", session=session, run_config=CONFIG)
        return answer.final_output, await session.get_items()


@pytest.mark.parametrize(
    "mode", ["plain", "streamed", "hooks", "hooks streamed", "hooks encrypted"]
)
def test_the_next_run_is_not_poisoned_and_with_hooks_told_what_is_known_P9(
    mode: str, tmp_path: Path
) -> None:
    store, key = tmp_path / "a.db", killed.KEY if "encrypted" in mode else None
    with ModelServer() as server:
        kill_in_the_tool(server.url, store, mode)
        answer, items = asyncio.run(go_on(server.url, store, key))
        seen = server.inputs[-1]
    assert answer == "heard: hello again"
    outputs = [each["output"] for each in seen if each["type"] == "function_call_output"]
    assert outputs == (["refunded 17", UNKNOWN] if "hooks" in mode else [])
    assert items[0] == {"role": "user", "content": "refund 17 18"}
    assert len(items) == (7 if "hooks" in mode else 3)
    with perdure.Store(store, key=key) as opened:
        assert opened.verify("sessions/alice")[0].ok
        ends = [each.ended for each in opened.sessions("sessions/alice")]
        assert sorted(ends) == ["closed", "interrupted"]
