"""What the messages of a conversation look like at OpenAI and what is compatible with it."""

from __future__ import annotations

import json
from typing import Any

from perdure.agent.turns import ToolCall, parts_of, role_of, sent, with_parts_sent

_HIDDEN_IN_CALL = {"function": {"parsed_arguments"}}
_HIDDEN = {"parsed": True, "tool_calls": {"__all__": _HIDDEN_IN_CALL}}
"""What the SDK's `parse` adds to a message: objects of the user's classes."""


class OpenAIShape:
    """Messages of chat completions: a result is a message of its own, with the role `tool`."""

    provider = "openai"
    results_in_one = False
    part_types = frozenset(("text", "image_url", "input_audio", "file"))

    def message(self, value: Any) -> Any:
        """What is stored of a message, of a `ChatCompletion` or of the message in it.

        Of an object of the SDK what is stored is what the SDK would send of it, without what says
        nothing (None, an empty list of calls), which some endpoints do not take back.
        """
        if isinstance(value, dict):
            return with_parts_sent(value, "tool_calls", _HIDDEN_IN_CALL)
        choices = getattr(value, "choices", None)
        data = sent(choices[0].message if choices else value, _HIDDEN)
        if data is value or not isinstance(data, dict):
            return data
        return {name: item for name, item in data.items() if _says_something(name, item)}

    def calls(self, message: Any) -> list[Any]:
        """The tool calls in a message."""
        if role_of(message) != "assistant":
            return []
        return [call for call in parts_of(message, "tool_calls") if "id" in call]

    def read(self, call: Any) -> ToolCall:
        """A call, its arguments parsed from the text that the model wrote."""
        custom = call.get("custom")
        if isinstance(custom, dict):
            return ToolCall(call["id"], str(custom.get("name")), custom.get("input", ""))
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments, malformed = _parsed(function.get("arguments"))
        return ToolCall(call["id"], str(function.get("name")), arguments, malformed)

    def answers(self, message: Any) -> list[str]:
        """The id of the call whose result the message is."""
        return [str(message.get("tool_call_id"))] if role_of(message) == "tool" else []

    def only_answers(self, message: Any) -> bool:
        """A message with a result has nothing else in it."""
        return True

    def results_first(self, message: Any) -> bool:
        """A message with a result has nothing else in it."""
        return True

    def result(self, call: Any, content: Any, *, is_error: bool) -> dict[str, Any]:
        """The message that is a call's result; that it is an error, it can say in words only."""
        if is_error:
            said = {"type": "text", "text": "error:"}
            content = [said, *content] if isinstance(content, list) else f"error: {content}"
        return {"role": "tool", "tool_call_id": call["id"], "content": content}

    def together(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result is the message."""
        return result

    def needs_opener(self, message: Any) -> bool:
        """A prompt may begin with any message that is no result."""
        return False


def _says_something(name: str, item: Any) -> bool:
    if name == "tool_calls":
        return bool(item)
    return item is not None or name == "content"


def _parsed(text: Any) -> tuple[Any, str | None]:
    """Arguments as the model wrote them, and why they could not be parsed; none at all are {}."""
    if not isinstance(text, str):
        return {}, f"the arguments are no text: {text!r:.80}"
    if not text.strip():
        return {}, None
    try:
        return json.loads(text), None
    except ValueError as error:
        return {}, f"the arguments are no valid JSON: {error}"
