"""A long list as some edits leave it, for comparing it: only pages that they touch are read.

No page is made for it. What is untouched stays the tree that it is, so two such lists that were one
share it, and it is told at once that they do. See `docs/design/0011-diff.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import Change, Splice, apply
from perdure.core.codec import pack
from perdure.core.page import Id, Ref, read_children, read_list
from perdure.core.pieces import Meter
from perdure.core.sums import Sums
from perdure.core.tree_read import Reading
from perdure.core.values import take
from perdure.errors import ReplayMismatch


class Unfit(Exception):
    """An edit that cannot be made in this way, or at all: the list has to be read otherwise."""


class Loose(msgspec.Struct, frozen=True, eq=False):
    """Items in memory, in the place of a page. It is only ever the same as itself."""

    items: list[Any]
    """Never changed. As in a page, one that is a tree of its own is its `Ref`."""
    bytes: int
    """How long they are, packed, or less."""
    level: int = 0
    id: Id = b""
    """No page has this one."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.items)


Page: TypeAlias = Ref | Loose
"""A part of a list: a tree, or items that are in memory."""


class EditedList:
    """A list, from the tree that keeps it and what was changed since."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self.pages: list[Page] = list(pages)
        """All of it, in order."""
        self._sums = Sums(page.count for page in self.pages)
        self._meter = Meter()

    def make(self, changes: Iterable[Change]) -> Reading[None]:
        """Make changes of the list and below it; the values in them are taken over.

        Raises:
            Unfit: one of them does not fit, or has to do with an item that is a tree of its own.
            Damaged: a page is not what the page above says.
        """
        for change in changes:
            try:
                if len(change.path) > 1:
                    size = yield from self._change_item(change)
                elif isinstance(change, Splice) and type(change.items) is list:
                    size = yield from self._splice(change.start, change.removed, change.items)
                else:
                    raise Unfit
            except (LookupError, TypeError, ReplayMismatch) as error:
                raise Unfit from error
            if self._meter.is_full(size):
                yield ()

    def _change_item(self, change: Change) -> Reading[int]:
        position = change.path[1]
        if not isinstance(position, int) or not 0 <= position < self._sums.total:
            raise LookupError(position)
        index, begins, page = yield from self._page_at(position)
        at = position - begins
        if type(page.items[at]) is Ref:
            raise Unfit
        holder = {"": take(page.items[at])}  # the list that this one was copied from has it too
        apply(holder, [replace(change, path=("", *change.path[2:]))])
        return self._put(index, page, at, at + 1, [holder[""]])

    def _splice(self, start: int, removed: int, items: list[Any]) -> Reading[int]:
        if start + removed > self._sums.total:
            raise LookupError(start)
        index, begins, page = yield from self._page_at(start)
        at = start - begins
        stop = min(at + removed, page.count)
        size = self._put(index, page, at, stop, items)
        left, ends = removed - (stop - at), start + len(items)
        while left:
            left -= yield from self._cut(ends, left)
        return size

    def _cut(self, position: int, most: int) -> Reading[int]:
        """Remove items from a position on, `most` of them or as many as a page has; how many."""
        index, begins = self._sums.find(position)
        there = self.pages[index]
        if begins == position and there.count <= most:  # a page that goes whole is not even read
            self.pages[index] = Loose([], 0)
            self._sums.add(index, -there.count)
            return there.count
        if there.level:
            yield from self._open(index)
            return 0
        index, begins, page = yield from self._page_at(position)
        at = position - begins
        stop = min(at + most, page.count)
        self._put(index, page, at, stop, [])
        return stop - at

    def _page_at(self, position: int) -> Reading[tuple[int, int, Loose]]:
        """The page that holds a position, in memory: which one it is, and where it begins."""
        while True:
            index, begins = self._sums.find(position)
            page = self.pages[index]
            if isinstance(page, Loose):
                return index, begins, page
            yield from self._open(index)

    def _open(self, index: int) -> Reading[None]:
        """Put what a tree consists of in its place."""
        ref = self.pages[index]
        assert isinstance(ref, Ref)
        payload = (yield (ref.id,))[ref.id]
        below: Sequence[Page]
        if ref.level:
            below = [ref.below(child) for child in read_children(payload, ref)]
        else:
            below = [Loose(read_list(payload, ref), ref.bytes)]
        self.pages[index : index + 1] = below
        if len(below) != 1:
            self._sums = Sums(page.count for page in self.pages)

    def _put(self, index: int, page: Loose, start: int, stop: int, items: list[Any]) -> int:
        """Replace items of a page; how long the new ones are, packed."""
        sizes = [len(pack(item)) for item in items]
        if max(sizes, default=0) > limits.inline_bytes_max:
            raise Unfit  # elsewhere it would be a tree, and what is equal has to be the same
        new = [*page.items[:start], *items, *page.items[stop:]]
        self.pages[index] = Loose(new, page.bytes + sum(sizes))
        self._sums.add(index, len(new) - page.count)
        return sum(sizes)
