"""An agent that refunds orders with a tool, on any OpenAI-compatible endpoint. What the model asks
for is saved before it is done; each refund is an effect, and its answer is saved with its record.
So killed at any moment, the same command goes on where it was. It needs `pip install openai`.
    SHOP_URL=… OPENAI_BASE_URL=… python examples/openai_tools/agent.py "Refund orders 17 and 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import json
import os
import sys
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import openai

import perdure
from perdure.agent import Conversation, OpenAIConversation, Task, ToolCall, current_effect
from perdure.errors import AlreadyClaimed, StepFailed

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
REFUND = {"name": "refund", "description": "Refund an order", "parameters": ORDER}
TOOLS: Any = [{"type": "function", "function": REFUND}]


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
    client = openai.OpenAI()
    chat = OpenAIConversation.of(session.state, "chat")
    if not chat:
        chat.append({"role": "user", "content": " ".join(sys.argv[1:])})
        session.save()
    with session.task("refunds") as task:
        while chat[-1]["role"] != "assistant" or chat.open_calls():
            for call in chat.open_calls():  # at first, those that a session which was killed left
                run(task, chat, call)
            chat.append(client.chat.completions.create(model=MODEL, messages=chat, tools=TOOLS))
            session.save()
    print(chat[-1]["content"])
