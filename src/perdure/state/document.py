"""The live tree of one session: what changed in it, and what others changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, TypeAlias

from perdure.core.changes import Change, Delete, sections_of
from perdure.core.paths import KeysLast
from perdure.core.windows import Window
from perdure.errors import SaveInsideAtomic, UntrackedEdit
from perdure.state.cells import wrap_tuple
from perdure.state.mapping import wrap_dict, wrap_dicts
from perdure.state.marks import ABSENT, ADDED, MOVED, Mark
from perdure.state.members import wrap_set
from perdure.state.node import Node, replaced
from perdure.state.place import BULK_WRAPPERS, WRAPPERS, Place, place_of
from perdure.state.receive import detached, put_last, receive
from perdure.state.root import wrap_root
from perdure.state.sections import State
from perdure.state.sequence import TrackedList, check_lengths, wrap_list
from perdure.state.shadow import Checked, Shadow
from perdure.state.unloaded import Loader, Unloaded, is_whole, refuse, sort_out, wrap_unloaded
from perdure.state.windows import wrap_window

WRAPPERS.update({dict: wrap_dict, list: wrap_list, set: wrap_set, tuple: wrap_tuple})
BULK_WRAPPERS[dict] = wrap_dicts
WRAPPERS.update({Unloaded: wrap_unloaded, Window: wrap_window})

MISSING = ABSENT
"""In `Document.replace`: there is no such section."""

UNLOADED: Any = Mark("UNLOADED")
"""In place of a section's value: there is one, and it is not loaded."""


Handover: TypeAlias = tuple[list[str] | None, Checked | None, Callable[[], bool] | None]
"""Changes on their way to who keeps them: the sections, if their order is new, and the shadow, as
both are once the changes have left; whether they are kept, or None once it is certain.

An interrupt may come between the keeping and the clearing of marks, or in the middle of either. So
what is to be done is noted first, and until it is done nothing else is: an edit that came before it
would be cleared with the rest.
"""


