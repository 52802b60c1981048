"""An agent that refunds orders with a tool, on Anthropic's API. What the model asks for is saved
before it is done: killed at any moment, the same command goes on with the calls that have no
result yet, each under the key that it had. It needs `pip install anthropic`.
    SHOP_URL=… ANTHROPIC_API_KEY=… python examples/anthropic_tools/agent.py "Refund orders 17, 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import json
import os
import sys
from typing import Any
from urllib.request import Request, urlopen

import anthropic

import perdure
from perdure.agent import AnthropicConversation, ToolCall

MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5-5")
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
TOOLS: Any = [{"name": "refund", "description": "Refund an order", "input_schema": ORDER}]


def refund(order: int, *, key: str) -> Any:
    """The shop refunds once for each key: asked again, it tells what it did."""
    body = json.dumps({"order": order}).encode()
    with urlopen(Request(os.environ["SHOP_URL"], body, {"Idempotency-Key": key})) as answer:
        return json.load(answer)


def run(call: ToolCall) -> Any:
    print(f"{call.name} {call.arguments}", flush=True)
    if call.malformed:
        return ValueError(call.malformed)
    try:
        return refund(**call.arguments, key=call.id)
    except Exception as error:  # the model may learn from it
        return error


with perdure.Store("agent.db") as store, store.open("refunds") as session:
    client = anthropic.Anthropic()
    chat = AnthropicConversation.of(session.state, "chat")
    if not chat:
        chat.append({"role": "user", "content": " ".join(sys.argv[1:])})
        session.save()
    while chat[-1]["role"] != "assistant" or chat.open_calls():
        for call in chat.open_calls():  # at first, those that a session which was killed left
            chat.answer(call, run(call))
            session.save()
        chat.append(
            client.messages.create(model=MODEL, max_tokens=1000, messages=chat, tools=TOOLS)
        )
        session.save()
    print("".join(part["text"] for part in chat[-1]["content"] if part["type"] == "text"))
