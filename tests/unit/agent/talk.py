"""Messages in the shapes of both providers, for the tests of conversations."""

import json
from typing import Any

from perdure.agent import Conversation

PROVIDERS = ("openai", "anthropic")


def kind(provider: Any) -> Any:
    """The class of a provider's conversations."""
    return Conversation[provider]


def user(text: str = "Refund order 17") -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str = "Done.") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def asks(provider: str, *ids: str) -> dict[str, Any]:
    """The model's message that calls a tool, once for each id."""
    if provider == "openai":
        made = [
            {
                "id": each,
                "type": "function",
                "function": {"name": "refund", "arguments": json.dumps({"order": each})},
            }
            for each in ids
        ]
        return {"role": "assistant", "content": None, "tool_calls": made}
    blocks = [
        {"type": "tool_use", "id": each, "name": "refund", "input": {"order": each}} for each in ids
    ]
    return {"role": "assistant", "content": [{"type": "text", "text": "I do it."}, *blocks]}


def results(provider: str, *ids: str) -> list[dict[str, Any]]:
    """The messages that answer calls."""
    if provider == "openai":
        return [{"role": "tool", "tool_call_id": each, "content": "ok"} for each in ids]
    blocks = [{"type": "tool_result", "tool_use_id": each, "content": "ok"} for each in ids]
    return [{"role": "user", "content": blocks}] if ids else []


def together(provider: str, *ids: str) -> list[dict[str, Any]]:
    """A whole turn with calls."""
    return [asks(provider, *ids), *results(provider, *ids)]
