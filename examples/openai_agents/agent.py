"""An agent of the OpenAI Agents SDK that refunds orders, on any endpoint with the Responses API;
Perdure keeps its conversation. Killed at any moment, the next call goes on, and the model is told
which of its calls are known to have taken effect. It needs the extra `openai-agents`.
    SHOP_URL=… OPENAI_BASE_URL=… python examples/openai_agents/agent.py "Refund 17 and 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import asyncio
import json
import os
import sys
from urllib.request import Request, urlopen

from agents import Agent, RunConfig, Runner, function_tool

from perdure.adapters.openai_agents import PerdureSession

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")


def ask(order: int) -> str:
    body = json.dumps({"order": order}).encode()
    # The order, not the call: a model that is told "unknown" calls again, under another id.
    key = {"Idempotency-Key": f"refund-{order}"}
    with urlopen(Request(os.environ["SHOP_URL"], body, key)) as answer:
        text: str = answer.read().decode()
        return text


@function_tool
async def refund(order: int) -> str:
    """Refund an order."""
    return await asyncio.to_thread(ask, order)


async def main(asked: str) -> None:
    agent = Agent(name="clerk", model=MODEL, instructions="You refund orders.", tools=[refund])
    async with PerdureSession("refunds", "agent.db") as session:
        result = await Runner.run(
            agent,
            asked,
            session=session,
            hooks=session.hooks(),  # calls are saved before they are made
            run_config=RunConfig(tracing_disabled=True),
        )
        print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:])))
