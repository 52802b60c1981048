"""The graph of `perdure log --graph`: checkpoints beside rails that show who went on from whom.

A rail is a column in which a checkpoint that is still to come is awaited; it ends as soon as
another awaits the same. Branches are drawn one after another, the largest of those that went on
from one checkpoint first: so there are about as many rails at a time as forks within forks, and
drawing takes n log n steps for n checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.types import Checkpoint

NODE, RAIL, JOIN, ACROSS, ALONG, OPENS, MEETS, GOES_ON = "*", "|", "/", "_", "-", ".", "+", ":"
"""What rails are drawn with; ASCII, which every terminal, pipe and mail shows alike."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the graph."""

    rails: str
    checkpoint: Checkpoint | None
    """Whose line it is; None: only rails that meet or end."""
    below: str = ""
    """The rails of lines about the same checkpoint that follow this one."""


def reachable(checkpoints: Iterable[Checkpoint], tips: Iterable[str]) -> set[str]:
    """Hashes of those from which `tips` came, and of these, and of what they merged."""
    parents = {each.hash: each for each in checkpoints}
    hashes = {each.id: each.hash for each in parents.values()}
    found: set[str] = set()
    left = [tip for tip in tips if tip in parents]
    while left:
        tip = left.pop()
        if tip not in found:
            found.add(tip)
            left += _parents(parents[tip], hashes, parents)
    return found


def _parents(
    checkpoint: Checkpoint, hashes: Mapping[str, str], known: Mapping[str, Checkpoint]
) -> list[str]:
    """Hashes of what it came from, as far as that is known: first its own branch's."""
    merged = hashes.get(checkpoint.merged) if checkpoint.merged is not None else None
    # What a session merged its save with is what it was saved on.
    parents = dict.fromkeys((checkpoint.parent, merged))
    return [each for each in parents if each is not None and each in known]


def graph(checkpoints: Sequence[Checkpoint], first: str | None = None) -> Iterator[Row]:
    """The lines of the graph.

    Args:
        checkpoints: those to show; what they came from may be missing.
        first: hash of the newest checkpoint of the branch that is to be at the left.
    """
    known = {each.hash: each for each in checkpoints}
    hashes = {each.id: each.hash for each in checkpoints}
    parents = {each.hash: _parents(each, hashes, known) for each in checkpoints}
    rails = _Rails()
    for each in ordered(known, parents, first):
        yield from rails.drawn(known[each], parents[each])


def ordered(
    known: Mapping[str, Checkpoint], parents: Mapping[str, Sequence[str]], first: str | None
) -> Iterator[str]:
    """Hashes in the order in which they are drawn: each after all that came from it.

    What one came from follows it at once, and what is missing for that is drawn before: so few are
    awaited at a time, whatever was merged.
    """
    ranks = {each: rank for rank, each in enumerate(_by_branches(known, first))}
    children: dict[str, list[str]] = {each: [] for each in ranks}
    for each in reversed(ranks):  # the best comes last, which is taken first
        for parent in parents[each]:
            children[parent].append(each)
    missing = {each: len(others) for each, others in children.items()}
    drawn: set[str] = set()
    asked: set[str] = set()
    for start in ranks:
        wanted = [start]
        while wanted:
            each = wanted[-1]
            if each in drawn or (missing[each] and each in asked):
                wanted.pop()  # the last of its children will ask for it again
            elif missing[each]:
                asked.add(each)
                wanted += children[each]
            else:
                yield wanted.pop()
                drawn.add(each)
                wanted += parents[each]
                for parent in parents[each]:
                    missing[parent] -= 1


