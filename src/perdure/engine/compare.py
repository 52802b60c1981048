"""What differs between two checkpoints: two trees, walked together. See `0011-diff.md`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from perdure import limits
from perdure.core.changes import Change, reordered
from perdure.core.diff import Difference, diff
from perdure.core.edited_list import EditedList, Page, Unfit
from perdure.core.head import MAIN, Branch, Head, Snapshot
from perdure.core.outline import moves_in
from perdure.core.page import Ref, Shape
from perdure.core.record import Record
from perdure.core.refs import Ref as CheckpointRef
from perdure.core.tree import build
from perdure.core.tree_diff import diff_lists, diff_trees
from perdure.core.tree_edit import edit
from perdure.core.tree_read import Reading, T, read_root, remembering
from perdure.engine.branches import common_number
from perdure.engine.load import state_at
from perdure.engine.pages import walk
from perdure.engine.read import Site, check_run, read_head, read_run
from perdure.engine.refs import Point, find, find_point
from perdure.engine.requests import Steps
from perdure.errors import Damaged, Malformed, ReplayMismatch


def compare(
    site: Site, before: CheckpointRef, after: CheckpointRef, branch: str = MAIN
) -> Steps[list[Difference]]:
    """Every difference between two checkpoints, whichever is the older.

    Raises:
        StateNotFound: there is no such state.
        CheckpointNotFound: it has no such checkpoint.
        Damaged: one of them cannot be read.
    """
    head = yield from read_head(site)
    first = yield from find(site, head, branch, before)
    second = yield from find(site, head, branch, after)
    return (yield from compare_points(site, head, first, second))


def compare_points(site: Site, head: Head, first: Point, second: Point) -> Steps[list[Difference]]:
    """Every difference between two checkpoints of a state."""
    shared = yield from common_number(site, head, first.tip, second.tip)
    if first.number == second.number <= shared:
        return []
    walking = _Walk(site, head)
    try:
        older, newer = sorted((first, second), key=lambda point: point.number)
        if older.number <= shared:
            sides = yield from walking.points(newer.tip, older.number, newer.number)
        else:
            sides = yield from walking.apart(older, newer)
        return (yield from walking.between(*(sides if older is first else reversed(sides))))
    except (Damaged, Malformed, ReplayMismatch):
        # What can be read in another way is told all the same, and what cannot says where it fails.
        old, _ = yield from state_at(site, head, first.tip, first.number)
        new, _ = yield from state_at(site, head, second.tip, second.number)
        return diff(old, new)


def compare_states(
    site: Site, before: CheckpointRef | None, other: Site, after: CheckpointRef | None
) -> Steps[list[Difference]]:
    """Every difference between checkpoints of two states; both are read whole."""
    sides: list[dict[str, Any]] = []
    for where, ref in ((site, before), (other, after)):
        head = yield from read_head(where)
        point = yield from find_point(where, head, MAIN, ref)
        sides.append((yield from state_at(where, head, point.tip, point.number))[0])
    return diff(*sides)


class _Point(msgspec.Struct, frozen=True):
    """A checkpoint, as far as it may differ from another."""

    root: Ref
    """The tree of the sections that may."""
    names: list[str]
    """All sections, in order."""
    lists: dict[str, list[Page]] = {}
    """Sections that may differ and are in no tree: long lists."""


class _Walk:
    """One comparison, and the pages that were read or made for it."""

    def __init__(self, site: Site, head: Head) -> None:
        self.site, self.head = site, head
        self.pages: dict[bytes, bytes] = {}

    def between(self, before: _Point, after: _Point) -> Steps[list[Difference]]:
        """What differs between two points."""
        found = yield from self._read(diff_trees(before.root, after.root))
        were, are = (dict.fromkeys(point.names) for point in (before, after))
        orders = [name for name in were if name in are], [name for name in are if name in were]
        # The order of some sections says nothing of that of all.
        found = [each for each in found if each.path]
        if before.lists:
            found = yield from self._with_lists(found, before, after)
        if orders[0] != orders[1]:
            found.append(Difference((), "moved", *orders))
        return found

    def _with_lists(
        self, found: list[Difference], before: _Point, after: _Point
    ) -> Steps[list[Difference]]:
        """What differs in the sections of trees, with that in long lists, in their order."""
        by: dict[str, list[Difference]] = {}
        for each in found:
            by.setdefault(str(each.path[0]), []).append(each)
        for name, pages in before.lists.items():
            by[name] = yield from self._read(diff_lists((name,), pages, after.lists[name]))
        names = dict.fromkeys((*before.names, *by))  # new ones come last
        return [each for name in names for each in by.get(name, ())]

    def points(self, tip: Branch, older: int, newer: int) -> Steps[tuple[_Point, _Point]]:
        """Two checkpoints of one branch."""
        start = tip.nearest(older)
        if newer - older <= limits.tail_records_max or tip.nearest(newer) is start:
            return (yield from self._after_one(tip, start, older, newer))
        return (yield from self.apart(Point("", tip, older), Point("", tip, newer)))

    def _after_one(
        self, tip: Branch, start: Snapshot | None, older: int, newer: int
    ) -> Steps[tuple[_Point, _Point]]:
        """Both from one snapshot: only sections that the records between them change."""
        records = yield from self._records(tip, start, newer)
        early = [record for record in records if record.number <= older]
        late = [record for record in records if record.number > older]
        chosen = _touched(late)
        entries = yield from self._entries(start)
        olds, news = yield from self._long_lists(entries, early, late, chosen)
        chosen -= olds.keys()
        base = self._tree(entries, chosen)
        root = yield from self._edited(base, early, chosen)
        one = _Point(root, _names(entries, early), olds)
        root = yield from self._edited(root, late, chosen)
        return one, _Point(root, _names(one.names, late), news)

    def _long_lists(
        self,
        entries: dict[str, Any],
        early: Sequence[Record],
        late: Sequence[Record],
        chosen: Iterable[str],
    ) -> Steps[tuple[dict[str, list[Page]], dict[str, list[Page]]]]:
        """Sections that are long lists at a snapshot, as they are after some records, and more.

        To edit such a tree takes as long as its index is; this takes what the edits touch.
        """
        olds, news = dict[str, list[Page]](), dict[str, list[Page]]()
        for name in sorted(chosen):
            kept = entries.get(name)
            if not (type(kept) is Ref and kept.shape is Shape.LIST and kept.level):
                continue
            try:
                old = EditedList([kept])
                yield from self._read(old.make(_changes_of(early, {name})))
                new = EditedList(old.pages)
                yield from self._read(new.make(_changes_of(late, {name})))
            except Unfit:
                continue
            olds[name], news[name] = old.pages, new.pages
        return olds, news

    def apart(self, one: Point, other: Point) -> Steps[tuple[_Point, _Point]]:
        """Each from its snapshot: sections that differ there, or change after either."""
        records, entries = [], []
        for each in (one, other):
            snapshot = each.tip.nearest(each.number)
            records.append((yield from self._records(each.tip, snapshot, each.number)))
            entries.append((yield from self._entries(snapshot)))
        chosen = _touched(records[0]) | _touched(records[1]) | _unlike(*entries)
        points: list[_Point] = []
        for kept, since in zip(entries, records, strict=True):
            root = yield from self._edited(self._tree(kept, chosen), since, chosen)
            points.append(_Point(root, _names(kept, since)))
        return points[0], points[1]

    def _records(self, tip: Branch, start: Snapshot | None, number: int) -> Steps[list[Record]]:
        after = start.number if start is not None else 0
        records = yield from read_run(self.site, self.head, tip, after + 1, number)
        if number == tip.number:
            check_run(self.site, records, tip, after)
        return records

    def _entries(self, start: Snapshot | None) -> Steps[dict[str, Any]]:
        """The sections at a snapshot: small ones as they are, of others the tree."""
        return (yield from self._read(read_root(start.root))) if start is not None else {}

    def _tree(self, entries: dict[str, Any], chosen: Container[str]) -> Ref:
        """A tree of some of the sections; theirs are referred to."""
        some = {name: value for name, value in entries.items() if name in chosen}
        built = build(some, self.head.secret)
        self.pages.update(built.pages)
        return built.root

    def _edited(self, root: Ref, records: Iterable[Record], chosen: set[str]) -> Steps[Ref]:
        changes = list(_changes_of(records, chosen))
        if not changes:
            return root
        built = yield from self._read(edit(root, changes, self.head.secret))
        self.pages.update(built.pages)
        return built.root

    def _read(self, reading: Reading[T]) -> Steps[T]:
        return (yield from walk(self.site, self.head.incarnation, remembering(reading, self.pages)))


def _changes_of(records: Iterable[Record], sections: Container[str]) -> Iterator[Change]:
    return (change for record in records for change in record.changes_of(sections))


def _touched(records: Iterable[Record]) -> set[str]:
    return {name for record in records for name in record.sections()}


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Sections that two snapshots keep differently, or one of them not."""
    return {
        name
        for name in one.keys() | other.keys()
        if not (name in one and name in other and _is_like(one[name], other[name]))
    }


def _is_like(one: Any, other: Any) -> bool:
    return one.id == other.id if type(one) is type(other) is Ref else False


def _names(before: Iterable[str], records: Sequence[Record]) -> list[str]:
    """The order of all sections after these records."""
    touches = [touch for record in records for touch in record.touches()]
    return reordered(before, moves_in(touches))
