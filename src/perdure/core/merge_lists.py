"""Merging two sides' edits of a list.

Both are told in positions of the base, as hunks: runs that gave way to others. Hunks of both sides
that overlap or touch are one zone, in which the runs of three lists are merged (`merge_runs`);
everything else is taken as it is.

    base     a b c d e f
    ours       B   d e f        a zone of both: b gives way to B, c goes
    theirs   a b C d   f        (they replaced c); and one of theirs only: e goes

An item that came again elsewhere under the id of one that went joins the zones of both places.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from perdure.core.changes import Change
from perdure.core.delta import ABSENT, Asking, Node, Put, changes_of, value_of
from perdure.core.delta_between import between, id_of
from perdure.core.list_edits import Hunk, Items
from perdure.core.merge_rules import name_in_set, united
from perdure.core.merge_runs import Base, Place, Run, merge_runs
from perdure.core.paths import Path
from perdure.core.values import same

if TYPE_CHECKING:
    from perdure.core.merge import Merger

ITEMS_ASKED_MAX = 64
"""Items of a list that are asked for one by one; for more, the list is asked for."""


def merge_items(
    merger: Merger, where: Path | None, path: Path, ours: Items, theirs: Items
) -> Asking:
    """Merge what both sides did to a list: see `Merger.node`."""
    if merger.rules.at(path).strategy == "set":
        yield from _merge_as_set(merger, where, path, ours, theirs)
        return
    mine, others = Side(ours), Side(theirs)
    zones = _Zones(merger, where, mine, others)
    yield from zones.find()
    hunks: list[Hunk] = []
    for zone in zones.all:
        if zone.contested:
            base = yield from items_of(merger, where, zone.start, zone.end)
            place = Place(where, path, mine.place(zone.start, before=True))
            now = mine.run(base, zone, zone.ours)
            values = yield from merge_runs(
                merger, place, base, now, others.run(base, zone, zone.theirs)
            )
            ours_now = [value for _, value in now]
            hunks += told_from(merger.out, path, place.start, ours_now, values)
        elif not zone.ours:
            hunks += [
                Hunk(mine.place(hunk.start), hunk.removed, hunk.items) for hunk in zone.theirs
            ]
    for at, node in theirs.edits.items():
        if not zones.contest(at):
            inside = None if where is None else (*where, at)
            yield from merger.node(inside, (*path, mine.place(at)), ours.edits.get(at), node)
    merger.out += changes_of(Items(hunks), path)


def told_from(
    out: list[Change], path: Path, start: int, now: list[Any], values: list[Any]
) -> list[Hunk]:
    """What makes `values` of the run `now` of a list: edits of items as changes, the rest as hunks.

    Args:
        out: where to add the changes.
        path: of the list.
        start: where in it the run begins.
        now: the items of the run.
        values: those that it is to have.
    """
    node = between(now, values)
    if not isinstance(node, Items):
        return []
    for at, inner in node.edits.items():
        out += changes_of(inner, (*path, start + at))
    return [Hunk(start + hunk.start, hunk.removed, hunk.items) for hunk in node.hunks()]


def _merge_as_set(
    merger: Merger, where: Path | None, path: Path, ours: Items, theirs: Items
) -> Asking:
    base = yield from merger.base(where)
    base = [] if base is ABSENT else base
    mine, others = value_of(ours, base), value_of(theirs, base)
    found = united(base, mine, others)
    places = {name_in_set(item): at for at, item in enumerate(mine)}
    again = {name_in_set(item): item for item in reversed(others)}
    origins = {name_in_set(item): at for at, item in enumerate(base)}
    for at, item in enumerate(found):
        name = name_in_set(item)
        other = again.get(name, item)
        if name in places and not same(item, other):
            origin = None
            if name in origins and where is not None:
                origin = (*where, origins[name])
                merger.known[origin] = base[origins[name]]
            here = (*path, places[name])
            found[at] = yield from merger.apart(origin, here, Put(item), Put(other))
    node = between(mine, found)
    if node is not None:
        merger.out += changes_of(node, path)


class Knowing(Protocol):
    """Who can tell of the base."""

    def base(self, path: Path | None) -> Asking:
        """The value there, or `ABSENT`."""


def items_of(knowing: Knowing, where: Path | None, start: int, end: int) -> Asking:
    """Items of a list of the base by their positions, in order."""
    found: Base = {}
    if start == end or where is None:
        return found
    if end - start > ITEMS_ASKED_MAX:
        whole = yield from knowing.base(where)
        return dict(enumerate(whole[start:end], start))
    for at in range(start, end):
        found[at] = yield from knowing.base((*where, at))
    return found


class Side:
    """What one side did to a list."""

    def __init__(self, items: Items) -> None:
        self.hunks = items.hunks()
        self.edits: dict[int, Node] = items.edits
        self._starts = [hunk.start for hunk in self.hunks]
        self._places: list[int] = []
        """Where each hunk starts in this side's list."""
        shift = 0
        for hunk in self.hunks:
            self._places.append(hunk.start + shift)
            shift += len(hunk.items) - hunk.removed
        self.ids = {name: hunk.start for hunk in self.hunks for name in _names(hunk)}
        """Of items with an id that came: where in the base."""

    def place(self, index: int, *, before: bool = False) -> int:
        """Where an item of the base is in this side's list; one that went: what follows it.

        Args:
            index: the item's position in the base.
            before: give the place before what came right before the item.
        """
        at = bisect_right(self._starts, index) - 1
        if at < 0:
            return index
        hunk = self.hunks[at]
        if before and hunk.start == index:
            return self._places[at]
        return self._places[at] + len(hunk.items) + max(index - hunk.end, 0)

    def lacks(self, index: int) -> bool:
        """Whether an item of the base went."""
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self.hunks[at].end

    def run(self, base: Base, zone: Zone, hunks: list[Hunk]) -> Run:
        """What became of a zone by these hunks: items with the positions of those that stayed."""
        found: Run = []
        at = zone.start
        for hunk in hunks:
            found += self._stayed(base, at, hunk.start)
            found += [(None, item) for item in hunk.items]
            at = hunk.end
        return found + self._stayed(base, at, zone.end)

    def _stayed(self, base: Base, start: int, end: int) -> Run:
        return [(at, value_of(self.edits.get(at), base[at])) for at in range(start, end)]


