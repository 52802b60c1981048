"""Edits in a list, in the positions that its items had before them: runs that came or went."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.core.values import take

if TYPE_CHECKING:
    from perdure.core.delta import Node

ENDLESS = 1 << 62
"""Items of a list whose length is not known: more than any has."""

BLOCK_RUNS_MAX = 128
"""Runs that are looked through one by one (runs)."""


class Hunk(msgspec.Struct, eq=False):
    """`removed` items of the base, from `start` on, give way to `items`."""

    start: int
    removed: int
    items: list[Any]

    @property
    def end(self) -> int:
        """The position in the base after what is removed."""
        return self.start + self.removed


class _Run(msgspec.Struct, eq=False):
    """Neighbours: items of the base from `start` on, or `items` that came."""

    start: int
    count: int
    items: list[Any] | None = None


class Items:
    """Edits in a list.

    Example:
        >>> items = Items()
        >>> items.splice(0, 2, [])
        >>> items.splice(3, 0, ["new"])
        >>> [(hunk.start, hunk.removed, hunk.items) for hunk in items.hunks()]
        [(0, 2, []), (5, 0, ['new'])]
    """

    __slots__ = ("_blocks", "_counts", "_own", "edits")

    def __init__(self, hunks: Iterable[Hunk] = (), edits: dict[int, Node] | None = None) -> None:
        self.edits: dict[int, Node] = edits or {}
        """Edits of items that stay, by their position in the base."""
        self._own: dict[int, Any] = {}
        """Items that came and are copies, by `id`: these may be edited."""
        runs: list[_Run] = []
        at = 0
        for hunk in hunks:
            if hunk.start > at:
                runs.append(_Run(at, hunk.start - at))
            if hunk.items:
                runs.append(_Run(0, len(hunk.items), hunk.items))
            at = hunk.end
        runs.append(_Run(at, ENDLESS))
        self._blocks = list(_cut(runs))
        """All runs, in order, some together: an edit has to do with a few of them."""
        self._counts = [_count(block) for block in self._blocks]
        """Items in each block."""

    def hunks(self) -> list[Hunk]:
        """Where items came or went, in order; between any two of them an item stays."""
        found: list[Hunk] = []
        at = 0
        items: list[Any] = []
        for run in self._runs():
            if run.items is not None:
                items += run.items
                continue
            if items or run.start > at:
                found.append(Hunk(at, run.start - at, items))
            at, items = run.start + run.count, []
        return found

    def splice(self, start: int, removed: int, items: list[Any]) -> None:
        """Replace a run of the list as it is now."""
        block, begin = self._split(start)
        last, end = self._split(start + removed)
        going = self._between(block, begin, last, end)
        for run in going if self.edits else ():
            if run.items is None:
                self._forget(run)
        before, is_long = self._before(block, begin), len(self._blocks[block]) > BLOCK_RUNS_MAX
        if going or is_long or before is None or before.items is None:
            come = [_Run(0, len(items), list(items))] if items else []
            runs = [*self._blocks[block][:begin], *come, *self._blocks[last][end:]]
            self._blocks[block : last + 1] = blocks = list(_cut(runs))
            self._counts[block : last + 1] = map(_count, blocks)
        else:
            before.items += items
            before.count += len(items)
            self._counts[block if begin else block - 1] += len(items)

    def find(self, position: int) -> tuple[list[Any] | None, int]:
        """What is at a position now: one of these items that came, or an item of the base."""
        block, index, at = self._at(position)
        run = self._blocks[block][index]
        return run.items, at if run.items is not None else run.start + at

    def make_own(self, items: list[Any], at: int) -> None:
        """Let an item that came be a copy, made once however often it is edited."""
        if id(items[at]) not in self._own:
            items[at] = take(items[at])
            self._own[id(items[at])] = items[at]

    def _forget(self, run: _Run) -> None:
        span = range(run.start, run.start + run.count)
        few: Iterable[int] = span
        if run.count > len(self.edits):
            few = [each for each in self.edits if each in span]
        for index in few:
            self.edits.pop(index, None)

    def _runs(self) -> Iterator[_Run]:
        for block in self._blocks:
            yield from block

    def _between(self, block: int, begin: int, last: int, end: int) -> list[_Run]:
        """The runs from one on up to another."""
        if block == last:
            return self._blocks[block][begin:end]
        found = self._blocks[block][begin:]
        for between in self._blocks[block + 1 : last]:
            found += between
        return found + self._blocks[last][:end]

    def _before(self, block: int, index: int) -> _Run | None:
        if index:
            return self._blocks[block][index - 1]
        return self._blocks[block - 1][-1] if block else None

    def _at(self, position: int) -> tuple[int, int, int]:
        """The block that has a position now, the run in it, and where in that it is."""
        ends = list(accumulate(self._counts))
        block = bisect_right(ends, position)
        at = position - (ends[block - 1] if block else 0)
        for index, run in enumerate(self._blocks[block]):
            if at < run.count:
                return block, index, at
            at -= run.count
        raise AssertionError  # no block is without end but the last

    def _split(self, position: int) -> tuple[int, int]:
        """Let a run begin at a position; its block, and which it is there."""
        block, index, at = self._at(position)
        if not at:
            return block, index
        run = self._blocks[block][index]
        rest = None if run.items is None else run.items[at:]
        head = _Run(run.start, at, None if run.items is None else run.items[:at])
        tail = _Run(run.start + at, run.count - at, rest)
        self._blocks[block][index : index + 1] = [head, tail]
        return block, index + 1


def _cut(runs: list[_Run]) -> Iterator[list[_Run]]:
    """The runs, in blocks of no more than are looked through; none is empty."""
    size = len(runs) if len(runs) <= BLOCK_RUNS_MAX else BLOCK_RUNS_MAX // 2
    for start in range(0, len(runs), size or 1):
        yield runs[start : start + size]


def _count(runs: list[_Run]) -> int:
    return sum(run.count for run in runs)
