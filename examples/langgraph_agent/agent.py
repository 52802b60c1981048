"""A LangGraph agent that refunds orders, on any OpenAI-compatible endpoint; Perdure keeps its
thread. Each tool call is a task of its own: one whose result was saved is not done again. Killed
at any moment, the same command goes on. It needs the extra `langgraph`, and `pip install openai`.
    SHOP_URL=… OPENAI_BASE_URL=… python examples/langgraph_agent/agent.py "Refund orders 17 and 18"
story.py beside it runs it against a model and a shop of its own, and kills it."""

import json
import os
import sys
from typing import Annotated, Any, TypedDict
from urllib.request import Request, urlopen

import openai
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage, convert_to_openai_messages
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send

from perdure.adapters.langgraph import PerdureSaver

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
ORDER = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
REFUND = {"name": "refund", "description": "Refund an order", "parameters": ORDER}
TOOLS: Any = [{"type": "function", "function": REFUND}]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def model(state: State) -> dict[str, Any]:
    """Ask the model what to do next."""
    asked: Any = convert_to_openai_messages(state["messages"])
    answer = openai.OpenAI().chat.completions.create(model=MODEL, messages=asked, tools=TOOLS)
    said: Any = answer.choices[0].message
    calls = [
        {"name": each.function.name, "args": json.loads(each.function.arguments), "id": each.id}
        for each in said.tool_calls or ()
    ]
    return {"messages": [AIMessage(said.content or "", tool_calls=calls)]}


def calls_of(state: State) -> list[Send]:
    """A task for each tool call; none: the agent is done."""
    last: Any = state["messages"][-1]
    return [Send("refund", call) for call in last.tool_calls]


def refund(call: dict[str, Any]) -> dict[str, Any]:
    """The shop refunds once for each key: asked again, it tells what it did."""
    body, key = json.dumps(call["args"]).encode(), call["id"]
    with urlopen(Request(os.environ["SHOP_URL"], body, {"Idempotency-Key": key})) as answer:
        return {"messages": [ToolMessage(answer.read().decode(), tool_call_id=key)]}


builder: Any = StateGraph(State)
builder.add_node(model)
builder.add_node(refund)
builder.add_edge(START, "model")
builder.add_conditional_edges("model", calls_of, ["refund"])
builder.add_edge("refund", "model")

if __name__ == "__main__":
    config: Any = {"configurable": {"thread_id": "refunds"}}
    with PerdureSaver("agent.db") as saver:
        agent = builder.compile(checkpointer=saver)
        has_begun = saver.get_tuple(config) is not None
        asked = None if has_begun else {"messages": [("user", " ".join(sys.argv[1:]))]}
        print(agent.invoke(asked, config, durability="sync")["messages"][-1].content)
