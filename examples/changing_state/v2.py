"""The second version: other names, a budget, no notes. By lenses, so v1 can go on beside it."""

from dataclasses import dataclass, field

import perdure
from perdure.lenses import add, in_items, remove, rename


@dataclass
class Message:
    author: str
    text: str


@perdure.schema("Research", version=2)
@dataclass
class Research:
    subject: str = ""
    budget: int = 0
    messages: list[Message] = field(default_factory=list)


FROM_1 = [
    rename("topic", "subject"),
    add("budget", 5),
    remove("notes", default=""),
    in_items("messages", [rename("role", "author")]),
]
perdure.migration(Research, 1, 2, FROM_1)


def work(state: Research, said: str) -> str:
    """One turn of the agent."""
    state.messages.append(Message("v2", said))
    state.budget -= 1
    return f"{state.subject!r}, {[each.author for each in state.messages]}, budget {state.budget}"
