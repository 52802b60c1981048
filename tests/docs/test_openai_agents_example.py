"""examples/openai_agents as it is run, over real HTTP, and what the command line says of it."""

import asyncio
from pathlib import Path

from tests.docs.test_langgraph_example import run

from perdure.adapters.openai_agents import PerdureSession

STORY = Path(__file__).parents[2] / "examples" / "openai_agents" / "story.py"

TOLD = """\
killed; saved is what came of call_17
I know of call_17; of call_18 I was not told.
the shop was asked for [17, 18]
"""


def test_killed_between_two_refunds_the_next_run_knows_what_is_known_P9(tmp_path: Path) -> None:
    assert run(str(STORY), home=tmp_path) == TOLD


def test_a_conversation_reads_well_on_the_command_line(tmp_path: Path) -> None:
    async def talk() -> None:
        async with PerdureSession("alice", tmp_path / "agents.db") as session:
            await session.add_items([{"role": "user", "content": "Where is my order?"}])
            call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
            await session.add_items([call])  # type: ignore[list-item]
            await session.add_items([{"role": "user", "content": "And my dog?"}])
            fork = await session.fork("what-if", turn=2)
            await fork.close()

    asyncio.run(talk())

    def perdure(*command: str) -> str:
        return run("-m", "perdure", "--store", "agents.db", *command, home=tmp_path)

    key = "sessions/alice"
    assert "4 items" in perdure("show", key)
    assert "And my dog?" in perdure("ls")
    assert "was not recorded" in perdure("show", key, "messages/2")
    assert "rewound to turn 2" in perdure("log", key, "--branch", "what-if")
    assert "And my dog?" in perdure("diff", key, "~1", "main")
    assert "And my dog?" in perdure("brief", key)
    assert "what-if" in perdure("branches", key)
