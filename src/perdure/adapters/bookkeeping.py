"""What adapters keep in sections beside what an agent says: people want to see it last."""

from __future__ import annotations

SECTIONS = frozenset({"langgraph", "langgraph.pending", "langgraph.late", "__pregel_tasks"})
"""Sections that say where a library is in its work, not what the agent knows."""

BEGINNINGS = ("branch:to:",)
"""What names of more of them begin with: the channels by which LangGraph starts its nodes."""


def is_bookkeeping(section: str) -> bool:
    """Whether a section is a library's own.

    Example:
        >>> is_bookkeeping("langgraph"), is_bookkeeping("messages")
        (True, False)
    """
    return section in SECTIONS or section.startswith(BEGINNINGS)
