"""What the messages of a conversation look like at Anthropic."""

from __future__ import annotations

from typing import Any

from perdure.agent.turns import ToolCall, parts_of, role_of, sent, with_parts_sent
from perdure.state.node import plain


class AnthropicShape:
    """Messages of blocks: the results of all calls of a message are in the user's next one.

    Tools that the provider runs itself (`server_tool_use`) are none that anybody has to answer.
    """

    provider = "anthropic"
    results_in_one = True
    part_types = frozenset(
        ("text", "image", "document", "search_result", "tool_reference", "browser_state")
    )

    def message(self, value: Any) -> Any:
        """What is stored of a message, or of a `Message` of the SDK: its role and its blocks."""
        if isinstance(value, dict):
            return with_parts_sent(value, "content")
        blocks = getattr(value, "content", None)
        if not hasattr(type(value), "model_dump") or not isinstance(blocks, list):
            return sent(value)
        return {"role": value.role, "content": [sent(block) for block in blocks]}

    def calls(self, message: Any) -> list[Any]:
        """The tool calls in a message."""
        if role_of(message) != "assistant":
            return []
        blocks = parts_of(message, "content")
        return [block for block in blocks if block.get("type") == "tool_use" and "id" in block]

    def read(self, call: Any) -> ToolCall:
        """A call; its arguments are data already."""
        return ToolCall(call["id"], str(call.get("name")), plain(call.get("input", {})))

    def answers(self, message: Any) -> list[str]:
        """The ids of the calls whose results are in the message."""
        if role_of(message) != "user":
            return []
        results = [block for block in parts_of(message, "content") if is_result(block)]
        return [str(block.get("tool_use_id")) for block in results]

    def only_answers(self, message: Any) -> bool:
        """Whether the message has nothing but results in it, and further ones can be added."""
        return all(map(is_result, message["content"]))

    def results_first(self, message: Any) -> bool:
        """Whether no text or the like comes before a result in the message."""
        kinds = [is_result(block) for block in message["content"]]
        return all(kinds[: sum(kinds)])

    def result(self, call: Any, content: Any, *, is_error: bool) -> dict[str, Any]:
        """The block that is a call's result."""
        block = {"type": "tool_result", "tool_use_id": call["id"], "content": content}
        if call.get("toolset_name") is not None:  # a result names the set that its tool is of
            block["toolset_name"] = call["toolset_name"]
        return {**block, "is_error": True} if is_error else block

    def together(self, result: dict[str, Any]) -> dict[str, Any]:
        """The user's message that the first result of a batch comes in."""
        return {"role": "user", "content": [result]}

    def needs_opener(self, message: Any) -> bool:
        """A prompt begins with what the user says."""
        return bool(role_of(message) == "assistant")


def is_result(block: Any) -> bool:
    """Whether a block is the result of a call."""
    return isinstance(block, dict) and block.get("type") == "tool_result"