def _names(hunk: Hunk) -> Iterator[str | int]:
    for item in hunk.items:
        name = id_of(item)
        if name is not None:
            yield name


class Zone(msgspec.Struct, eq=False):
    """A run of the base in which hunks meet; no two zones do."""

    start: int
    end: int
    ours: list[Hunk] = []
    theirs: list[Hunk] = []
    contested: bool = False
    """Whether both sides did something in it, and not the same."""


def meeting(ours: Side, theirs: Side) -> list[Zone]:
    """The zones of two sides' hunks that overlap or touch, in order."""
    marked = [(hunk.start, hunk.end, 0, hunk) for hunk in ours.hunks]
    marked += [(hunk.start, hunk.end, 1, hunk) for hunk in theirs.hunks]
    zones: list[Zone] = []
    for start, end, side, hunk in sorted(marked, key=lambda each: each[:3]):
        if not zones or start > zones[-1].end:
            zones.append(Zone(start, end))
        zone = zones[-1]
        zone.end = max(zone.end, end)
        (zone.theirs if side else zone.ours).append(hunk)
    for zone in zones:
        zone.contested = bool(zone.ours and zone.theirs) and not _alike(zone)
    return zones


class _Zones:
    """Finds the zones of two sides' edits."""

    def __init__(self, merger: Merger, where: Path | None, ours: Side, theirs: Side) -> None:
        self._merger, self._where = merger, where
        self._ours, self._theirs = ours, theirs
        self.all: list[Zone] = []
        """The zones, in order, once `find` has run."""
        self._starts: list[int] = []

    def find(self) -> Asking:
        """Find all zones."""
        self.all = meeting(self._ours, self._theirs)
        self._starts = [zone.start for zone in self.all]
        for side, other in ((self._ours, self._theirs), (self._theirs, self._ours)):
            for at in other.edits:
                if side.lacks(at):
                    self.all[self._of(at)].contested = True
        while True:
            links = yield from self._links()
            if not links:
                return
            self._unite(links)

    def contest(self, at: int) -> bool:
        """Whether a position of the base is in a contested zone."""
        number = self._of(at)
        return number >= 0 and self.all[number].contested and at < self.all[number].end

    def _of(self, at: int) -> int:
        """The number of the zone that has this position of the base."""
        return bisect_right(self._starts, at) - 1

    def _links(self) -> Asking:
        """Zones that have to do with each other, as they have the same item by its id."""
        ours, theirs = self._ours.ids, self._theirs.ids
        pairs = [(at, theirs[name]) for name, at in ours.items() if name in theirs]
        for zone in self.all:
            # Of what both removed alike, one side may have put something in again elsewhere.
            both = zone.contested or (zone.ours and zone.theirs)
            if both and (ours or theirs):
                base = yield from items_of(self._merger, self._where, zone.start, zone.end)
                names = [(at, id_of(item)) for at, item in base.items()]
                for side in (self._ours, self._theirs):
                    pairs += [
                        (at, side.ids[name])
                        for at, name in names
                        if name is not None and name in side.ids and side.lacks(at)
                    ]
        zones = [sorted((self._of(one), self._of(other))) for one, other in pairs]
        return [(low, high) for low, high in zones if low < high]

    def _unite(self, links: list[tuple[int, int]]) -> None:
        """Make one zone of all from the first to the last of each link."""
        united: list[Zone] = []
        reach = dict[int, int]()
        for low, high in links:
            reach[low] = max(high, reach.get(low, 0))
        last = -1
        for number, zone in enumerate(self.all):
            if number <= last:
                into = united[-1]
                into.end, into.contested = zone.end, True
                into.ours += zone.ours
                into.theirs += zone.theirs
            else:
                united.append(zone)
            last = max(last, reach.get(number, -1))
        self.all = united
        self._starts = [zone.start for zone in united]


def _alike(zone: Zone) -> bool:
    """Whether both sides did the same."""
    return len(zone.ours) == len(zone.theirs) and all(
        a.start == b.start and a.removed == b.removed and same(a.items, b.items)
        for a, b in zip(zone.ours, zone.theirs)
    )
