"""What was edited in a live tree since the last capture, and how it gets to who keeps it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import TypeAlias

from perdure.core.changes import Change
from perdure.errors import SaveInsideAtomic, UntrackedEdit
from perdure.state.order import Order
from perdure.state.receive import detached
from perdure.state.root import Root
from perdure.state.sequence import TrackedList, check_lengths
from perdure.state.shadow import Checked, Shadow

Handover: TypeAlias = tuple[list[str] | None, Checked | None, Callable[[], bool] | None]
"""Changes on their way to who keeps them: the sections, if their order is new, and the shadow, as
both are once the changes have left; whether they are kept, or None once it is certain.

An interrupt may come between the keeping and the clearing of marks, or in the middle of either. So
what is to be done is noted first, and until it is done nothing else is: an edit that came before it
would be cleared with the rest.
"""


class Capturing:
    """A live tree whose edits are captured, from time to time, for somebody to keep.

    Args:
        root: the mapping of sections; what is edited in it from now on is to be captured.
        ephemeral: sections whose edits are not.
    """

    __slots__ = ("_ephemeral", "_handover", "_order", "_root", "_shadow", "_tracker")

    def __init__(self, root: Root, ephemeral: frozenset[str] = frozenset()) -> None:
        self._root = root
        self._ephemeral = ephemeral
        """Sections that are never written: their changes leave this nowhere."""
        self._tracker = root._tracker
        self._order = Order(root)
        self._shadow: Shadow | None = None
        """What finds edits that left no mark, if they are looked for."""
        self._handover: Handover | None = None
        """What the last capture left to be done."""

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
        if tracker.ending is not None or self._order.unfinished is not None:
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
            changes += self._emitted()
            self._hand_over(changes, keep if changes else None, kept)
        finally:
            self._end_capture()
        return changes

    def _emitted(self) -> list[Change]:
        """What changed, but for what is never written."""
        changes: list[Change] = []
        if self._root._kids is not None:
            self._root._emit((), changes)
        return [each for each in changes if each.path[0] not in self._ephemeral]

    def _resized(self) -> Iterator[TrackedList]:
        """The lists here, of those handed out lately, whose length their methods did not make."""
        root = self._root
        for node in self._tracker.lists.values():
            has_strayed = len(node) != node._size >= 0 and node._top() is root
            if has_strayed and node._path()[0] not in self._ephemeral:
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
        if self._order.unfinished is not None:
            self._order.finish()
        if self._tracker.settle is not None and not self._is_capturing():
            self._end_capture()

    def _is_capturing(self) -> bool:
        """Whether a capture is under way: in another thread, or in what this code interrupts."""
        if self._tracker.capturing != threading.get_ident():
            return bool(self._tracker.capturing)
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not Capturing.capture.__code__:
            frame = frame.f_back
        return frame is not None

    def _end_capture(self) -> None:
        """Clear the marks, if what they say is kept; begun again after an interrupt."""
        tracker = self._tracker
        if self._handover is not None:
            names, checked, kept = self._handover
            if kept is None or kept():
                if names is not None:
                    self._order.names = names
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
        kept_out = [dict.get(self._root, name) for name in self._ephemeral]
        check_lengths(self._root, [id(each) for each in kept_out])

    def pending(self) -> list[Change]:
        """What `capture` would return, as plain values of their own; clears nothing.

        Raises:
            UntrackedEdit: something was changed without calling a container's methods.
        """
        self._settle()
        self._tracker.end_moves()
        for node in self._resized():
            raise node._resized()
        changes = self._emitted()
        if self._shadow is not None:
            self._shadow.check(self._root, changes)
        return [detached(change) for change in changes]

    def changed(self) -> list[Change]:
        """What `capture` would return, with live nodes in it; clears nothing, and checks nothing.

        An edit that left no mark is what a capture tells of.
        """
        self._settle()
        self._tracker.end_moves()
        try:
            return self._emitted()
        except UntrackedEdit:
            return []

    @property
    def sections(self) -> Root:
        """The live sections, for who looks at them and edits nothing."""
        return self._root

    def mending(self) -> AbstractContextManager[None]:
        """A block in which what is about to be captured is put right, also as the session ends."""
        return self._tracker.open()

    def has_edits(self) -> bool:
        """Whether a capture would find anything, be it an untracked edit; cheaper than `pending`.

        Edits behind the containers' backs that only `check_edits` finds are not looked for.
        """
        self._settle()
        self._tracker.end_moves()
        if any(True for _ in self._resized()):
            return True
        try:
            return bool(self._emitted())
        except UntrackedEdit:
            return True

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
        return names - self._ephemeral

    def _outside_blocks(self) -> None:
        if self._tracker.blocks:
            raise SaveInsideAtomic(
                "inside an atomic block nothing is saved or refreshed; leave it first"
            )


def _no() -> bool:
    """Say of changes that they are not kept yet, where only the end of `keep` shows it."""
    return False
