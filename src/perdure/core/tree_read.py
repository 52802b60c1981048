"""Reading trees of pages, whole or in part.

A reader is a generator: it yields the ids of pages that it needs, many at once, and is sent their
payloads by id. It knows nothing of where pages are kept. One that has much to compute yields no ids
now and then (`perdure.core.pieces`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from perdure import limits
from perdure.core.page import (
    Ref,
    Shape,
    packed_keys,
    read_block,
    read_children,
    read_list,
    read_map,
    read_pair,
)
from perdure.errors import Damaged

T = TypeVar("T")

Reading: TypeAlias = Generator[tuple[bytes, ...], Mapping[bytes, bytes], T]
"""A reader of pages at work: yields ids, is sent their payloads by id, returns a `T`."""

PAGES_AT_ONCE = 64
"""Pages that a reader asks for together (pages)."""


def read_root(root: Ref) -> Reading[dict[str, Any]]:
    """The sections of a state, in order: small ones as they are, of others the `Ref`."""
    sections: dict[str, Any] = {}
    yield from _each_leaf(root, lambda ref, payload: sections.update(read_map(payload, ref)))
    if len(sections) != root.count:
        raise Damaged(f"page {root.id.hex()[:12]}: a section is there twice")
    return sections


def newest_pairs(ref: Ref, is_enough: Callable[[dict[str, Any]], bool]) -> Reading[dict[str, Any]]:
    """The pairs of a map from its last page back to the first one that is enough, in order.

    Values that are trees of their own are their `Ref`.

    Raises:
        Damaged: a page is not what the page above says.
    """
    found: list[dict[str, Any]] = []
    for leaf in reversed((yield from all_leaves(ref))):
        payloads = yield (leaf.id,)
        found.append(read_map(payloads[leaf.id], leaf))
        if is_enough(found[-1]):
            break
    return {key: value for page in reversed(found) for key, value in page.items()}


def read_keys(ref: Ref) -> Reading[set[bytes]]:
    """All keys of a map, each as `pack` makes it; no value is decoded.

    Raises:
        Damaged: a page is not what the page above says.
    """
    keys: set[bytes] = set()
    yield from _each_leaf(ref, lambda leaf, payload: keys.update(packed_keys(payload, leaf)))
    return keys


def find_pair(ref: Ref, key: str) -> Reading[tuple[Any] | None]:
    """The value of one key of a map, in a tuple of its own; None: there is no such key.

    A key has no position, so its pages are looked through, newest first, but no other value is
    decoded. One that is a tree of its own is its `Ref`.

    Raises:
        Damaged: a page is not what the page above says.
    """
    leaves = (yield from all_leaves(ref))[::-1]
    for start in range(0, len(leaves), PAGES_AT_ONCE):
        some = leaves[start : start + PAGES_AT_ONCE]
        payloads = yield tuple(leaf.id for leaf in some)
        for leaf in some:
            if found := read_pair(payloads[leaf.id], leaf, key):
                return found
    return None


def read_value(ref: Ref, depth: int = 1) -> Reading[Any]:
    """The value that a tree keeps, whole and plain; `depth` is how many trees it is within.

    Raises:
        Damaged: a page is not what the page above says.
    """
    if depth > limits.depth_max:
        raise Damaged(f"page {ref.id.hex()[:12]}: it is within more trees than a state can have")
    match ref.shape:
        case Shape.LIST:
            return (yield from read_items(ref, 0, ref.count, depth))
        case Shape.MAP:
            pairs: dict[str, Any] = {}
            yield from _each_leaf(ref, lambda leaf, payload: pairs.update(read_map(payload, leaf)))
            if len(pairs) != ref.count:
                raise Damaged(f"page {ref.id.hex()[:12]}: a key is there twice")
            for key in [key for key, value in pairs.items() if type(value) is Ref]:
                pairs[key] = yield from read_value(pairs[key], depth + 1)
            return pairs
    blocks: list[Any] = []
    yield from _each_leaf(ref, lambda leaf, payload: blocks.append(read_block(payload, leaf)))
    if ref.shape is Shape.WHOLE:
        return blocks[0]
    return ("" if ref.shape is Shape.TEXT else b"").join(blocks)


def read_items(ref: Ref, start: int, stop: int, depth: int = 1) -> Reading[list[Any]]:
    """The items of a list from `start` to `stop`, both within it; reads only their pages.

    Raises:
        Damaged: a page is not what the page above says.
    """
    if start >= stop:
        return []
    leaves, first = yield from leaves_between(ref, start, stop)
    items: list[Any] = []
    yield from _each(leaves, lambda leaf, payload: items.extend(read_list(payload, leaf)))
    items = items[start - first : stop - first]
    if ref.trees:
        for at, item in enumerate(items):
            if type(item) is Ref:
                items[at] = yield from read_value(item, depth + 1)
    return items


def leaves_between(ref: Ref, start: int, stop: int) -> Reading[tuple[list[Ref], int]]:
    """The pages of content that hold positions `start` to `stop`, and where the first begins."""
    level, first = [ref], 0
    while level[0].level:
        payloads = yield from payloads_of(level)
        below: list[Ref] = []
        at, begins = first, None
        for parent in level:
            for child in read_children(payloads[parent.id], parent):
                if at < stop and at + child.count > start:
                    begins = at if begins is None else begins
                    below.append(parent.below(child))
                at += child.count
        if not below:
            raise Damaged(f"page {ref.id.hex()[:12]}: nothing is where its counts say")
        level, first = below, cast("int", begins)
    return level, first


def all_leaves(ref: Ref) -> Reading[list[Ref]]:
    """Every page of content of a tree, in order."""
    level = [ref]
    while level and level[0].level:
        payloads = yield from payloads_of(level)
        below: list[Ref] = []
        for parent in level:
            below += map(parent.below, read_children(payloads[parent.id], parent))
            yield ()
        level = below
    return level


def reachable(roots: Iterable[Ref]) -> Reading[set[bytes]]:
    """The ids of all pages that these trees consist of, those of trees within them included.

    Pages of content that refer to nothing are not read.
    """
    found: set[bytes] = set()
    todo = {ref.id: ref for ref in roots}
    while todo:
        found.update(todo)
        reading = [ref for ref in todo.values() if ref.level or ref.trees]
        todo = {}
        for start in range(0, len(reading), PAGES_AT_ONCE):
            some = reading[start : start + PAGES_AT_ONCE]
            payloads = yield tuple(ref.id for ref in some)
            for ref in some:
                below = _below(payloads[ref.id], ref)
                todo.update((each.id, each) for each in below if each.id not in found)
                yield ()
    return found


def _below(payload: bytes, ref: Ref) -> list[Ref]:
    if ref.level:
        return [ref.below(child) for child in read_children(payload, ref)]
    values = read_list(payload, ref) if ref.shape is Shape.LIST else read_map(payload, ref).values()
    return [value for value in values if type(value) is Ref]


def _each_leaf(ref: Ref, take: Any) -> Reading[None]:
    """Give each page of content of a tree to `take(ref, payload)`, in order."""
    yield from _each((yield from all_leaves(ref)), take)


def _each(leaves: Sequence[Ref], take: Any) -> Reading[None]:
    for start in range(0, len(leaves), PAGES_AT_ONCE):
        some = leaves[start : start + PAGES_AT_ONCE]
        payloads = yield tuple(leaf.id for leaf in some)
        for leaf in some:
            take(leaf, payloads[leaf.id])


def payloads_of(refs: Sequence[Ref]) -> Reading[dict[bytes, bytes]]:
    """The payloads of these pages, by id; all of them in memory at once."""
    payloads: dict[bytes, bytes] = {}
    for start in range(0, len(refs), PAGES_AT_ONCE):
        some = refs[start : start + PAGES_AT_ONCE]
        payloads.update((yield tuple(ref.id for ref in some)))
    return payloads


def remembering(reading: Reading[T], pages: dict[bytes, bytes]) -> Reading[T]:
    """The same reading, which finds in `pages` what is there, and puts there what it reads."""
    payloads: Mapping[bytes, bytes] | None = None
    while True:
        try:
            ids = reading.send(payloads)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as stop:
            result: T = stop.value
            return result
        missing = tuple(id_ for id_ in ids if id_ not in pages)
        if missing or not ids:
            pages.update((yield missing) or {})
        payloads = {id_: pages[id_] for id_ in ids}
