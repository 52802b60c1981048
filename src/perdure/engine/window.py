"""Parts of a long list: read from the pages that hold them, without the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.core.changes import Splice
from perdure.core.head import Head
from perdure.core.page import Shape
from perdure.core.tree_read import read_items
from perdure.core.values import take
from perdure.core.windows import Tail, Window, front_of
from perdure.engine.load import Loaded, Unread, read_section
from perdure.engine.pages import walk
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.errors import Damaged

FIRST_LOOK = 32
"""Items that are read at first when a window is measured by what is in them (items)."""


def length(unread: Unread) -> int:
    """How many items, pairs or characters a section holds; no page is read for it."""
    grown = (
        len(change.items) - change.removed
        for change in unread.changes
        if isinstance(change, Splice) and len(change.path) == 1
    )
    assert unread.ref is not None
    return unread.ref.count + sum(grown)


def tail(
    site: Site, head: Head, branch: str, name: str, unread: Unread, count: int
) -> Steps[Window]:
    """The last `count` items of a list, as many as there are."""
    assert unread.ref is not None
    if unread.ref.shape is not Shape.LIST:
        value = yield from read_section(site, head, branch, name, unread)
        return Window(value, 0)
    reach = count
    while True:
        begin = max(unread.ref.count - reach, 0)
        found = yield from _from(site, head, branch, name, unread, begin)
        if not found.offset or len(found.items) >= count:
            break
        reach *= 2  # much was removed since the snapshot
    surplus = max(len(found.items) - count, 0)
    return Window(found.items[surplus:], found.offset + surplus)


def opened(
    site: Site, loaded: Loaded, branch: str, windows: Mapping[str, int]
) -> Steps[dict[str, Any]]:
    """The sections of a state that was loaded, some lists as windows of their last items."""
    sections = dict(loaded.sections)
    for name, count in windows.items():
        value = sections.get(name)
        if type(value) is Unread:
            sections[name] = yield from tail(site, loaded.head, branch, name, value, count)
        elif isinstance(value, list) and len(value) > count:
            offset = len(value) - count
            sections[name] = Window(value[offset:], offset)
            # It was in the tail, or is short: what precedes the window is here already.
            loaded.sections[name] = Unread(0, None, [], value[:offset])
    return sections


def part(
    site: Site, head: Head, branch: str, name: str, unread: Unread, start: int, stop: int
) -> Steps[list[Any]]:
    """The items from `start` to `stop`, as a slice of the whole list would give them."""
    if unread.front is not None:
        copies: list[Any] = take(unread.front[start:stop])
        return copies
    assert unread.ref is not None
    front = front_of(unread.changes)
    unchanged = unread.ref.count if front is None else min(front, unread.ref.count)
    if unread.ref.shape is Shape.LIST and stop <= unchanged:
        try:
            return (yield from walk(site, head.incarnation, read_items(unread.ref, start, stop)))
        except Damaged:
            pass  # read from what can be read
    found = yield from tail(site, head, branch, name, unread, max(length(unread) - start, 0))
    items: list[Any] = found.items[max(start - found.offset, 0) : max(stop - found.offset, 0)]
    return items


def fit(items: list[Any], tokens: int, count: Callable[[Any], int]) -> list[Any]:
    """The last of `items` whose counts together are at most `tokens`."""
    left = tokens
    for at in range(len(items) - 1, -1, -1):
        left -= count(items[at])
        if left < 0:
            return items[at + 1 :]
    return items


def _from(
    site: Site, head: Head, branch: str, name: str, unread: Unread, begin: int
) -> Steps[Tail]:
    """The list from position `begin` of its snapshot on, with what changed since."""
    ref = unread.ref
    assert ref is not None
    try:
        items = yield from walk(site, head.incarnation, read_items(ref, begin, ref.count))
    except Damaged:
        return Tail((yield from read_section(site, head, branch, name, unread)), 0)
    found = Tail(items, begin)
    found.apply(unread.changes)
    return found