class Document:
    """The sections of one session, tracked.

    Args:
        sections: by name, in order: plain values, which the document takes over; UNLOADED for those
            that are not loaded; a `Window` of a list of which only the tail is.
        load: called with the name of a section that is not loaded when its value is asked for, to
            give it: a plain value, which the document takes over, or a `Window`. What it raises
            comes out where the section was touched; the section stays as it is, to be asked for
            again. Without one, touching such a section raises `SectionNotLoaded`.
        check_edits: compare what is loaded with the changes at every capture, to find edits that C
            code made behind the containers' backs. Costs time and memory in proportion to that.

    Example:
        >>> document = Document({"messages": []})
        >>> document.state["messages"].append("hi")
        >>> document.capture()
        [Splice(path=('messages',), start=0, removed=0, items=['hi'])]
        >>> document.capture()
        []
        >>> document = Document({"plan": UNLOADED}, load=lambda name: {"goal": "refund"})
        >>> document.loaded()
        set()
        >>> document.state["plan"]
        {'goal': 'refund'}
    """

    __slots__ = (
        *("_ask", "_handover", "_names", "_released", "_reordered", "_root", "_shadow"),
        *("_tracker", "state"),
    )

    def __init__(
        self, sections: dict[str, Any], *, load: Loader | None = None, check_edits: bool = False
    ) -> None:
        self._ask: Loader = refuse if load is None else load
        self._shadow: Shadow | None = None
        self._handover: Handover | None = None
        """What the last capture left to be done."""
        self._names = list(sections)
        """The sections of the last capture, in order."""
        self._released: list[Place] = []
        """What somebody else's changes took out, until edits of it are refused."""
        self._reordered: dict[str, Any] | None = None
        """The sections in their new order, while they are brought into it."""
        self._root = wrap_root(sections)
        self._tracker = self._root._tracker
        for name, value in sections.items():
            if value is UNLOADED or type(value) is Window:
                self._hold(name, value)
        if check_edits:
            self._shadow = Shadow(self._root)
        self.state = State(self._root)

    # ---- what is loaded ---------------------------------------------------------------------

    def loaded(self) -> set[str]:
        """The names of the sections that are loaded, windows among them."""
        return set(self._root) - self._root.unloaded()

    def is_loaded(self, name: str) -> bool:
        """Whether there is such a section and it is loaded."""
        return name in self._root and type(dict.get(self._root, name)) is not Unloaded

    def unloaded(self) -> set[str]:
        """The names of the sections that are not loaded."""
        return self._root.unloaded()

    def windows(self) -> dict[str, tuple[int, int]]:
        """Of each window, by name of the section: items before it, and items in it."""
        return {
            name: (value._offset, len(value))
            for name, value in dict.items(self._root)
            if isinstance(value, TrackedList) and value._offset
        }

    def widen(self, name: str, items: list[Any]) -> None:
        """Put into a window what comes before it in its list, all of it or the last of it.

        The window stays the same live object, and its edits stay where they are.

        Args:
            name: of the section.
            items: plain values, which the document takes over.
        """
        self._settle()
        window = dict.get(self._root, name)
        assert isinstance(window, TrackedList)
        with self._tracker.block():
            self._tracker.before_edit(window)
            window._widen(items)
        if self._shadow is not None:
            self._shadow.widen(name, items)

    def track(self) -> None:
        """Track at once all that is loaded, which else waits until it is touched."""
        for name, value in list(dict.items(self._root)):
            if type(value) is not Unloaded:
                self._root._hand_out(name, value)

    def put(self, name: str, value: Any) -> None:
        """Give a section that is not loaded its value, as the loader would.

        Does nothing if it is loaded by now, was assigned or is gone: what happened meanwhile here
        is newer.

        Args:
            name: of the section.
            value: a plain value, which the document takes over, or a `Window`; with the changes in
                it that `apply` returned.
        """
        held = dict.get(self._root, name)
        if type(held) is Unloaded:
            held.load = lambda _: self._told(name, value)
            self._root._hand_out(name, held)

    def _take_in(self, name: str) -> Any:
        """Ask the loader."""
        return self._told(name, self._ask(name))

    def _told(self, name: str, value: Any) -> Any:
        """The section's value; from now on its edits are checked, if any are."""
        if self._shadow is not None:
            self._shadow.replace(name, value)
        return value

    def _hold(self, name: str, value: Any) -> None:
        """Hold what the document is given for a section."""
        if value is UNLOADED:
            value = Unloaded(self._take_in)
        dict.__setitem__(self._root, name, value)
        if type(value) is Window:
            self._root._hand_out(name, value)

    # ---- what changed here ------------------------------------------------------------------

    def capture(
        self,
        keep: Callable[[list[Change]], None] | None = None,
        kept: Callable[[], bool] | None = None,
    ) -> list[Change]:
        """The changes since the last capture, in the order in which they apply; clears the marks.

        Values may be live nodes: encode them before any other edit. Empty if nothing changed.

        Args:
            keep: given the changes while they are still marked: if it fails, nothing is forgotten.
            kept: whether `keep` took them, however it ended. With it an interrupt at any moment
                neither loses a change nor gives it twice: the marks are cleared by whatever is done
                next. Without it `keep` has taken them if it returned.

        Raises:
            UntrackedEdit: something was changed without calling a container's methods. Nothing is
                lost: the marks are still there.
            SaveInsideAtomic: a block is open.
        """
        root, tracker = self._root, self._tracker
        if tracker.ending is not None or self._reordered is not None:
            self._settle()
        if tracker.settle is not None:
            self._end_capture()
        self._outside_blocks()
        if tracker.moving:
            tracker.end_moves()
        for node in self._resized():
            raise node._resized()
        if root._kids is None and self._shadow is None:
            return []
        changes: list[Change] = []
        try:
            tracker.settle = self._settle
            tracker.capturing = threading.get_ident()
            tracker.guarded = True
            if root._kids is not None:
                root._emit((), changes)
            self._hand_over(changes, keep if changes else None, kept)
        finally:
            self._end_capture()
        return changes

    def _resized(self) -> Iterator[TrackedList]:
        """The lists here, of those handed out lately, whose length their methods did not make."""
        root = self._root
        for node in self._tracker.lists.values():
            if len(node) != node._size >= 0 and node._top() is root:
                yield node

    def _hand_over(
        self,
        changes: list[Change],
        keep: Callable[[list[Change]], None] | None,
        kept: Callable[[], bool] | None,
    ) -> None:
        """Give the changes away; `_end_capture` clears the marks once they are kept."""
        root = self._root
        checked = None if self._shadow is None else self._shadow.check(root, changes)
        names = list(root) if root._marks else None
        self._handover = names, checked, kept or _no
        if keep is not None:
            keep(changes)
        self._handover = names, checked, None

    def _settle(self) -> None:
        """End what was interrupted: a block's end, a new order, a capture if none is under way."""
        if self._tracker.ending is not None:
            self._tracker.end_block()
        if self._reordered is not None:
            self._reorder()
        if self._tracker.settle is not None and not self._is_capturing():
            self._end_capture()

    def _is_capturing(self) -> bool:
        """Whether a capture is under way: in another thread, or in what this code interrupts."""
        if self._tracker.capturing != threading.get_ident():
            return bool(self._tracker.capturing)
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not Document.capture.__code__:
            frame = frame.f_back
        return frame is not None

    def _end_capture(self) -> None:
        """Clear the marks, if what they say is kept; begun again after an interrupt."""
        tracker = self._tracker
        if self._handover is not None:
            names, checked, kept = self._handover
            if kept is None or kept():
                if names is not None:
                    self._names = names
                if self._shadow is not None and checked is not None:
                    self._shadow.follow(checked)
                self._root._clean()
            self._handover = None
        tracker.capturing = 0
        tracker.settle = None
        tracker.guard()

    def check_lists(self) -> None:
        """Compare the length of every list that was handed out with what its methods left.

        A capture does so for those that were handed out one by one; this takes time in proportion
        to what is loaded and was touched, and belongs at the end of a session.

        Raises:
            UntrackedEdit: one was changed without calling its methods.
        """
        self._settle()
        check_lengths(self._root)

    def pending(self) -> list[Change]:
        """What `capture` would return, as plain values of their own; clears nothing.

        Raises:
            UntrackedEdit: something was changed without calling a container's methods.
        """
        self._settle()
        self._tracker.end_moves()
        for node in self._resized():
            raise node._resized()
        changes: list[Change] = []
        if self._root._kids is not None:
            self._root._emit((), changes)
        if self._shadow is not None:
            self._shadow.check(self._root, changes)
        return [detached(change) for change in changes]

    def has_edits(self) -> bool:
        """Whether a capture would find anything, be it an untracked edit; cheaper than `pending`.

        Edits behind the containers' backs that only `check_edits` finds are not looked for.
        """
        self._settle()
        self._tracker.end_moves()
        if any(True for _ in self._resized()):
            return True
        changes: list[Change] = []
        try:
            if self._root._kids is not None:
                self._root._emit((), changes)
        except UntrackedEdit:
            return True
        return bool(changes)

    def touched(self) -> set[str]:
        """The names of sections edited since the last capture, even if nothing came of it.

        Those with an edit behind the containers' backs are among them, as far as a capture would
        find it: a refresh that gives edits up is the way to be rid of it.
        """
        self._settle()
        root = self._root
        names = set(root._marks or ())
        names.update(str(node._path()[0]) for node in self._resized())
        if self._shadow is not None:
            names |= self._shadow.strayed(root)
        for kid in (root._kids or {}).values():
            name = root._find(kid)
            if name is not None:
                names.add(name)
        return names

    # ---- what changed elsewhere -------------------------------------------------------------

    def apply(
        self,
        changes: Iterable[Change],
        *,
        order: Iterable[str] | None = None,
        last: Sequence[KeysLast] = (),
    ) -> list[Change]:
        """Make somebody else's changes, in place and leaving no marks; all or none.

        Live nodes follow their items; those that are replaced or removed refuse edits from now on.
        A window stays the tail of its list. A section that is set or deleted whole is so at once,
        also one that is not loaded; other changes to one that is not loaded are left to its loader.

        Args:
            changes: to sections that have no uncaptured edits; they are not kept.
            order: the names of all sections as replay orders them: those that are stored, with
                these changes, and then what was captured here and is not saved yet. Needed if
                anything is; else the order follows from the changes.
            last: of mappings below sections, as they are then: which of their keys go last.

        Raises:
            ReplayMismatch: a change does not fit what is here.
            ValueError: one of the sections has uncaptured edits.
            SaveInsideAtomic: a block is open.

        Returns:
            The changes that were not made: what the loader gives later must have them in it.
        """
        self._settle()
        self._outside_blocks()
        changes = list(changes)
        both = sorted(sections_of(changes) & self.touched())
        if both:
            raise ValueError(f"sections with uncaptured edits: {', '.join(both)}")
        now, later = sort_out(changes, self._root.unloaded())
        self._receive(now, last)
        for change in now:
            if is_whole(change):
                self._rename(str(change.path[0]), gone=isinstance(change, Delete))
        if order is not None:
            self._names = list(order)
        self._settle_order()
        if self._shadow is not None:
            self._shadow.apply(now)
            for name in {str(path[0]) for path, _ in last}:
                self._shadow.replace(name, dict.get(self._root, name, MISSING))
            self._shadow.settle(self._names)
        return later

    def _receive(self, changes: list[Change], last: Sequence[KeysLast]) -> None:
        """Make the changes, put keys last, and forget that it was done.

        Also in a closed document: its last edits may be on their way, and need company.
        """
        root, tracker = self._root, self._tracker
        marks = None if root._marks is None else root._marks.copy()
        dirty = root._kids is not None
        self._released = tracker.released = []
        try:
            with tracker.block(), tracker.open():
                for change in changes:
                    receive(root, change)
                for order in last:
                    put_last(root, order)
        finally:
            tracker.released = None
        self._refuse_released()
        for name in sections_of(changes):
            self._forget(name)
        root._marks = marks
        if not dirty:
            root._kids = None

    def _refuse_released(self) -> None:
        """Let no edit of what somebody else's changes took out pass any more."""
        for place in self._released:
            if place._parent is None:
                replaced(place)
        self._released = []

    def restore(self, sections: Mapping[str, Any]) -> None:
        """Take the content of all sections anew, whatever an interrupt left here; forget all edits.

        Args:
            sections: by name, in order: plain values, which the document takes over.
        """
        self._settle()
        root = self._root
        content = {name: sections.get(name, MISSING) for name in (*root, *sections)}
        self.replace(content)
        self._tracker.end_moves()
        self._refuse_released()
        root._marks = root._kids = None
        self._names = list(sections)
        self._settle_order()
        if self._shadow is not None:
            self._shadow = Shadow(root)

    def replace(self, sections: Mapping[str, Any]) -> None:
        """Take newer content for whole sections, and throw away what was edited in them here.

        A section that stays a dict, list or set stays the same live object; what was inside
        refuses edits from now on.

        Args:
            sections: by name: plain values, which the document takes over, windows, UNLOADED for
                one that is to be loaded when it is touched; MISSING removes one.

        Raises:
            SaveInsideAtomic: a block is open.
        """
        self._settle()
        self._outside_blocks()
        root = self._root
        for name, value in sections.items():
            self._forget(name)
            if root._marks:
                root._marks.pop(name, None)
            self._exchange(name, value)
            self._rename(name, gone=value is MISSING)
            if self._shadow is not None:
                self._shadow.replace(name, dict.get(root, name, MISSING))
        self._settle_order()

    def _exchange(self, name: str, value: Any) -> None:
        """Hold newer content for a section; the live object stays if it can."""
        old = dict.get(self._root, name, MISSING)
        content = value.items if type(value) is Window else value
        if isinstance(old, Node) and type(content) in type(old).__mro__:
            old._load(content)
            if type(value) is Window:
                old._offset = value.offset
            return
        replaced(old)
        if value is MISSING:
            dict.pop(self._root, name, None)
        else:
            self._hold(name, value)

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
        marks = root._marks or {}
        new = [name for name in root if marks.get(name) is ADDED or marks.get(name) is MOVED]
        known = dict.fromkeys((*self._names, *root))
        order = [name for name in known if name in root and name not in new] + new
        if order != list(root):
            # Noted first: an interrupt in the middle leaves nothing out.
            self._tracker.settle = self._settle
            self._tracker.guarded = True
            self._reordered = {name: dict.__getitem__(root, name) for name in order}
            self._reorder()

    def _reorder(self) -> None:
        """Put the sections in the order that was noted; begun again after an interrupt."""
        if self._reordered is not None:
            dict.clear(self._root)
            dict.update(self._root, self._reordered)
            self._reordered = None
        self._tracker.settle = None
        self._tracker.guard()

    # ---- atomic blocks ----------------------------------------------------------------------

    def block(self) -> AbstractContextManager[None]:
        """An atomic block to enter: kept at its end, undone if an exception comes out of it."""
        self._settle()
        return self._tracker.block()

    def begin(self, name: object | None = None) -> None:
        """Open an atomic block; blocks nest."""
        self._settle()
        self._tracker.begin(name)

    def keep(self, name: object | None = None) -> None:
        """Close a block, the innermost by default; its edits stand."""
        self._tracker.keep(name)

    def undo(self, name: object | None = None) -> None:
        """Close a block, the innermost by default, and undo its edits.

        Live nodes are what they were before. An interrupt puts off the rest, to whatever is done
        next. A block that is not open any more is none to undo.
        """
        self._tracker.undo(name)

    def is_within_block(self) -> bool:
        """Whether the running code is inside an open block, or was started there."""
        return self._tracker.is_within()

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
        """A deep copy of all sections that shares nothing with them; loads those that are not."""
        copy: dict[str, Any] = self._root.plain()
        return copy

    def close(self) -> None:
        """Refuse every later edit; reading still works, and loads if the loader still does."""
        self._tracker.closed = True
        self._tracker.guard()

    def reopen(self) -> None:
        """Let edits pass again: the end did not come about."""
        self._tracker.closed = False
        self._tracker.guard()


def _no() -> bool:
    """Say of changes that they are not kept yet, where only the end of `keep` shows it."""
    return False
