"""Windows: the tail of a list as a section, edited without the items before it.

    the list   a b c d e f
    window         c d e f     offset 2
    edit       window[1] = "D"
    change     Set(("messages", 3), "D")

A window's own edits stay inside it, so what precedes it changes only by somebody else's changes.
These speak of true positions; `into_window` says what they mean in the window.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from perdure.core.changes import Change, Splice, apply


class Window(msgspec.Struct, frozen=True, eq=False):
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


class Tail:
    """A window that is being filled: what a store holds of a list's end, and what changed since."""

    __slots__ = ("items", "offset")

    def __init__(self, items: list[Any], offset: int) -> None:
        self.items: Any = items
        """Those from `offset` on; another value, once the section was set to one."""
        self.offset = offset

    def apply(self, changes: Iterable[Change]) -> None:
        """Make changes that speak of true positions.

        Raises:
            ReplayMismatch: one does not fit.
        """
        for change in changes:
            seen: Change | None = change
            if self.offset:
                seen, self.offset = into_window(change, self.offset)
            if seen is not None:
                holder = {str(seen.path[0]): self.items}
                apply(holder, [seen])
                self.items = holder[str(seen.path[0])]


def front_of(changes: Iterable[Change]) -> int | None:
    """The lowest position of a list that these changes to it touch; None if they touch none."""
    found: list[int] = []
    for change in changes:
        if len(change.path) == 1:
            found.append(change.start if isinstance(change, Splice) else 0)
        elif isinstance(change.path[1], int):
            found.append(change.path[1])
    return min(found, default=None)