def _by_branches(known: Mapping[str, Checkpoint], first: str | None) -> list[str]:
    """Hashes, one branch after another; as if there were no merges."""
    sizes = dict.fromkeys(known, 1)
    children: dict[str | None, list[str]] = {}
    for each in sorted(known, key=lambda name: known[name].number, reverse=True):
        parent = known[each].parent
        if parent not in known:
            parent = None
        children.setdefault(parent, []).append(each)
        if parent is not None:
            sizes[parent] += sizes[each]  # its own is whole: what came from it has larger numbers
    ahead = set()
    while first is not None and first in known:
        ahead.add(first)
        first = known[first].parent

    def best_first(parent: str | None) -> list[str]:
        return sorted(children.get(parent, ()), key=lambda name: (name not in ahead, -sizes[name]))

    order: list[str] = []
    left = best_first(None)
    while left:  # each before what came from it, the best last; then turned round
        order.append(each := left.pop())
        left += best_first(each)
    return order[::-1]


class _Rails:
    """The rails at one moment of drawing."""

    def __init__(self) -> None:
        self._awaited: list[str | None] = []
        """By rail, the hash that it waits for."""
        self._rail_of: dict[str, int] = {}
        """By hash, the one rail that waits for it."""

    def drawn(self, checkpoint: Checkpoint, parents: Sequence[str]) -> Iterator[Row]:
        """The lines of the next checkpoint, and where its rail goes from there."""
        at = self._rail_of.pop(checkpoint.hash, None)
        if at is None:
            at = self._free()
        self._awaited[at] = checkpoint.hash  # so that no other takes its place on this line
        own = parents[0] if parents and parents[0] == checkpoint.parent else None
        arms = [self._arm(each) for each in parents if each != own]
        ends = checkpoint.parent is not None and own is None
        meets = self._rail_of.get(own) if own is not None else None
        self._awaited[at] = own
        yield Row(self._row(at, arms), checkpoint, self._text(self._cells(at if ends else None)))
        if meets is not None and own is not None:
            yield Row(self._join(own, *sorted((at, meets))), None)
        elif own is not None:
            self._rail_of[own] = at
        elif ends:  # what it came from is not shown
            cells = self._cells()
            cells[2 * at] = GOES_ON
            yield Row(self._text(cells), None)
        self._trim()

    def _free(self) -> int:
        """A rail on which nothing is awaited; the leftmost."""
        if None in self._awaited:
            return self._awaited.index(None)
        self._awaited.append(None)
        return len(self._awaited) - 1

    def _arm(self, merged: str) -> tuple[int, str]:
        """The rail that waits for what was merged, and how it meets the checkpoint."""
        if merged in self._rail_of:
            return self._rail_of[merged], MEETS
        rail = self._free()
        self._awaited[rail], self._rail_of[merged] = merged, rail
        return rail, OPENS

    def _cells(self, also: int | None = None) -> list[str]:
        """The rails as they stand, a character and a gap each."""
        cells = [" "] * (2 * len(self._awaited))
        for rail, awaited in enumerate(self._awaited):
            if awaited is not None or rail == also:
                cells[2 * rail] = RAIL
        return cells

    def _row(self, at: int, arms: Iterable[tuple[int, str]]) -> str:
        cells = self._cells()
        for rail, end in arms:
            for place in range(2 * min(at, rail) + 1, 2 * max(at, rail)):
                cells[place] = ALONG if cells[place] == " " else cells[place]
            cells[2 * rail] = end
        cells[2 * at] = NODE
        return self._text(cells)

    def _join(self, awaited: str, left: int, right: int) -> str:
        """The right one of two rails that wait for the same ends in the left one."""
        self._awaited[left], self._awaited[right] = awaited, None
        self._rail_of[awaited] = left
        cells = self._cells()
        for place in range(2 * left + 1, 2 * right - 1):
            cells[place] = ACROSS if cells[place] == " " else cells[place]
        cells[2 * right - 1] = JOIN
        return self._text(cells)

    def _trim(self) -> None:
        while self._awaited and self._awaited[-1] is None:
            self._awaited.pop()

    @staticmethod
    def _text(cells: Sequence[str]) -> str:
        return "".join(cells).rstrip()
