"""Tracked sets.

The marks of a set hold, for each element that came or went since the last capture, whether the base
had it and what is there now:

    base      {"a", "b"}
    edits     s.add("c"); s.discard("a")
    marks     {"c": (False, "c"), "a": (True, ABSENT)}
    change    Members(removed=["a"], added=["c"])

Elements that are equal need not be the same (`1`, `True` and `1.0`), so one that went and came back
counts as replaced unless it is a text. In the middle of an edit the marks are WHOLE: after an
interrupt there the set is written whole.
"""

# ruff: noqa: D102 - the methods are those of set

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from perdure.core.changes import Change, Members, Set
from perdure.core.paths import Path
from perdure.core.values import ATOMS, take
from perdure.errors import NotStorable
from perdure.state.marks import ABSENT, WHOLE
from perdure.state.node import Node
from perdure.state.place import Place
from perdure.state.tracker import Tracker

_new = set.__new__


class TrackedSet(Node, set[Any]):
    """A set whose edits the next save writes. Made by inserting a set into a state.

    Operators and `copy` give plain sets, as `plain` does. Made by hand, it belongs to no state yet.

    Raises:
        NotStorable: by every way of adding, when the value cannot be stored; nothing has changed
            then.
        Detached: by every edit that could not be saved any more.

    Example:
        >>> session.state["seen"] = set()
        >>> session.state["seen"].add("order 17")
    """

    __slots__ = ("_at", "_kids", "_marks", "_parent", "_tracker")

    _kind = "set"
    _marks: Any
    """A dict as shown above, WHOLE or None."""

    def __new__(cls, items: Iterable[Any] = (), /) -> TrackedSet:
        return wrap_set(take(set(items)), None, "")

    def __init__(self, items: Iterable[Any] = (), /) -> None:
        """Filled by `__new__`."""

    def copy(self) -> set[Any]:
        return set(self)

    def __repr__(self) -> str:
        return repr(set(self))

    # ---- editing ----------------------------------------------------------------------------

    def add(self, element: Any, /) -> None:
        self._replace((), {element})

    def discard(self, element: Any, /) -> None:
        self._replace(_only(element) if element in self else (), ())

    def remove(self, element: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if element not in self:
            raise KeyError(element)
        self.discard(element)

    def pop(self) -> Any:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        element = next(iter(self), ABSENT)
        if element is ABSENT:
            raise KeyError("pop from an empty set")
        self.discard(element)
        return element

    def clear(self) -> None:
        self._replace(set(self), ())

    def update(self, *others: Iterable[Any]) -> None:
        self._replace((), set().union(*others))

    def difference_update(self, *others: Iterable[Any]) -> None:
        self._replace(self - self.difference(*others), ())

    def intersection_update(self, *others: Iterable[Any]) -> None:
        self._replace(self - self.intersection(*others), ())

    def symmetric_difference_update(self, other: Iterable[Any], /) -> None:
        other = set(other)
        self._replace(self & other, other - self)

    # set's own signatures are incompatible in the same way: they take a set only.

    def __ior__(self, other: Any, /) -> Any:  # type: ignore[misc]
        return self._in_place(self.update, other)

    def __isub__(self, other: Any, /) -> Any:  # type: ignore[misc]
        return self._in_place(self.difference_update, other)

    def __iand__(self, other: Any, /) -> Any:  # type: ignore[misc]
        return self._in_place(self.intersection_update, other)

    def __ixor__(self, other: Any, /) -> Any:  # type: ignore[misc]
        return self._in_place(self.symmetric_difference_update, other)

    # ---- storage ----------------------------------------------------------------------------

    def _in_place(self, edit: Any, other: Any) -> Any:
        if not isinstance(other, set | frozenset):
            return NotImplemented
        edit(other)
        return self

    def _replace(self, gone: Collection[Any], new: set[Any] | tuple[()]) -> None:
        """Take elements out that are here, and then others in."""
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if new and self._tracker.door is not None and self._tracker.released is None:
            new = self._tracker.door.admit_members(self, new)
        taken = [element for element in self._taken(new) if element not in self]
        if not gone and not taken:
            return
        if self._kids is None:
            self._touch()
        before, self._marks = self._marks, WHOLE
        marks = self._edit(gone, taken, {} if before is None or before is WHOLE else before)
        self._marks = WHOLE if before is WHOLE else marks

    def _edit(
        self, gone: Iterable[Any], taken: list[Any], marks: dict[Any, tuple[bool, Any]]
    ) -> dict[Any, tuple[bool, Any]]:
        """The same for what makes a difference; the marks, brought up to date."""
        for element in gone:
            set.discard(self, element)
            if marks.pop(element, (True,))[0]:
                marks[element] = True, ABSENT
        for element in taken:
            set.add(self, element)
            in_base = marks.pop(element, (False,))[0]
            if not in_base or type(element) not in (str, bytes):
                marks[element] = in_base, element
        return marks

    def _taken(self, new: set[Any] | tuple[()]) -> Any:
        if ATOMS.issuperset(map(type, new)):
            return new
        depth = max(self._depth() - 1, 0)
        try:
            return take(new, (), depth)
        except NotStorable:
            take(new, self._path(), depth)  # now with the path that the message needs
            raise

    def _items(self) -> Iterable[Any]:
        return ()  # no element is a container that could be edited

    def _load(self, content: Any) -> None:
        self._clean()
        set.clear(self)
        set.update(self, content)

    def _copy_content(self) -> set[Any]:
        return set(self)

    def _restore_content(self, content: set[Any], wrapped: dict[int, tuple[Any, Any]]) -> None:
        set.clear(self)
        set.update(self, content)

    # ---- capture ----------------------------------------------------------------------------

    def _emit(self, path: Path, out: list[Change]) -> None:
        if self._marks is WHOLE:
            out.append(Set(path, self))
            return
        marks = self._marks or {}
        removed = [element for element, (in_base, _) in marks.items() if in_base]
        added = [element for _, element in marks.values() if element is not ABSENT]
        if len(removed) + len(added) > len(self):
            out.append(Set(path, self))
        elif marks:
            out.append(Members(path, removed, added))


def wrap_set(content: set[Any], parent: Place | None, at: str | int) -> TrackedSet:
    """A node that holds what the plain set `content` does."""
    node = _new(TrackedSet)
    set.update(node, content)
    node._tracker = Tracker() if parent is None else parent._tracker
    node._parent = parent
    node._at = at
    node._kids = None
    node._marks = None
    return node


def _only(element: Any) -> tuple[Any]:
    """The element as one that can be a key: a set is looked for as a frozenset."""
    return (frozenset(element) if isinstance(element, set) else element,)
