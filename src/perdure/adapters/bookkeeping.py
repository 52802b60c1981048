"""What adapters keep in sections beside what an agent says: people want to see it last."""

from __future__ import annotations

from typing import Literal

SECTIONS = frozenset({"langgraph", "langgraph.pending", "langgraph.late", "__pregel_tasks"})
"""Sections that say where a library is in its work, not what the agent knows."""

BEGINNINGS = ("branch:to:",)
"""What names of more of them begin with: the channels by which LangGraph starts its nodes."""

MERGING: dict[str, Literal["ours"]] = {
    "langgraph/**": "ours",
    "langgraph.pending/**": "ours",
    "langgraph.late/**": "ours",
    "perdure.questions/**": "ours",
}
"""What `Store.merge` of a fork of a LangGraph thread does where both say which checkpoint they are
at: the thread stays at its own, with the channels of both. A conflict in a channel is still told.
"""


def is_bookkeeping(section: str) -> bool:
    """Whether a section is a library's own.

    Example:
        >>> is_bookkeeping("langgraph"), is_bookkeeping("messages")
        (True, False)
    """
    return section in SECTIONS or section.startswith(BEGINNINGS)
