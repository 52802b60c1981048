"""An agent whose tool never ends, on a conversation: somebody kills it there.

It begins a run, or goes on with one that was kept.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from agents import Agent, RunConfig, Runner, function_tool
from tests.adapters.openai_agents.stub import model

from perdure.adapters.openai_agents import PerdureSession

KEY = bytes(range(32))


@function_tool
async def refund(order: int) -> str:
    """Refund an order; the last of several never ends."""
    if order == 17:
        return "refunded 17"
    await asyncio.sleep(0.3)  # until what came of the others is saved
    os.write(1, b"in the tool\n")
    await asyncio.sleep(600)
    return "never"


async def main(url: str, store: str, mode: str) -> None:
    kind, client = model(url)
    agent = Agent("clerk", model=kind, tools=[refund])
    session = PerdureSession("alice", store, key=KEY if "encrypted" in mode else None)
    asked: Any = "refund 17 18"
    if "kept" in mode:
        asked = await session.kept_run(agent)
        for each in asked.get_interruptions():
            asked.approve(each)
    options: dict[str, Any] = {"session": session, "run_config": RunConfig(tracing_disabled=True)}
    if "hooks" in mode:
        options["hooks"] = session.hooks()
    if "streamed" in mode:
        async for _ in Runner.run_streamed(agent, asked, **options).stream_events():
            pass
    else:
        await Runner.run(agent, asked, **options)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
