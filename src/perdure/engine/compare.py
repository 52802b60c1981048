"""What differs between two checkpoints: two trees, walked together. See `0011-diff.md`."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec

from perdure import limits
from perdure.core.changes import Change, apply, copies, reordered, sections_of
from perdure.core.diff import Difference, diff
from perdure.core.edited_list import EditedList, Page, Unfit
from perdure.core.head import MAIN, Branch, Head, Snapshot
from perdure.core.outline import moves_in, touches_of
from perdure.core.page import Ref, Shape
from perdure.core.record import Record
from perdure.core.refs import Ref as CheckpointRef
from perdure.core.tree import build
from perdure.core.tree_diff import diff_lists, diff_trees
from perdure.core.tree_edit import edit
from perdure.core.tree_read import Reading, T, read_root, remembering
from perdure.core.values import take
from perdure.engine.around import UNREADABLE
from perdure.engine.branches import common_number
from perdure.engine.load import state_at
from perdure.engine.pages import walk
from perdure.engine.read import Site, as_of_now, check_run, read_head, read_run
from perdure.engine.refs import Point, find
from perdure.engine.requests import Steps


def compare(
    site: Site, before: CheckpointRef, after: CheckpointRef, branch: str = MAIN
) -> Steps[list[Difference]]:
    """Every difference between two checkpoints, whichever is the older.

    Raises:
        StateNotFound: there is no such state.
        CheckpointNotFound: it has no such checkpoint.
        Damaged: one of them cannot be read.
    """

    def compared(head: Head) -> Steps[list[Difference]]:
        first = yield from find(site, head, branch, before)
        second = yield from find(site, head, branch, after)
        return (yield from compare_points(site, head, first, second))

    return (yield from as_of_now(site, compared))


def compare_points(site: Site, head: Head, first: Point, second: Point) -> Steps[list[Difference]]:
    """Every difference between two checkpoints of a state."""
    shared = yield from common_number(site, head, first.tip, second.tip)
    if first.number == second.number <= shared:
        return []
    walking = _Walk(site, head)
    try:
        older, newer = sorted((first, second), key=lambda point: point.number)
        if newer.tip.first <= older.number <= shared:
            sides = yield from walking.points(newer.tip, older.number, newer.number)
        else:
            sides = yield from walking.apart(older, newer)
        return (yield from walking.between(*(sides if older is first else reversed(sides))))
    except UNREADABLE:
        # What can be read in another way is told all the same, and what cannot says where it fails.
        old, _ = yield from state_at(site, head, first.tip, first.number)
        new, _ = yield from state_at(site, head, second.tip, second.number)
        return diff(old, new)


def compare_states(
    site: Site, before: CheckpointRef, other: Site, after: CheckpointRef
) -> Steps[list[Difference]]:
    """Every difference between checkpoints of two states; both are read whole."""
    sides: list[dict[str, Any]] = []
    for where, ref in ((site, before), (other, after)):
        head = yield from read_head(where)
        point = yield from find(where, head, MAIN, ref)
        sides.append((yield from state_at(where, head, point.tip, point.number))[0])
    return diff(*sides)


def compare_changed(
    site: Site, head: Head, tip: Branch, changes: Sequence[Change]
) -> Steps[list[Difference]]:
    """Every difference that changes would make to the newest checkpoint of a branch."""
    walking = _Walk(site, head)
    try:
        sides = yield from walking.ahead(tip, changes)
        return (yield from walking.between(*sides))
    except UNREADABLE:
        old, _ = yield from state_at(site, head, tip, tip.number)
        new = take(old)
        apply(new, copies(changes))
        return diff(old, new)


_Lists: TypeAlias = dict[str, list[Page]]
"""Sections that are long lists, as their parts."""


class _Point(msgspec.Struct, frozen=True):
    """A checkpoint, as far as it may differ from another."""

    root: Ref
    """The tree of the sections that may."""
    names: list[str]
    """All sections, in order."""
    lists: _Lists = {}
    """Long lists; those that both points have here are in neither's tree."""


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
        if before.lists.keys() & after.lists.keys():
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
        for name in before.lists.keys() & after.lists.keys():
            pages = before.lists[name], after.lists[name]
            by[name] = yield from self._read(diff_lists((name,), *pages))
        names = dict.fromkeys((*before.names, *by))  # new ones come last
        return [each for name in names for each in by.get(name, ())]

    def points(self, tip: Branch, older: int, newer: int) -> Steps[tuple[_Point, _Point]]:
        """Two checkpoints of one branch."""
        start = tip.nearest(older)
        if newer - older <= limits.tail_records_max or tip.nearest(newer) is start:
            return (yield from self._after_one(tip, start, older, newer))
        return (yield from self.apart(Point("", tip, older), Point("", tip, newer)))

    def ahead(self, tip: Branch, changes: Sequence[Change]) -> Steps[tuple[_Point, _Point]]:
        """The newest checkpoint of a branch, and what changes would make of it."""
        start, chosen = tip.nearest(tip.number), sections_of(changes)
        records = yield from self._records(tip, start, tip.number)
        entries = yield from self._entries(start)
        olds = yield from self._lists(_long(entries, chosen), _of(records))
        by = {name: [each for each in changes if each.path[0] == name] for name in chosen}
        news = yield from self._lists(olds, by.__getitem__)
        chosen -= news.keys()
        one = yield from self._edited(self._tree(entries, chosen), records, chosen)
        others = [each for each in changes if each.path[0] in chosen]
        built = yield from self._read(edit(one, others, self.head.secret))
        self.pages.update(built.pages)
        names = _names(entries, records)
        after = reordered(names, moves_in(touches_of(changes)))
        return _Point(one, names, olds), _Point(built.root, after, news)

    def _after_one(
        self, tip: Branch, start: Snapshot | None, older: int, newer: int
    ) -> Steps[tuple[_Point, _Point]]:
        """Both from one snapshot: only sections that the records between them change."""
        records = yield from self._records(tip, start, newer)
        early = [record for record in records if record.number <= older]
        late = [record for record in records if record.number > older]
        chosen = _touched(late)
        entries = yield from self._entries(start)
        olds = yield from self._lists(_long(entries, chosen), _of(early))
        news = yield from self._lists(olds, _of(late))
        chosen -= news.keys()
        root = yield from self._edited(self._tree(entries, chosen), early, chosen)
        one = _Point(root, _names(entries, early), olds)
        root = yield from self._edited(root, late, chosen)
        return one, _Point(root, _names(one.names, late), news)

    def apart(self, one: Point, other: Point) -> Steps[tuple[_Point, _Point]]:
        """Each from its snapshot: sections that differ there, or change after either."""
        records, entries = [], []
        for each in (one, other):
            snapshot = each.tip.nearest(each.number)
            records.append((yield from self._records(each.tip, snapshot, each.number)))
            entries.append((yield from self._entries(snapshot)))
        chosen = _touched(records[0]) | _touched(records[1]) | _unlike(*entries)
        lists = []
        for kept, since in zip(entries, records, strict=True):
            lists.append((yield from self._lists(_long(kept, chosen), _of(since))))
        chosen -= lists[0].keys() & lists[1].keys()
        points: list[_Point] = []
        for kept, since, some in zip(entries, records, lists, strict=True):
            root = yield from self._edited(self._tree(kept, chosen), since, chosen)
            points.append(_Point(root, _names(kept, since), some))
        return points[0], points[1]

    def _lists(self, lists: _Lists, changes_of: Callable[[str], Iterable[Change]]) -> Steps[_Lists]:
        """Long lists as they are after changes, but for those that cannot be told in this way.

        To edit their trees takes as long as their indexes are; this takes what the edits touch.
        """
        found: _Lists = {}
        for name, pages in lists.items():
            edited = EditedList(pages)
            with suppress(Unfit):
                yield from self._read(edited.make(changes_of(name)))
                found[name] = edited.pages
        return found

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


def _of(records: Sequence[Record]) -> Callable[[str], Iterator[Change]]:
    """What these records change in a section, by its name."""
    return lambda name: _changes_of(records, {name})


def _long(entries: dict[str, Any], chosen: Iterable[str]) -> _Lists:
    """Those of some sections that a snapshot keeps as lists of several pages."""
    kept = ((name, entries.get(name)) for name in sorted(chosen))
    return {
        name: [value]
        for name, value in kept
        if type(value) is Ref and value.shape is Shape.LIST and value.level
    }


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
