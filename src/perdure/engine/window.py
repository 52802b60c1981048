"""Parts of a long list: read from the pages that hold them, without the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from perdure.core.changes import Change, Members, Splice, apply, copies
from perdure.core.head import Head
from perdure.core.page import Ref, Shape
from perdure.core.pieces import at_once
from perdure.core.tree_read import read_items
from perdure.core.values import take
from perdure.core.windows import LIST, Changed, Run, Window, before_window
from perdure.engine.load import Loaded, use_unread, value_of
from perdure.engine.pages import walk
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.engine.unread import Unread

FIRST_LOOK = 32
"""Items that are read at first when a window is measured by what is in them (items)."""

GAP = 256
"""Stored items between two that are wanted which are rather read than passed over (items)."""


class Front(msgspec.Struct, frozen=True):
    """What comes before the window of a list that was read whole."""

    items: list[Any]


Elsewhere: TypeAlias = dict[str, "Unread | Front"]
"""What is not in the live tree: sections that were not loaded, and what comes before windows."""


def length(unread: Unread) -> int | None:
    """How many items, pairs or characters a section holds; None if only its pages tell.

    Raises:
        TypeError: it has no length.
    """
    if type(unread.base) is not Ref:
        return len(at_once(unread.making(unread.own_base())))
    shape, changes = unread.base.shape, unread.changes()
    if shape in (Shape.LIST, Shape.TEXT, Shape.BYTES):
        grown = (
            len(change.items) - change.removed
            for change in changes
            if isinstance(change, Splice) and len(change.path) == 1
        )
        return unread.base.count + sum(grown)
    if shape is Shape.MAP and not any(_may_add_or_remove(change) for change in changes):
        return unread.base.count
    return None


def _may_add_or_remove(change: Change) -> bool:
    """Whether a change to a mapping may be one of its keys."""
    return len(change.path) < 3 and not isinstance(change, Splice | Members)


def opened(
    site: Site, loaded: Loaded, branch: str, windows: Mapping[str, int]
) -> Steps[tuple[dict[str, Any], Elsewhere]]:
    """The sections of a state that was loaded, some lists as windows of their last items.

    A section that is no list is whole. What is not among the sections comes beside them.
    """
    sections = dict(loaded.sections)
    unread = {name: value for name, value in sections.items() if type(value) is Unread}
    fronts: dict[str, Front] = {}
    for name, count in windows.items():
        value = sections.get(name)
        if type(value) is Unread:
            value = yield from _tail(site, loaded.head, branch, name, unread, count)
        if isinstance(value, list):
            # It was in the tail, or is short: what precedes the window is here already.
            offset = max(len(value) - count, 0)
            fronts[name] = Front(value[:offset])
            value = Window(value[offset:], offset)
        if name in sections:
            sections[name] = value
    return sections, {**unread, **fronts}


def _tail(
    site: Site, head: Head, branch: str, name: str, unread: dict[str, Unread], count: int
) -> Steps[Any]:
    """The last items of a list as a `Window`; the value of anything else."""

    def windowed(kept: Unread) -> Steps[Any]:
        if kept.in_parts is None:
            return (yield from value_of(site, head.incarnation, kept))
        now = _changed(kept.in_parts, kept)
        begin = max(len(now) - count, 0)
        reading = _read(site, head, kept.in_parts, now.between(begin, len(now)))
        return Window((yield from reading), begin)

    return (yield from use_unread(site, head, branch, name, unread, windowed, lambda value: value))


def part(
    site: Site,
    head: Head,
    branch: str,
    name: str,
    elsewhere: Elsewhere,
    start: int,
    stop: int,
) -> Steps[list[Any]]:
    """Items of a list that are not in the live tree, from `start` to `stop`; the caller's own."""
    kept = elsewhere[name]
    if isinstance(kept, Front):
        copied: list[Any] = take(kept.items[start:stop])
        return copied
    unread = {name: kept}
    items: list[Any] = yield from use_unread(
        site,
        head,
        branch,
        name,
        unread,
        lambda now: _between(site, head, now, start, stop),
        lambda value: value[start:stop],
    )
    elsewhere[name] = unread[name]
    return items


def fit(items: list[Any], tokens: int, count: Callable[[Any], int]) -> tuple[list[Any], int]:
    """The last of `items` whose counts together are at most `tokens`, and what is left of these.

    Example:
        >>> fit(["a", "bb", "ccc"], 6, len)
        (['bb', 'ccc'], 1)
    """
    left = tokens
    for at in range(len(items) - 1, -1, -1):
        counted = count(items[at])
        if counted > left:
            return items[at + 1 :], left
        left -= counted
    return items, left


def take_before(elsewhere: Elsewhere, name: str, change: Change, offset: int) -> None:
    """Note somebody's change to a list of which only a window is live, `offset` items before it."""
    seen, kept = before_window(change, offset), elsewhere[name]
    if seen is None:
        return
    if isinstance(kept, Front):
        holder = {LIST: kept.items}
        apply(holder, copies([msgspec.structs.replace(seen, path=(LIST, *seen.path[1:]))]))
    else:
        kept.news.append(seen)


def _between(site: Site, head: Head, kept: Unread, start: int, stop: int) -> Steps[list[Any]]:
    """Items of a list that was not loaded, as they are with what changed in it since."""
    ref = kept.in_parts
    if ref is None:
        whole: list[Any] = yield from value_of(site, head.incarnation, kept)
        return whole[start:stop]
    return (yield from _read(site, head, ref, _changed(ref, kept).between(start, stop)))


def _changed(ref: Ref, kept: Unread) -> Changed:
    """The list as it is with what changed in it since."""
    now = Changed(ref.count)
    now.apply(kept.changes())
    return now


def _read(site: Site, head: Head, ref: Ref, runs: list[Run]) -> Steps[list[Any]]:
    """The items of these runs, those that are stored read from their pages."""
    ranges = _ranges(runs)
    found: list[list[Any]] = []
    for low, high in ranges:
        found.append((yield from walk(site, head.incarnation, read_items(ref, low, high))))
    items: list[Any] = []
    at = 0
    for run in runs:
        if run.items is not None:
            items += run.items
            continue
        while run.start >= ranges[at][1]:  # stored items keep their order
            at += 1
        begin = run.start - ranges[at][0]
        items += _edited(found[at][begin : begin + run.count], run)
    return items


def _edited(items: list[Any], run: Run) -> list[Any]:
    if run.changes:
        apply({LIST: items}, copies(run.changes))
    return items


def _ranges(runs: list[Run]) -> list[tuple[int, int]]:
    """The stored items to be read for these runs; those near to each other together."""
    ranges: list[tuple[int, int]] = []
    for run in runs:
        if run.items is not None:
            continue
        if ranges and run.start - ranges[-1][1] <= GAP:
            ranges[-1] = ranges[-1][0], run.start + run.count
        else:
            ranges.append((run.start, run.start + run.count))
    return ranges
