"""What has a place in the live tree of a session: tracked containers, and cells of tuples.

A place knows its parent, and a hint (key or position) of where it is there. While it is dirty it
holds `_marks` (what changed in it) and `_kids` (its dirty children), and stands in its parent's
`_kids`: a capture walks down these alone.

An interrupt (Ctrl-C, an exception from a signal handler) may come between any two steps of an edit
or of a capture. So at every step what is dirty is reached from the root: marking goes from the top
down, cleaning from the bottom up. And at every step marks say at least what changed: they are set
before what they speak of is written. A mark of what did not change is dropped by the capture.

    state["plan"]["steps"][3]["done"] = True
    root._kids -> plan._kids -> steps._kids -> step 3, whose _marks are {"done": False}

A place without a parent is free: a popped or overwritten node. Editing it is legal and changes no
state; inserting it somewhere makes that its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from perdure.core.paths import Path

if TYPE_CHECKING:
    from perdure.core.changes import Change
    from perdure.state.tracker import Tracker

WRAPPERS: dict[type, Callable[[Any, Place, str | int], Any]] = {}
"""By the class of a plain container: how its items become tracked. Filled in `document`."""

BULK_WRAPPERS: dict[type, Callable[[list[Any], Place], list[Any]]] = {}
"""The same for all items of a list at once, where they are of one class."""


class Place:
    """Something with a place in the tree. Its attributes are private to this package."""

    if not TYPE_CHECKING:  # the subclasses have the slots for what is declared here
        __slots__ = ()

    _tracker: Tracker
    _parent: Place | None
    _at: str | int
    """Key or position in the parent: where to look first."""
    _kids: dict[int, Place] | None
    """Dirty children by id; None while nothing below is dirty either."""
    _marks: Any
    """What changed in it since the last capture; None if nothing did."""
    _kind: str
    _offset: int = 0
    """Of a list: items that precede those it holds; more than none only in a window."""
    _size: float = 0
    """Of a list: its length, as far as its methods were asked; TORN in the middle of an edit."""
    _base: float = 0
    """Of a list with marks: its length at the last capture."""

    def _items(self) -> Iterable[Any]:
        """What it holds, as stored."""
        raise NotImplementedError

    def _holds(self, value: Any) -> bool:
        """Whether it is the cell of this very tuple."""
        return False

    def _find(self, kid: Place) -> str | int | None:
        """Where `kid` is here now; None if it is not."""
        raise NotImplementedError

    def _part(self, at: str | int) -> str | int:
        """What a path calls the place `at` in it."""
        return at

    def _emit(self, path: Path, out: list[Change]) -> None:
        """Add the changes in it and below to `out`, in the order in which they apply."""
        raise NotImplementedError

    def _copy_content(self) -> Any:
        """A shallow copy of the items and what goes with them."""
        raise NotImplementedError

    def _restore_content(self, content: Any, wrapped: dict[int, tuple[Any, Any]]) -> None:
        """Put back what `_copy_content` gave, with what has since been wrapped."""
        raise NotImplementedError

    def _touch(self) -> dict[int, Place]:
        """Become dirty, after all that it is in; its dirty children."""
        if self._tracker.blocks:
            self._tracker.save(self)
        kids = self._kids
        if kids is None:
            parent = self._parent
            if parent is not None:
                if parent._kids is None or self._tracker.blocks:
                    parent._touch()[id(self)] = self
                else:
                    parent._kids[id(self)] = self
            kids = self._kids = {}
        return kids

    def _clean(self) -> None:
        """Forget all marks in it and below; it counts as dirty until all are gone."""
        kids = self._kids
        if kids is None:
            return
        if self._tracker.blocks:
            self._tracker.save(self)
        for kid in kids.values():
            kid._clean()
        if self._size < 0:
            self._mend()
        self._marks = None
        self._kids = None

    def _mend(self) -> None:
        """Mark as changed whatever an edit that was interrupted may have changed."""

    def _leave(self) -> None:
        """Become free."""
        tracker = self._tracker
        parent = self._parent
        if tracker.blocks:
            tracker.save(self)
            if parent is not None:
                tracker.save(parent)
        if parent is not None and parent._kids:
            parent._kids.pop(id(self), None)
        self._parent = None
        if self._offset:
            self._offset = 0
        if tracker.released is not None:
            tracker.released.append(self)
        tracker.moving.pop(id(self), None)

    def _top(self) -> Place:
        place = self
        while place._parent is not None:
            place = place._parent
        return place

    def _depth(self) -> int:
        """How many containers its items are within, the mapping of sections not counted."""
        depth = 0
        place = self._parent
        while place is not None:
            depth += 1
            place = place._parent
        return depth

    def _path(self) -> Path:
        """Where it is; in a free tree, where it is there, after where that would take its place."""
        parts: list[str | int] = []
        place: Place = self
        while place._parent is not None:
            parent = place._parent
            at = parent._find(place)
            parts.append(parent._part(place._at if at is None else at))
            place = parent
        return (*place._tracker.above(), *reversed(parts))


def place_of(value: Any) -> Place | None:
    """The place of a stored value: a node is its own, a tuple with nodes in it has a cell."""
    if isinstance(value, Place):
        return value
    if type(value) is tuple:
        for item in value:
            inner = place_of(item)
            if inner is not None:
                cell = inner._parent
                return cell if cell is not None and cell._holds(value) else None
    return None
