"""The order of the sections, which others' changes and an edit here both have a say in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.state.marks import ADDED, MOVED
from perdure.state.root import Root


class Order:
    """The sections in the order that the next save gives them: ours that are new last."""

    __slots__ = ("_root", "names", "unfinished")

    def __init__(self, root: Root) -> None:
        self._root = root
        self.names = list(root)
        """The sections of the last capture, in order."""
        self.unfinished: dict[str, Any] | None = None
        """The sections in their new order, while they are brought into it."""

    def note(self, name: str, *, gone: bool) -> None:
        """Note a section that came or went elsewhere."""
        if gone and name in self.names:
            self.names.remove(name)
        elif not gone and name not in self.names:
            self.names.append(name)

    def arrange(self, settle: Callable[[], None]) -> None:
        """Put the sections in order.

        Args:
            settle: has to be called before anything else, after an interrupt in here, and to call
                `finish`.
        """
        root, tracker = self._root, self._root._tracker
        marks = root._marks or {}
        new = [name for name in root if marks.get(name) is ADDED or marks.get(name) is MOVED]
        known = dict.fromkeys((*self.names, *root))
        order = [name for name in known if name in root and name not in new] + new
        if order != list(root):
            # Noted first: an interrupt in the middle leaves nothing out.
            tracker.settle = settle
            tracker.guarded = True
            self.unfinished = {name: dict.__getitem__(root, name) for name in order}
            self.finish()

    def finish(self) -> None:
        """Put the sections in the order that was noted; begun again after an interrupt."""
        if self.unfinished is not None:
            dict.clear(self._root)
            dict.update(self._root, self.unfinished)
            self.unfinished = None
        self._root._tracker.settle = None
        self._root._tracker.guard()
