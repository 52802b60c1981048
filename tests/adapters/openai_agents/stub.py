"""A model behind the Responses API over real HTTP, which refuses what a provider would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from agents import OpenAIResponsesModel
from openai import AsyncOpenAI
from tests.endpoint import Served

Thinking = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
"""From the items of the input to those of the output."""


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments)}


def text_of(item: dict[str, Any]) -> str:
    content = item["content"]
    return content if isinstance(content, str) else content[0]["text"]


def clerk(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Refunds what it is asked to, one call for each order; else it tells what it was told."""
    last = items[-1]
    if last["type"] == "function_call_output":
        return [said(f"done: {last['output']}")]
    words = text_of(last).split()
    if words[0] == "refund":
        return [call("refund", order=int(order)) for order in words[1:]]
    if words[0] == "hand":
        return [call("transfer_to_boss")]
    return [said(f"heard: {text_of(last)}")]


def refusal_of(items: list[dict[str, Any]]) -> str | None:
    """Why a provider would not take these items."""
    made = [each["call_id"] for each in items if each["type"] == "function_call"]
    answered = [each["call_id"] for each in items if each["type"] == "function_call_output"]
    if sorted(made) != sorted(answered):
        return f"calls {made} and outputs {answered} do not belong together"
    return None


class ModelServer(Served):
    """Answers by a function, and keeps the input of each request."""

    def __init__(self, think: Thinking = clerk) -> None:
        self.inputs: list[list[dict[str, Any]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                items = [{"type": "message", **each} for each in asked["input"]]
                server.inputs.append(items)
                refusal = refusal_of(items)
                if refusal is not None:
                    self._send(400, "application/json", json.dumps({"error": refusal}))
                    return
                answer = server._answer(think(items))
                if not asked.get("stream"):
                    self._send(200, "application/json", json.dumps(answer))
                    return
                events = [
                    {"type": f"response.{each}", "sequence_number": number, "response": answer}
                    for number, each in enumerate(("created", "completed"))
                ]
                lines = [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events]
                self._send(200, "text/event-stream", "".join(lines))

            def _send(self, status: int, kind: str, body: str) -> None:
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def _answer(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        count = len(self.inputs)
        for at, each in enumerate(output):
            each["id"] = f"item_{count}_{at}"
            if each["type"] == "function_call":
                each["call_id"] = f"call_{count}_{at}"
        return {
            "id": f"resp_{count}",
            "object": "response",
            "created_at": 1,
            "model": "stub",
            "status": "completed",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    @property
    def url(self) -> str:
        return f"{super().url}/v1"


def model(url: str) -> tuple[OpenAIResponsesModel, AsyncOpenAI]:
    """The SDK's own model of the Responses API, and its client, which is to be closed."""
    client = AsyncOpenAI(base_url=url, api_key="k", max_retries=0)
    return OpenAIResponsesModel("stub", client), client
