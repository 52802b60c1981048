"""Merging three versions of one run of a list, item by item.

Items are told apart by tags: their position in the base if they were there, else their id, else a
tag of their own. An item that a side took out and put in again under its id has the old tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from perdure.core.delta import ABSENT, Asking, Put
from perdure.core.delta_between import id_of
from perdure.core.merge_rules import Unfit
from perdure.core.paths import Path
from perdure.core.values import same

if TYPE_CHECKING:
    from perdure.core.merge import Merger

Base: TypeAlias = dict[int, Any]
"""Items of the base by their position."""

Run: TypeAlias = list[tuple[int | None, Any]]
"""Items of a side; with each the position in the base of which it stayed."""

Tag: TypeAlias = int | tuple[str, str | int]
Tagged: TypeAlias = dict[Tag, Any]


class Place(msgspec.Struct, eq=False):
    """Where a run is."""

    where: Path | None
    """The path of its list in the base."""
    path: Path
    """The path of its list in our state."""
    start: int
    """Its first item's position in our list."""


def merge_runs(merger: Merger, place: Place, base: Base, ours: Run, theirs: Run) -> Asking:
    """Merge what both sides made of one run of a list; conflicts go to `merger`.

    Returns:
        The items of the merged run.
    """
    mine, others = _tagged(ours, base, "ours"), _tagged(theirs, base, "theirs")
    skeleton = _skeleton(mine, others)
    strategy = merger.rules.of_run(place.path, place.start).strategy
    if strategy != "append" and (skeleton is None or _overlap(base, mine, others)):
        return _decided(merger, place, base, mine, others)
    if skeleton is others:
        order = list(_woven(others, mine, ours_first=True))
    else:
        order = list(_woven(mine, others, ours_first=False))
    found = []
    positions = {tag: place.start + at for at, tag in enumerate(mine)}
    for tag in order:
        values = base.get(tag, ABSENT) if type(tag) is int else ABSENT, *_of(tag, mine, others)
        value = yield from _item(merger, place, tag, positions, values)
        if value is not ABSENT:
            found.append(value)
    return found


def _tagged(run: Run, base: Base, side: str) -> Tagged:
    ids = {id_of(item): at for at, item in reversed(base.items())}
    stayed = {origin for origin, _ in run}
    found: Tagged = {}
    for number, (origin, value) in enumerate(run):
        tag: Tag | None = origin
        if tag is None and (name := id_of(value)) is not None:
            tag = ids.get(name)
            if tag is None or tag in stayed:
                tag = ("id", name)
        if tag is None or tag in found:
            tag = (side, number)
        found[tag] = value
    return found


def _overlap(base: Base, mine: Tagged, others: Tagged) -> bool:
    """Whether something came on one side where something came or went on the other."""
    came = [any(_is_new(tag, b) for tag in a) for a, b in ((mine, others), (others, mine))]
    went = [any(at not in side for at in base) for side in (mine, others)]
    return (came[0] and (came[1] or went[1])) or (came[1] and went[0])


def _is_new(tag: Tag, other: Tagged) -> bool:
    return type(tag) is tuple and tag not in other


def _skeleton(mine: Tagged, others: Tagged) -> Tagged | None:
    """The side whose order counts: the one that moved items; None if both did, differently."""
    if [tag for tag in mine if tag in others] == [tag for tag in others if tag in mine]:
        return mine
    if not _in_order(others):
        return others if _in_order(mine) else None
    return mine


def _in_order(run: Tagged) -> bool:
    positions = [tag for tag in run if type(tag) is int]
    return positions == sorted(positions)


def _woven(skeleton: Tagged, other: Tagged, *, ours_first: bool) -> Iterator[Tag]:
    """All tags in the order of one side, each that only the other has after what it follows there.

    Args:
        skeleton: the side whose order counts.
        other: the other one.
        ours_first: where both have new ones, whether those of `other` are ours and go first.
    """
    following: dict[Tag | None, list[Tag]] = {}
    anchor: Tag | None = None
    for tag in other:
        if tag in skeleton:
            anchor = tag
        else:
            following.setdefault(anchor, []).append(tag)
    held = following.get(None, [])
    for tag in skeleton:
        if held and (ours_first or not _is_new(tag, other)):
            yield from held
            held = []
        yield tag
        held = held + following.get(tag, [])
    yield from held


def _of(tag: Tag, mine: Tagged, others: Tagged) -> tuple[Any, Any]:
    return mine.get(tag, ABSENT), others.get(tag, ABSENT)


def _item(
    merger: Merger, place: Place, tag: Tag, positions: dict[Tag, int], values: tuple[Any, Any, Any]
) -> Asking:
    """What becomes of one item, which may be absent in the base or on a side."""
    base, ours, theirs = values
    if same(theirs, base):
        return ours
    if same(ours, base):
        return theirs
    here = (*place.path, positions[tag] if tag in positions else _was(tag, positions, place))
    if ours is ABSENT or theirs is ABSENT:
        return merger.decided(here, base, ours, theirs)
    where = None
    if type(tag) is int and place.where is not None:
        where = (*place.where, tag)
        merger.known[where] = base
    return (yield from merger.apart(where, here, Put(ours), Put(theirs)))


def _was(tag: Tag, positions: dict[Tag, int], place: Place) -> int:
    """Where an item that we removed would be."""
    before = [at for each, at in positions.items() if _precedes(each, tag)]
    return max(before, default=place.start - 1) + 1


def _precedes(one: Tag, other: Tag) -> bool:
    return isinstance(one, int) and isinstance(other, int) and one < other


def _decided(merger: Merger, place: Place, base: Base, mine: Tagged, others: Tagged) -> list[Any]:
    """Let the strategy decide about the runs as wholes."""
    runs = list(base.values()), list(mine.values()), list(others.values())
    here = (*place.path, place.start)
    strategy = merger.rules.of_run(place.path, place.start).strategy
    try:
        if strategy == "error":
            raise Unfit("both sides changed this run of the list")
        if strategy == "counter":
            raise Unfit('"counter" does not fit a run of a list')
        found = merger.combined(here, strategy, *runs)
        if type(found) is not list:
            raise Unfit(f"the function gave no list for a run of one, but {type(found).__name__}")
    except Unfit as unfit:
        merger.conflict(here, *runs, str(unfit), run=True)
        return runs[1]
    return found
