"""Windows: the tail of a list as a section, edited without the items before it.

    the list   a b c d e f
    window         c d e f     offset 2
    edit       window[1] = "D"
    change     Set(("messages", 3), "D")

A window's own edits stay inside it, so what precedes it changes only by somebody else's changes.
These speak of true positions; `into_window` says what they mean in the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from perdure.core.changes import Change, Splice
from perdure.state.place import Place
from perdure.state.sequence import TrackedList, wrap_list


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A section's value of which only the tail is here.

    Example:
        >>> document = Document({"messages": Window(["c", "d"], offset=2)})
        >>> document.state["messages"].append("e")
        >>> document.capture()
        [Splice(path=('messages',), start=4, removed=0, items=['e'])]
    """

    items: list[Any]
    offset: int
    """Items of the list that come before these (items)."""


def wrap_window(window: Window, parent: Place, at: str | int) -> TrackedList:
    """A node that shows the window's items and knows how many precede them."""
    node = wrap_list(window.items, parent, at)
    node._offset = window.offset
    return node


def into_window(change: Change, offset: int) -> tuple[Change | None, int]:
    """What somebody's change to a list means in a window of it, and the window's offset afterwards.

    No change if all of it lies before the window. One that reaches across the window's start moves
    that to where the change starts, so that its items are shown and all that follows still is.

    Args:
        change: to a section, at its true positions.
        offset: items before the window; more than none.
    """
    path = change.path
    if len(path) == 1:
        if isinstance(change, Splice) and isinstance(change.items, list):
            return _splice_into(change, change.items, offset)
        return change, 0  # the section is now whole, another or gone
    at = path[1]
    if not isinstance(at, int):
        return change, offset
    if at < offset:
        return None, offset
    return replace(change, path=(path[0], at - offset, *path[2:])), offset


def _splice_into(change: Splice, items: list[Any], offset: int) -> tuple[Change | None, int]:
    start, end = change.start, change.start + change.removed
    if start >= offset:
        return replace(change, start=start - offset), offset
    if end <= offset:
        return None, offset + len(items) - change.removed
    return replace(change, start=0, removed=end - offset), start
