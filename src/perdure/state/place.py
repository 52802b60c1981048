"""What has a place in the live tree of a session: tracked containers, and cells of tuples.

A place knows its parent, and a hint (key or position) of where it is there. While it is dirty it
holds `_marks` (what changed in it) and `_kids` (its dirty children), and stands in its parent's
`_kids`: a capture walks down these alone.

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

    def _touch(self) -> None:
        """Become dirty, up to the root."""
        save = self._tracker.save if self._tracker.blocks else None
        kid: Place | None = None
        place: Place | None = self
        while place is not None:
            if save:
                save(place)
            if place._kids is not None:
                if kid is not None:
                    place._kids[id(kid)] = kid
                return
            place._kids = {} if kid is None else {id(kid): kid}
            kid, place = place, place._parent

    def _clean(self) -> None:
        """Forget all marks in it and below."""
        kids = self._kids
        if kids is None:
            return
        if self._tracker.blocks:
            self._tracker.save(self)
        self._kids = self._marks = None
        for kid in kids.values():
            kid._clean()

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
        """Where it is; in a free tree, where it is there."""
        parts: list[str | int] = []
        place: Place = self
        while place._parent is not None:
            parent = place._parent
            at = parent._find(place)
            parts.append(parent._part(place._at if at is None else at))
            place = parent
        return tuple(reversed(parts))


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
