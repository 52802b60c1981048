"""What stands in for what a pruning removes: trees of pages, each edited from the one below it."""

from __future__ import annotations

from perdure.core.head import Branch, Cut, Head, Snapshot
from perdure.core.record import Record
from perdure.core.tree import Built
from perdure.engine.pages import put
from perdure.engine.read import Site, check_links, next_records, spans
from perdure.engine.requests import Run, Steps
from perdure.engine.retain import Retained, Stay
from perdure.engine.snapshots import tree_after


def cut_of(stay: Stay, plan: Retained) -> Cut | None:
    """Where a run is cut off; None: it begins with checkpoint 1."""
    number = stay.first[1]
    if number == stay.of.first:
        return stay.of.cut
    return Cut(number - 1, plan.known[stay.first].parent)


def put_base_trees(site: Site, head: Head, plan: Retained) -> Steps[dict[bytes, Snapshot]]:
    """Put the pages of every base, but for their twins; the bases by the hash of their cut."""
    found: dict[bytes, Snapshot] = {}
    stays = [stay for some in plan.stays for stay in some]
    upwards: dict[tuple[int, int, int], _Upwards] = {}
    for stay in sorted(stays, key=lambda stay: stay.first[1]):
        cut, old = cut_of(stay, plan), stay.of
        if cut is None or cut.hash in found:
            continue
        if cut == old.cut and old.base_tree is not None:
            found[cut.hash] = old.base_tree
            continue
        at = old.line, old.number, old.first
        going = upwards.setdefault(at, _Upwards(site, head, old))
        built = yield from going.to(cut.number)
        yield from put(site, head.incarnation, built.pages)
        found[cut.hash] = Snapshot(cut.number, built.root)
    return found


class _Upwards:
    """Going up a branch from checkpoint to checkpoint; what a pack holds is read once."""

    def __init__(self, site: Site, head: Head, tip: Branch) -> None:
        self._site, self._head, self._tip = site, head, tip
        self._made: Snapshot | None = None
        """The tree that was made last."""
        self._read: list[Record] = []
        """What was read last: records of one line, in order."""

    def to(self, number: int) -> Steps[Built]:
        """The state at a checkpoint above the last one that was asked for, as a tree."""
        below = self._tip.nearest(number)
        if self._made is not None and (below is None or below.number < self._made.number):
            below = self._made
        records: list[Record] = []
        if below is not None:
            records = yield from self._between(below.number + 1, number)
        parts = self._site, self._head, self._tip, number, self._head.secret
        built = yield from tree_after(*parts, below, records)
        self._made = Snapshot(number, built.root)
        return built

    def _between(self, first: int, last: int) -> Steps[list[Record]]:
        """The records `first` … `last`."""
        records: list[Record] = []
        for run in (yield from spans(self._site, self._head, self._tip, first, last)):
            number = run.first
            while number <= run.last:
                some = yield from self._some(Run(run.line, number, run.last))
                records += some
                number = some[-1].number + 1
        check_links(self._site, records)
        return records

    def _some(self, run: Run) -> Steps[list[Record]]:
        """The first records of a run, of those that were read last if they are among them."""
        if not self._has(run):
            whole = Run(run.line, run.first, self._end_of(run))
            self._read = yield from next_records(self._site, self._head, whole)
        at = run.first - self._read[0].number
        return self._read[at : at + run.last - run.first + 1]

    def _has(self, run: Run) -> bool:
        read = self._read
        is_there = bool(read) and read[0].line == run.line
        return is_there and read[0].number <= run.first <= read[-1].number

    def _end_of(self, run: Run) -> int:
        """How far to read on: what comes next on the line will be asked for too."""
        ends = {self._tip.line: self._tip.number}
        ends |= {base.line: base.number for base in self._tip.bases}
        return max(ends.get(run.line, run.last), run.last)
