"""The agent as it was first deployed."""

from dataclasses import dataclass, field

import perdure


@perdure.schema("Research")
@dataclass
class Research:
    topic: str = ""
    notes: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)


def work(state: Research, said: str) -> str:
    """One turn of the agent."""
    state.messages.append({"role": "v1", "text": said})
    return f"{state.topic!r}, {[each['role'] for each in state.messages]}, notes {state.notes!r}"
