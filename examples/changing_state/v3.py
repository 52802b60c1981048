"""The third version: the subject becomes a list of words, by a function. Only forward: older code
sees the subject's default, and may not edit it."""

from dataclasses import dataclass, field
from typing import Any

from v2 import FROM_1, Message

import perdure


@perdure.schema("Research", version=3)
@dataclass
class Research:
    words: list[str] = field(default_factory=list)
    budget: int = 0
    messages: list[Message] = field(default_factory=list)


perdure.migration(Research, 1, 2, FROM_1)


@perdure.migration(Research, 2, 3, touches=["subject", "words"])
def words_of_subject(state: dict[str, Any]) -> None:
    state["words"] = state.pop("subject", "").split()


def work(state: Research, said: str) -> str:
    """One turn of the agent."""
    state.messages.append(Message("v3", said))
    return f"{list(state.words)}, {[each.author for each in state.messages]}, budget {state.budget}"
