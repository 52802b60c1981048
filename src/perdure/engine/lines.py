"""Where the records of many branches are: each line that they share is gone down once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from perdure.core.head import Base, Branch, Head
from perdure.core.lineage import is_whole
from perdure.engine.read import MAX_NUMBER, Site, base_of
from perdure.engine.requests import Run, Steps


def every_span(site: Site, head: Head, tips: Sequence[Branch]) -> Steps[list[list[Run]]]:
    """What `spans` tells of each of these branches, in time that is in proportion to their lines.

    Where a branch that neither has snapshots nor was pruned comes to a line from which another was
    gone down before, that line's run is the lowest told of it: those below are told already.

    Raises:
        Damaged: a record is missing that tells what a line is based on.
    """
    lines = _Lines(site, head, tips)
    found: list[list[Run]] = []
    for tip in tips:
        found.append((yield from lines.down(tip)))  # noqa: PERF401 - none yields in one
    return found


class _Lines:
    """The lines of a life, as far as they are known."""

    def __init__(self, site: Site, head: Head, tips: Iterable[Branch]) -> None:
        self._site, self._head = site, head
        self._bases: dict[int, Base | None] = {}
        """What lines are based on; None: on nothing."""
        self._seen: dict[int, int] = {}
        """By line, down to which number was gone from there."""
        for tip in tips:
            self._note(tip)

    def _note(self, tip: Branch) -> None:
        every = (Base(tip.line, tip.number), *tip.bases)
        self._bases.update((above.line, below) for above, below in pairwise(every))
        if is_whole(tip) and tip.cut is None:
            self._bases.setdefault(every[-1].line, None)

    def down(self, tip: Branch) -> Steps[list[Run]]:
        """The runs of one branch, oldest first."""
        to_the_end = bool(tip.snapshots) or tip.cut is not None
        found: list[Run] = []
        line, last = tip.line, tip.number
        while last >= tip.first:
            base = yield from self._base(tip, line)
            start = base.number + 1 if base is not None else 1
            has_run = last >= start
            is_seen = self._seen.get(line, MAX_NUMBER) <= tip.first
            if has_run:
                found.append(Run(line, max(start, tip.first), last))
                self._seen[line] = min(self._seen.get(line, MAX_NUMBER), tip.first)
            # Of a line that the branch only stands on, nothing is told that goes for those below.
            if base is None or (has_run and is_seen and not to_the_end):
                break
            line, last = base.line, min(last, base.number)
        return found[::-1]

    def _base(self, tip: Branch, line: int) -> Steps[Base | None]:
        """What a line is based on; what is below where the branch was pruned is never asked for."""
        if line not in self._bases:
            if is_whole(tip):
                return None
            self._bases[line] = yield from base_of(self._site, self._head, line)
        return self._bases[line]
