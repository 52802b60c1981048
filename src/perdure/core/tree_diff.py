"""What differs between two states that are kept as trees: found by walking both trees together.

Pages have their content's hash for a name. So what two trees have in common is told from the pages
above it, and only pages that one of them has alone are read, and the values that are told. See
`docs/design/0011-diff.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import eq
from typing import Any, TypeVar

import msgspec

from perdure import limits
from perdure.core.diff import (
    Difference,
    differences,
    gaps,
    name_of,
    paired_differences,
    told_of_item,
)
from perdure.core.edited_list import Loose, Page
from perdure.core.matching import ID, NOWHERE, Gap, Id, Step, id_from, id_of, steps, unique
from perdure.core.page import Ref, Shape, read_children, read_list, read_map
from perdure.core.tree_read import Reading, all_leaves, payloads_of, read_value
from perdure.core.values import same
from perdure.errors import Damaged

P = TypeVar("P", Ref, Page)


def diff_trees(before: Ref, after: Ref) -> Reading[list[Difference]]:
    """Every difference between the states that two trees keep, as `diff` tells it of the states.

    Both trees are of one secret.

    Raises:
        Damaged: a page is not what the page above says.
    """
    return (yield from _between((), before, after))


def _between(path: tuple[str | int, ...], a: Any, b: Any) -> Reading[list[Difference]]:
    """What differs between two values at `path`, each plain or the tree that keeps it."""
    if type(a) is Ref and type(b) is Ref:
        if a == b:
            return []
        if a.shape is b.shape is Shape.MAP:
            return (yield from _maps(path, a, b))
        if a.shape is b.shape is Shape.LIST:
            return (yield from diff_lists(path, [a], [b]))
    return list(differences(path, (yield from _whole(a)), (yield from _whole(b))))


def _whole(value: Any) -> Reading[Any]:
    return (yield from read_value(value)) if type(value) is Ref else value


def _equal(a: Any, b: Any) -> bool:
    """Whether two entries of pages are the same: equal values are always kept the same way."""
    if type(a) is Ref or type(b) is Ref:
        return bool(a == b)
    return same(a, b)


def _name(value: Any) -> Hashable:
    return value.id if type(value) is Ref else name_of(value)


def _page_name(page: Page) -> Hashable:
    return page.id or id(page)


# ---- maps -----------------------------------------------------------------------------------

# Keys are unique, so a page of a map is in it once, and what two maps share is the set of pages
# that both have, wherever these stand. A key on a page that is not shared is on no shared one.


def _maps(path: tuple[str | int, ...], a: Ref, b: Ref) -> Reading[list[Difference]]:
    left, right = yield from _apart(a, b)
    shared = {ref.id for ref in left} & {ref.id for ref in right}
    pages = yield from _contents((ref for ref in (*left, *right) if ref.id not in shared), read_map)
    olds, news = _merged(left, pages), _merged(right, pages)
    found: list[Difference] = []
    for key, value in olds.items():
        if key in news:
            found += yield from _between((*path, key), value, news[key])
        else:
            found.append(Difference((*path, key), "removed", (yield from _whole(value)), None))
    for key, value in news.items():
        if key not in olds:
            found.append(Difference((*path, key), "added", None, (yield from _whole(value))))
    if _order(left, pages, news) != _order(right, pages, olds):
        were, are = (yield from _keys(a)), (yield from _keys(b))
        both = were.keys() & are.keys()
        old, new = ([key for key in keys if key in both] for keys in (were, are))
        found.append(Difference(path, "moved", old, new))
    return found


def _apart(a: Ref, b: Ref) -> Reading[tuple[list[Ref], list[Ref]]]:
    """Two maps as trees in order: those that both have, and pages of content that one has alone."""
    left, right = [a], [b]
    while True:
        shared = {ref.id for ref in left} & {ref.id for ref in right}
        alone = [ref for ref in (*left, *right) if ref.id not in shared]
        level = max((ref.level for ref in alone), default=0)
        if not level:
            return left, right
        above = [ref for ref in alone if ref.level == level]
        payloads = yield from payloads_of(above)
        left, right = _opened(left, payloads), _opened(right, payloads)


def _opened(refs: Iterable[P], payloads: dict[bytes, bytes]) -> list[P]:
    """The same trees, and in the place of those whose page is here, the trees below."""
    found: list[P] = []
    for ref in refs:
        payload = payloads.get(ref.id)
        if payload is None or not isinstance(ref, Ref):
            found.append(ref)
        else:
            found += map(ref.below, read_children(payload, ref))
    return found


def _contents(refs: Iterable[Ref], read: Callable[[bytes, Ref], Any]) -> Reading[dict[bytes, Any]]:
    """What pages of content hold, by id; each is read once."""
    unique = {ref.id: ref for ref in refs}
    payloads = yield from payloads_of(list(unique.values()))
    return {id_: read(payloads.pop(id_), ref) for id_, ref in unique.items()}


def _merged(refs: Sequence[Ref], pages: dict[bytes, dict[str, Any]]) -> dict[str, Any]:
    """The pairs on those of the pages that were read, in order."""
    read = [ref for ref in refs if ref.id in pages]
    pairs: dict[str, Any] = {}
    for ref in read:
        pairs.update(pages[ref.id])
    if len(pairs) != sum(ref.count for ref in read):
        raise Damaged("a map: a key is there twice")
    return pairs


def _order(
    refs: Iterable[Ref], pages: dict[bytes, dict[str, Any]], others: dict[str, Any]
) -> list[str | bytes]:
    """How the keys that both maps have stand in one; those of a shared tree go by its id."""
    order: list[str | bytes] = []
    for ref in refs:
        pairs = pages.get(ref.id)
        order += [ref.id] if pairs is None else [key for key in pairs if key in others]
    return order


def _keys(ref: Ref) -> Reading[dict[str, None]]:
    """All keys of a map, in order."""
    leaves = yield from all_leaves(ref)
    return dict.fromkeys(_merged(leaves, (yield from _contents(leaves, read_map))))


# ---- lists ----------------------------------------------------------------------------------


class _Stretch(msgspec.Struct, frozen=True):
    """Pages of content of two lists that stand between equal ones."""

    a_at: int
    """Where they begin in the one list (items)."""
    a: list[Page]
    b_at: int
    b: list[Page]
    following: list[Page]
    """What comes next in both."""


def diff_lists(
    path: tuple[str | int, ...], a: Sequence[Page], b: Sequence[Page]
) -> Reading[list[Difference]]:
    """Every difference between two lists at `path`, each given as its parts in order.

    Raises:
        Damaged: a page is not what the page above says.
    """
    gaps_found: list[Gap] = []
    old: dict[int, Any] = {}
    new: dict[int, Any] = {}
    for stretch in (yield from _stretches(_Stretch(0, [*a], 0, [*b], []))):
        gaps_found += yield from _gaps(stretch, old, new)
    ids = (yield from _ids(old)), (yield from _ids(new))
    found: list[Difference] = []
    for step in steps(gaps_found, *ids):
        found += yield from _told(path, step, old, new)
    return found


def _stretches(within: _Stretch) -> Reading[list[_Stretch]]:
    """Where two lists differ, down to pages of content."""
    while True:
        within = _stripped(within)
        parts = _parts(within)
        if len(parts) > 1:
            found: list[_Stretch] = []
            for part in parts:
                found += yield from _stretches(part)
            return found
        level = max((ref.level for ref in (*within.a, *within.b)), default=0)
        if not level:
            return [within]
        above = [ref for ref in _refs(within.a, within.b) if ref.level == level]
        payloads = yield from payloads_of(above)
        a, b = _opened(within.a, payloads), _opened(within.b, payloads)
        within = _Stretch(within.a_at, a, within.b_at, b, within.following)


def _stripped(within: _Stretch) -> _Stretch:
    """A stretch without the trees that both lists begin with, and end with."""
    a, b = within.a, within.b
    head, shorter = 0, min(len(a), len(b))
    while head < shorter and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    before, end = _count(a[:head]), len(a) - tail
    return _Stretch(
        within.a_at + before,
        a[head:end],
        within.b_at + before,
        b[head : len(b) - tail],
        [*a[end:], *within.following],
    )


def _parts(within: _Stretch) -> list[_Stretch]:
    """A long stretch, cut by the trees in it that both lists have."""
    size = max(sum(ref.bytes for ref in refs) for refs in (within.a, within.b))
    if size <= limits.diff_items_bytes_max:
        return [within]
    return [
        _Stretch(
            within.a_at + _count(within.a[:a_start]),
            within.a[a_start:a_end],
            within.b_at + _count(within.b[:b_start]),
            within.b[b_start:b_end],
            [],
        )
        for a_start, a_end, b_start, b_end in gaps(within.a, within.b, eq, _page_name)
    ]


def _count(pages: Iterable[Page]) -> int:
    return sum(page.count for page in pages)


def _refs(*lists: Iterable[Page]) -> list[Ref]:
    """Those parts of lists that are trees."""
    return [page for pages in lists for page in pages if isinstance(page, Ref)]


def _items(pages: Iterable[Page], read: dict[bytes, list[Any]]) -> list[Any]:
    """The items of parts that are in memory, or were read."""
    return [
        item
        for page in pages
        for item in (page.items if isinstance(page, Loose) else read[page.id])
    ]


def _gaps(within: _Stretch, old: dict[int, Any], new: dict[int, Any]) -> Reading[list[Gap]]:
    """Where the items of a stretch differ; those that do are put in `old` and `new`."""
    pages = yield from _contents(_refs(within.a, within.b), read_list)
    a, b = _items(within.a, pages), _items(within.b, pages)
    yield from _run_on(a, b, within.following)
    found: list[Gap] = []
    a_at, b_at = within.a_at, within.b_at
    for a_start, a_end, b_start, b_end in gaps(a, b, _equal, _name):
        old.update(enumerate(a[a_start:a_end], a_at + a_start))
        new.update(enumerate(b[b_start:b_end], b_at + b_start))
        found.append((a_at + a_start, a_at + a_end, b_at + b_start, b_at + b_end))
    return found


def _ids(items: dict[int, Any]) -> Reading[dict[int, Id]]:
    """The unique ids of items, by position."""
    ids: dict[int, Id | None] = {}
    for at, item in items.items():
        ids[at] = (yield from _id_in(item)) if type(item) is Ref else id_of(item)
    return unique(ids)


def _id_in(ref: Ref) -> Reading[Id | None]:
    """The id of an item that is a tree; no page is read after that which has it."""
    todo = [ref] if ref.shape is Shape.MAP else []
    while todo:
        ref = todo.pop()
        payloads = yield from payloads_of([ref])
        if ref.level:
            todo += map(ref.below, reversed(read_children(payloads[ref.id], ref)))
            continue
        pairs = read_map(payloads[ref.id], ref)
        if ID in pairs:
            return id_from((yield from _whole(pairs[ID])))
    return None


def _told(
    path: tuple[str | int, ...], step: Step, old: dict[int, Any], new: dict[int, Any]
) -> Reading[list[Difference]]:
    """What is told of one item."""
    if step.at == NOWHERE:
        added = yield from _whole(new[step.to])
        return [Difference((*path, step.to), "added", None, added)]
    if step.to == NOWHERE:
        removed = yield from _whole(old[step.at])
        return [Difference((*path, step.at), "removed", removed, None)]
    return (yield from _item((*path, step.to), step, old[step.at], new[step.to]))


def _run_on(a: list[Any], b: list[Any], following: Sequence[Page]) -> Reading[None]:
    """Add what follows in both lists, as long as one may have been put in or taken out of it.

    Of ["x", "y"] and ["x", "x", "y"] the second "x" is the new one: where two lists begin to differ
    is not always where their pages do.
    """
    head, todo = 0, [*reversed(following)]
    while True:
        shorter = min(len(a), len(b))
        while head < shorter and _equal(a[head], b[head]):
            head += 1
        if head < shorter or not todo or len(a) == len(b) == head:
            return
        page = todo.pop()
        pages: dict[bytes, list[Any]] = {}
        if isinstance(page, Ref):
            payload = (yield (page.id,))[page.id]
            if page.level:
                todo += map(page.below, reversed(read_children(payload, page)))
                continue
            pages[page.id] = read_list(payload, page)
        items = _items([page], pages)
        a += items
        b += items


def _item(path: tuple[str | int, ...], step: Step, a: Any, b: Any) -> Reading[list[Difference]]:
    """What differs between an item and what it was."""
    trees = type(a) is Ref and type(b) is Ref and a.shape is b.shape
    if trees and (step.how != "place" or (yield from _are_akin(a, b))):
        return list(told_of_item(path, step, (yield from _between(path, a, b))))
    was, now = (yield from _whole(a)), (yield from _whole(b))
    return list(paired_differences(path, step, was, now))


def _are_akin(a: Ref, b: Ref) -> Reading[bool]:
    """Whether this is told by the pages that both have, or that they are lists."""
    if a.shape is not Shape.MAP:
        return a.shape is Shape.LIST
    left, right = yield from _apart(a, b)
    return not {ref.id for ref in left}.isdisjoint(ref.id for ref in right)
