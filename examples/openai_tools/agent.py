"""An agent that refunds orders with a tool, on any OpenAI-compatible endpoint. What the model asks
for is saved before it is done: killed at any moment, the same command goes on with the calls that
have no result yet, each under the key that it had. It needs `pip install openai`.
    SHOP_URL=… OPENAI_BASE_URL=… python examples/openai_tools/agent.py "Refund orders 17 and 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import json
import os
import sys
from typing import Any
from urllib.request import Request, urlopen

import openai

import perdure
from perdure.agent import OpenAIConversation, ToolCall

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
REFUND = {"name": "refund", "description": "Refund an order", "parameters": ORDER}
TOOLS: Any = [{"type": "function", "function": REFUND}]


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
    client = openai.OpenAI()
    chat = OpenAIConversation.of(session.state, "chat")
    if not chat:
        chat.append({"role": "user", "content": " ".join(sys.argv[1:])})
        session.save()
    while chat[-1]["role"] != "assistant" or chat.open_calls():
        for call in chat.open_calls():  # at first, those that a session which was killed left
            chat.answer(call, run(call))
            session.save()
        chat.append(client.chat.completions.create(model=MODEL, messages=chat, tools=TOOLS))
        session.save()
    print(chat[-1]["content"])
