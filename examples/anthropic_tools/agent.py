"""An agent that refunds orders with a tool, on Anthropic's API. What the model asks for is saved
before it is done; each refund is an effect, and its answer is saved with its record. So killed at
any moment, the same command goes on where it was. It needs `pip install anthropic`.
    SHOP_URL=… ANTHROPIC_API_KEY=… python examples/anthropic_tools/agent.py "Refund orders 17, 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import json
import os
import sys
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import anthropic

import perdure
from perdure.agent import AnthropicConversation, Conversation, Task, ToolCall, current_effect
from perdure.errors import AlreadyClaimed, StepFailed

MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5-5")
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
TOOLS: Any = [{"name": "refund", "description": "Refund an order", "input_schema": ORDER}]


class Refused(Exception):
    """Nothing was refunded."""


def refund(order: int) -> Any:
    """The shop refunds once for each key: asked again, it tells what it did."""
    body, key = json.dumps({"order": order}).encode(), current_effect().key
    request = Request(os.environ["SHOP_URL"], body, {"Idempotency-Key": key})
    try:
        with urlopen(request) as answer:
            return json.load(answer)
    except HTTPError as error:
        raise Refused(str(error)) from error
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            raise Refused("the shop is closed") from error
        raise  # it may have refunded all the same


def run(task: Task, chat: Conversation[Any], call: ToolCall) -> None:
    """Do what the model asks for, once, and answer it in the same checkpoint."""
    print(f"{call.name} {call.arguments}", flush=True)
    if call.malformed:
        chat.answer(call, ValueError(call.malformed))
        return
    once = task.options(
        key=call.key,
        apply=partial(chat.answer, call),
        not_done=(Refused, TypeError),  # or not what the tool takes
        repeatable=True,  # the shop knows the key
    )
    try:
        once.effect(call.name, refund, **call.arguments)
    except StepFailed as error:  # the model may learn from it
        chat.answer(call, error)
    except AlreadyClaimed as error:  # before a rollback, say: it has the result
        if error.is_running:
            raise
        chat.answer(call, error.result)


with perdure.Store("agent.db") as store, store.open("refunds") as session:
    client = anthropic.Anthropic()
    chat = AnthropicConversation.of(session.state, "chat")
    if not chat:
        chat.append({"role": "user", "content": " ".join(sys.argv[1:])})
        session.save()
    with session.task("refunds") as task:
        while chat[-1]["role"] != "assistant" or chat.open_calls():
            for call in chat.open_calls():  # at first, those that a session which was killed left
                run(task, chat, call)
            chat.append(
                client.messages.create(model=MODEL, max_tokens=1000, messages=chat, tools=TOOLS)
            )
            session.save()
    print("".join(part["text"] for part in chat[-1]["content"] if part["type"] == "text"))
