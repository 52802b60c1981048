"""The live tree of one session: what changed in it, and what others changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perdure.core.changes import Change, Delete, sections_of
from perdure.errors import SaveInsideAtomic
from perdure.state.cells import wrap_tuple
from perdure.state.mapping import TrackedDict, wrap_dict
from perdure.state.marks import ABSENT, ADDED, MOVED
from perdure.state.members import wrap_set
from perdure.state.node import Node, plain, replaced
from perdure.state.place import WRAPPERS, place_of
from perdure.state.receive import detached, receive
from perdure.state.sections import State
from perdure.state.sequence import wrap_list
from perdure.state.shadow import Shadow

WRAPPERS.update({dict: wrap_dict, list: wrap_list, set: wrap_set, tuple: wrap_tuple})

MISSING = ABSENT
"""In `Document.replace`: there is no such section."""


class Document:
    """The sections of one session, tracked.

    Args:
        sections: plain values by name; the document takes them over.
        check_edits: compare the state with the changes at every capture, to find edits that C code
            made behind the containers' backs. Costs time and memory in proportion to the state.

    Example:
        >>> document = Document({"messages": []})
        >>> document.state["messages"].append("hi")
        >>> document.capture()
        [Splice(path=('messages',), start=0, removed=0, items=['hi'])]
        >>> document.capture()
        []
    """

    __slots__ = ("_names", "_root", "_shadow", "_tracker", "state")

    def __init__(self, sections: dict[str, Any], *, check_edits: bool = False) -> None:
        self._root: TrackedDict = wrap_dict(sections, None, "")
        self._tracker = self._root._tracker
        self._tracker.root = self._root
        self._names = list(sections)
        """The sections of the last capture, in order."""
        self._shadow = Shadow(sections) if check_edits else None
        self.state = State(self._root)

    # ---- what changed here ------------------------------------------------------------------

    def capture(self, keep: Callable[[list[Change]], None] | None = None) -> list[Change]:
        """The changes since the last capture, in the order in which they apply; clears the marks.

        Values may be live nodes: encode them before any other edit. Empty if nothing changed.
        `keep` is given them while they are still marked: if it fails, nothing is forgotten.

        Raises:
            UntrackedEdit: something was changed without calling a container's methods. Nothing is
                lost: the marks are still there.
            SaveInsideAtomic: a block is open.
        """
        self._outside_blocks()
        root, tracker = self._root, self._tracker
        for node in tracker.lists:
            if len(node) != node._size and node._top() is root:
                raise node._resized()
        if root._kids is None and self._shadow is None:
            return []
        changes: list[Change] = []
        tracker.capturing = True
        tracker.guard()
        try:
            if root._kids is not None:
                root._emit((), changes)
            if self._shadow is not None:
                self._shadow.check(root, changes)
            if keep is not None and changes:
                keep(changes)
            self._clear_marks()
        finally:
            tracker.capturing = False
            tracker.guard()
        return changes

    def _clear_marks(self) -> None:
        """Clear the marks: what they said is kept elsewhere now."""
        try:
            if self._root._marks:
                self._names = list(self._root)
            self._root._clean()
        except BaseException:
            self._root._clean()  # interrupted half way: a mark left behind would be saved twice
            raise

    def pending(self) -> list[Change]:
        """What `capture` would return, as plain values of their own; clears nothing."""
        changes: list[Change] = []
        if self._root._kids is not None:
            self._root._emit((), changes)
        return [detached(change) for change in changes]

    def touched(self) -> set[str]:
        """The names of sections edited since the last capture, even if nothing came of it."""
        root = self._root
        names = set(root._marks or ())
        for kid in (root._kids or {}).values():
            name = root._find(kid)
            if name is not None:
                names.add(name)
        return names

    # ---- what changed elsewhere -------------------------------------------------------------

    def apply(self, changes: Iterable[Change], *, order: Iterable[str] | None = None) -> None:
        """Make somebody else's changes, in place and leaving no marks; all or none.

        Live nodes follow their items; those that are replaced or removed refuse edits from now on.

        Args:
            changes: to sections that have no uncaptured edits; they are not kept.
            order: the names of all sections as replay orders them: those that are stored, with
                these changes, and then what was captured here and is not saved yet. Needed if
                anything is; else the order follows from the changes.

        Raises:
            ReplayMismatch: a change does not fit what is here.
            ValueError: one of the sections has uncaptured edits.
            SaveInsideAtomic: a block is open.
        """
        self._outside_blocks()
        changes = list(changes)
        names = sections_of(changes)
        both = sorted(names & self.touched())
        if both:
            raise ValueError(f"sections with uncaptured edits: {', '.join(both)}")
        self._receive(changes, names)
        if order is not None:
            self._names = list(order)
        else:
            for change in changes:
                if len(change.path) == 1:
                    self._rename(str(change.path[0]), gone=isinstance(change, Delete))
        self._settle_order()
        if self._shadow is not None:
            self._shadow.apply(changes)

    def _receive(self, changes: list[Change], names: set[str]) -> None:
        """Make the changes to the sections of these names, and forget that they were made."""
        root, tracker = self._root, self._tracker
        marks = None if root._marks is None else root._marks.copy()
        dirty = root._kids is not None
        released = tracker.released = []
        tracker.begin()
        try:
            for change in changes:
                receive(root, change)
        except BaseException:
            tracker.undo()
            raise
        else:
            tracker.keep()
        finally:
            tracker.released = None
        for place in released:
            replaced(place)
        for name in names:
            self._forget(name)
        root._marks = marks
        if not dirty:
            root._kids = None

    def replace(self, sections: Mapping[str, Any]) -> None:
        """Take newer content for whole sections, and throw away what was edited in them here.

        A section that stays a dict, list or set stays the same live object; what was inside
        refuses edits from now on.

        Args:
            sections: plain values by name, which the document takes over; MISSING removes one.

        Raises:
            SaveInsideAtomic: a block is open.
        """
        self._outside_blocks()
        root = self._root
        for name, value in sections.items():
            if self._shadow is not None:
                self._shadow.replace(name, value)
            self._forget(name)
            if root._marks:
                root._marks.pop(name, None)
            old = dict.get(root, name, MISSING)
            if isinstance(old, Node) and type(value) in type(old).__mro__:
                old._load(value)
            else:
                replaced(old)
                if value is MISSING:
                    dict.pop(root, name, None)
                else:
                    dict.__setitem__(root, name, value)
            self._rename(name, gone=value is MISSING)
        root._wrap_again()
        self._settle_order()

    def _forget(self, name: str) -> None:
        """Clear the marks inside a section."""
        place = place_of(dict.get(self._root, name))
        if place is not None:
            place._clean()
            if self._root._kids:
                self._root._kids.pop(id(place), None)

    def _rename(self, name: str, *, gone: bool) -> None:
        """Note a section that came or went elsewhere."""
        if gone and name in self._names:
            self._names.remove(name)
        elif not gone and name not in self._names:
            self._names.append(name)

    def _settle_order(self) -> None:
        """Put the sections in the order that the next save gives them: ours that are new last."""
        root = self._root
        new = [name for name, mark in (root._marks or {}).items() if mark is ADDED or mark is MOVED]
        known = dict.fromkeys((*self._names, *root))
        order = [name for name in known if name in root and name not in new] + new
        if order != list(root):
            content = dict.copy(root)
            dict.clear(root)
            for name in order:
                dict.__setitem__(root, name, content[name])

    # ---- atomic blocks ----------------------------------------------------------------------

    def begin(self) -> None:
        """Open an atomic block; blocks nest."""
        self._tracker.begin()

    def keep(self) -> None:
        """Close the innermost block; its edits stand."""
        self._tracker.keep()

    def undo(self) -> None:
        """Close the innermost block and undo its edits; live nodes are what they were before."""
        self._tracker.undo()

    def _outside_blocks(self) -> None:
        if self._tracker.blocks:
            raise SaveInsideAtomic(
                "inside an atomic block nothing is saved or refreshed; leave it first"
            )

    # ---- the whole --------------------------------------------------------------------------

    def write_reserved(self, name: str, value: Any) -> None:
        """Assign a section of the library, which users cannot."""
        self._root[name] = value

    def plain(self) -> dict[str, Any]:
        """A deep copy of all sections that shares nothing with them."""
        copy: dict[str, Any] = plain(self._root)
        return copy

    def close(self) -> None:
        """Refuse every later edit; reading still works."""
        self._tracker.closed = True
        self._tracker.guard()
