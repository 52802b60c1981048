"""Items of a conversation: taken in as plain data, and calls that were left without an output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, Any]
Named: TypeAlias = tuple[str, Any]
"""A call by its type and id."""

UNKNOWN = (
    "The outcome of this call was not recorded: the agent was interrupted, or is still at it. "
    "It is not known whether it took effect: find out before calling it again."
)
"""What stands where a call's output is lost; by it, an answer of ours is known."""

_OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "shell_call": "shell_call_output",
}
"""The calls that can be answered by a text, and the types of their outputs."""
_CALLS = {output: call for call, output in _OUTPUTS.items()}


def taken(item: Any) -> Any:
    """An item as it goes into the state; objects of pydantic as the SDK itself writes them.

    Args:
        item: a dict, or an object of the `openai` package.
    """
    if isinstance(item, dict) or not hasattr(item, "model_dump"):
        return item
    return item.model_dump(exclude_unset=True)


def is_of_user(item: Any) -> bool:
    """Whether an item is a user's message, which begins a turn.

    Example:
        >>> is_of_user({"role": "user", "content": "Hi"})
        True
    """
    return (
        isinstance(item, dict)
        and item.get("role") == "user"
        and item.get("type", "message") == "message"
    )


def open_calls(items: Sequence[Any]) -> list[Item]:
    """The calls at the end of a conversation, after its last user's message, without an output.

    Example:
        >>> open_calls([{"type": "function_call", "call_id": "c1", "name": "pay"}])[0]["name"]
        'pay'
    """
    found: list[Item] = []
    answered: set[Named] = set()
    for item in reversed(items):
        if is_of_user(item):
            break
        if _is_of(item, _CALLS):
            answered.add(_named(item))
        elif _is_of(item, _OUTPUTS) and _named(item) not in answered:
            found.append(item)
    return found[::-1]


def calls_of(items: Iterable[Any]) -> list[Item]:
    """The calls among some items that a text can answer.

    Example:
        >>> calls_of([{"role": "user", "content": "Hi"}])
        []
    """
    return [item for item in items if _is_of(item, _OUTPUTS) and item.get("call_id")]


def output_of(call: Item, text: str) -> Item:
    """The output of a call whose outcome is known.

    Args:
        call: the call.
        text: what came of it.
    """
    output: Any = text
    if call["type"] == "shell_call":
        output = [{"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    made: Item = {"type": _OUTPUTS[call["type"]], "call_id": call["call_id"], "output": output}
    if call["type"] == "apply_patch_call":
        made["status"] = "completed"
    return made


def answers(calls: Iterable[Item], waiting: Collection[str]) -> list[Item]:
    """Outputs that say of calls that nobody knows what became of them.

    Args:
        calls: those without an output.
        waiting: ids of calls whose runs are kept: these may still be answered.
    """
    return [_answer(call) for call in calls if call.get("call_id") not in waiting]


def _answer(call: Item) -> Item:
    kind = call["type"]
    answer: Item = {"type": _OUTPUTS[kind], "call_id": call.get("call_id"), "output": UNKNOWN}
    if kind == "apply_patch_call":
        answer["status"] = "failed"
    elif kind == "shell_call":
        said = {"stdout": "", "stderr": UNKNOWN, "outcome": {"type": "timeout"}}
        answer["output"] = [said]
    return answer


def has_acts(items: Iterable[Any]) -> bool:
    """Whether there is a call or an output among some items.

    Example:
        >>> has_acts([{"type": "function_call", "call_id": "c1", "name": "pay"}])
        True
    """
    return any(_is_of(item, _OUTPUTS) or _is_of(item, _CALLS) for item in items)


def late(new: Iterable[Any]) -> set[Named]:
    """The calls of which outputs are about to be added, and which were added before.

    Args:
        new: what is about to be added.
    """
    new = list(new)
    made = {_named(item) for item in new if _is_of(item, _OUTPUTS)}
    return {_named(item) for item in new if _is_of(item, _CALLS)} - made


def told_of(items: Iterable[Any]) -> set[Named]:
    """The calls that are among some items, or have outputs there."""
    return {_named(item) for item in items if _is_of(item, _OUTPUTS) or _is_of(item, _CALLS)}


def stand_ins(items: Sequence[Any], calls: Collection[Named]) -> list[int]:
    """Positions of our own answers to calls whose outputs have come.

    Args:
        items: the end of the conversation.
        calls: which of them.
    """
    left, positions = set(calls), list[int]()
    at = len(items)
    while left and at:
        at -= 1
        item = items[at]
        if not (_is_of(item, _CALLS) or _is_of(item, _OUTPUTS)) or _named(item) not in left:
            continue
        left.discard(_named(item))
        if _is_of(item, _CALLS) and item == _answer(
            {"type": _CALLS[item["type"]], "call_id": item.get("call_id")}
        ):
            positions.append(at)
    return positions


def _named(item: Item) -> Named:
    """The call that an item is, or is the output of."""
    kind = item["type"]
    return _CALLS.get(kind, str(kind)), item.get("call_id")


def _is_of(item: Any, kinds: Collection[str]) -> bool:
    return isinstance(item, dict) and item.get("type") in kinds
