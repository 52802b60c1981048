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

from perdure.core.changes import Change, Splice, apply, copies
from perdure.core.paths import format_path
from perdure.core.values import take
from perdure.errors import ReplayMismatch


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


def before_window(change: Change, offset: int) -> Change | None:
    """What somebody's change to a list means for the items before a window of it; None: nothing.

    Of one that reaches across the window's start, what is left of the part before it goes: the
    window shows from there on (`into_window`).

    Example:
        >>> before_window(Splice(("messages",), 2, 3, ["summary"]), 4)
        Splice(path=('messages',), start=2, removed=2, items=[])
    """
    if len(change.path) > 1:
        at = change.path[1]
        return change if isinstance(at, int) and at < offset else None
    if not isinstance(change, Splice) or change.start >= offset:
        return None
    if change.start + change.removed <= offset:
        return change
    return Splice(change.path, change.start, offset - change.start, [])


class Run(msgspec.Struct):
    """Neighbours in a list that was changed: stored items, or items that came since."""

    start: int
    """Position of the first one where it is stored; of no meaning for new ones."""
    count: int
    items: list[Any] | None = None
    """The new ones; None: they are stored."""
    changes: list[Change] = []
    """Of a single stored item: what changed in it, in order, as if it were the first of a list."""


class Changed:
    """A list as it is after changes to what is stored of it, none of which has been read.

    Example:
        >>> now = Changed(1000)
        >>> now.apply([Splice(("messages",), 0, 998, ["summary"])])
        >>> len(now), [(run.start, run.items) for run in now.between(0, 2)]
        (3, [(0, ['summary']), (998, None)])
    """

    __slots__ = ("_runs",)

    def __init__(self, count: int) -> None:
        self._runs = [Run(0, count)] if count else []

    def __len__(self) -> int:
        return sum(run.count for run in self._runs)

    def apply(self, changes: Iterable[Change]) -> None:
        """Note changes to the list; their values are copied.

        Raises:
            ReplayMismatch: one does not fit.
        """
        for change in changes:
            if len(change.path) > 1:
                self._edit(change)
            elif isinstance(change, Splice) and type(change.items) is list:
                self._splice(change, take(change.items))
            else:
                raise ReplayMismatch(f"{format_path(change.path)}: a list is not changed so")

    def between(self, start: int, stop: int) -> list[Run]:
        """The runs from position `start` to `stop`, cut to that."""
        found: list[Run] = []
        at = 0
        for run in self._runs:
            low, high = max(start - at, 0), min(stop - at, run.count)
            if low < high:
                found.append(_cut(run, low, high))
            at += run.count
        return found

    def _splice(self, change: Splice, items: list[Any]) -> None:
        begin = self._split(change.start, change)
        end = self._split(change.start + change.removed, change)
        last = self._runs[begin - 1] if begin else None
        if begin == end and last is not None and last.items is not None:  # one more at the end
            last.items += items
            last.count += len(items)
        else:
            self._runs[begin:end] = [Run(0, len(items), items)] if items else []

    def _edit(self, change: Change) -> None:
        position = change.path[1]
        if not isinstance(position, int):
            raise ReplayMismatch(f"{format_path(change.path)}: a list has no such place")
        index, at = self._find(position, change)
        run = self._runs[index]
        if run.items is not None:
            inside = replace(change, path=(LIST, position - at, *change.path[2:]))
            apply({LIST: run.items}, copies([inside]))
            return
        self._split(position, change)
        index = self._split(position + 1, change) - 1
        run = self._runs[index]
        inside = replace(change, path=(LIST, 0, *change.path[2:]))
        self._runs[index] = replace(run, changes=[*run.changes, inside])

    def _find(self, position: int, change: Change) -> tuple[int, int]:
        """The run that holds a position, and where it begins."""
        at = 0
        for index, run in enumerate(self._runs):
            if at <= position < at + run.count:
                return index, at
            at += run.count
        raise ReplayMismatch(f"{format_path(change.path)}: the list ends at {at}")

    def _split(self, position: int, change: Change) -> int:
        """Let a run begin at a position; its index."""
        at = 0
        for index, run in enumerate(self._runs):
            if position == at:
                return index
            if position < at + run.count:
                head, tail = _cut(run, 0, position - at), _cut(run, position - at, run.count)
                self._runs[index : index + 1] = [head, tail]
                return index + 1
            at += run.count
        if position == at:
            return len(self._runs)
        raise ReplayMismatch(f"{format_path(change.path)}: the list ends at {at}")


LIST = "list"
"""What the section is called where an item is changed by itself."""


def _cut(run: Run, low: int, high: int) -> Run:
    items = None if run.items is None else run.items[low:high]
    return Run(run.start + low, high - low, items, run.changes)
