"""Trees of pages: building one from a value. See `docs/design/0008-pages.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from perdure import limits
from perdure.core.codec import pack
from perdure.core.cut import INNER, LEAVES, first_cut
from perdure.core.page import (
    Child,
    Placed,
    Ref,
    Shape,
    inner_payload,
    leaf_payload,
    page_id,
    shape_of,
)
from perdure.core.pieces import Meter, Pieces, at_once

_encode = msgspec.msgpack.Encoder().encode
_NIL = b"\xc0"


class Built(msgspec.Struct, frozen=True):
    """A tree, and the pages of it that were made."""

    root: Ref
    pages: dict[bytes, bytes]
    """Payloads by id."""


def build(sections: Mapping[str, Any], secret: bytes) -> Built:
    """The tree of a state, from its sections.

    Example:
        >>> built = build({"messages": ["hello"]}, bytes(32))
        >>> built.root.count, len(built.pages)
        (1, 1)
    """
    return at_once(building(sections, secret))


def building(sections: Mapping[str, Any], secret: bytes) -> Pieces[Built]:
    """The same, in pieces."""
    builder = Builder(secret)
    root = yield from builder.root(sections)
    return Built(root, builder.pages)


class Builder:
    """Makes pages, each once."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.pages: dict[bytes, bytes] = {}
        self.meter = Meter()
        """Counts the values that were packed."""

    def root(self, sections: Mapping[str, Any]) -> Pieces[Ref]:
        """The tree of a whole state, which is never inline."""
        pairs = yield from self.pairs(sections, limits.section_inline_bytes_max)
        leaves = yield from self.leaves(pairs, Shape.MAP)
        return (yield from self.top(Shape.MAP, leaves or [self.leaf(pairs, Shape.MAP)]))

    def inline(self, value: Any, inline_bytes_max: int) -> bytes | None:
        """A value as it stands in a page, packed; None if it has a tree of its own."""
        if isinstance(value, dict | list) and _is_longer(value, inline_bytes_max):
            return None
        packed = pack(value)
        return packed if len(packed) <= inline_bytes_max else None

    def entry(self, value: Any, inline_bytes_max: int) -> Pieces[bytes | Ref]:
        """A value as it stands in a page: packed, or the tree that it has of its own.

        A tree that is there already stands for itself.
        """
        if type(value) is Ref:
            return value
        packed = self.inline(value, inline_bytes_max)
        return packed if packed is not None else (yield from self.tree(value))

    def tree(self, value: Any) -> Pieces[Ref]:
        """The tree that keeps `value`."""
        shape = shape_of(value)
        match shape:
            case Shape.LIST:
                items = yield from self.items(value)
                children = yield from self.leaves(items, shape)
            case Shape.MAP:
                pairs = yield from self.pairs(value, limits.inline_bytes_max)
                children = yield from self.leaves(pairs, shape)
            case Shape.WHOLE:
                children = [self.block(shape, value, 1)]
            case _:
                children = yield from self.blocks(shape, value)
        return (yield from self.top(shape, children))

    # ---- entries --------------------------------------------------------------------------

    def items(self, values: Iterable[Any]) -> Pieces[Entries]:
        """The items of a list, as its pages keep them."""
        entries = Entries()
        inline, append, is_full = self.inline, entries.packed.append, self.meter.is_full
        for value in values:
            packed = inline(value, limits.inline_bytes_max) if type(value) is not Ref else None
            if packed is None:
                yield from self.add(entries, None, value, limits.inline_bytes_max)
                continue
            # Written out here: nearly all items are inline, and lists are what is long.
            append(packed)
            if is_full(len(packed)):
                yield ()
        return entries

    def pairs(self, values: Mapping[str, Any], inline_bytes_max: int) -> Pieces[Entries]:
        """The pairs of a map, as its pages keep them."""
        entries = Entries()
        for key, value in values.items():
            yield from self.add(entries, key, value, inline_bytes_max)
        return entries

    def add(
        self, entries: Entries, key: str | None, value: Any, inline_bytes_max: int
    ) -> Pieces[None]:
        """One more value; `key` of a pair."""
        entry = yield from self.entry(value, inline_bytes_max)
        size = entries.add(key, entry)
        if self.meter.is_full(size):
            yield ()

    # ---- pages ----------------------------------------------------------------------------

    def leaves(self, entries: Entries, shape: Shape) -> Pieces[list[Child]]:
        """All pages of content of a tree, from its first entry to its last."""
        children: list[Child] = []
        start, end = 0, len(entries.packed)
        while start < end:
            count = yield from self.cut(entries, start)
            stop = start + count if count else end
            children.append(self.leaf(entries.part(start, stop), shape))
            yield ()
            start = stop
        return children

    def cut(self, entries: Entries, start: int = 0) -> Pieces[int]:
        """How many entries from `start` on make a page that ends; 0 if it goes on after them."""
        return first_cut(entries.packed, start, self._secret, LEAVES)

    def leaf(self, entries: Entries, shape: Shape) -> Child:
        """One page of items or pairs."""
        count, body = len(entries.packed), entries.body()
        fields = count * (2 if shape is Shape.MAP else 1)
        payload = leaf_payload(shape, array_header(fields) + body, entries.placed())
        # A tree counts with its content, not with the nil in its place.
        size = len(body) + sum(ref.bytes - len(_NIL) for _, ref in entries.trees.values())
        return Child(self.keep(payload), count, size, len(entries.trees))

    def blocks(self, shape: Shape, value: Any) -> Pieces[list[Child]]:
        """The pages of a long text or bytes."""
        children: list[Child] = []
        for start in range(0, len(value), limits.block_max):
            block = value[start : start + limits.block_max]
            children.append(self.block(shape, block, len(block)))
            yield ()
        return children

    def block(self, shape: Shape, value: Any, count: int) -> Child:
        """One page of a long text or bytes, or of a value that is kept whole."""
        packed = pack(value)
        match shape:
            case Shape.TEXT:
                size = len(value.encode("utf-8", "surrogatepass"))
            case Shape.BYTES:
                size = count
            case _:
                size = len(packed)
        return Child(self.keep(leaf_payload(shape, packed)), count, size)

    def top(self, shape: Shape, children: Sequence[Child]) -> Pieces[Ref]:
        """The tree over these pages of content: pages of references, until one is left."""
        level = 0
        while len(children) > 1:
            level += 1
            children = yield from self._above(shape, level, children)
        (child,) = children
        return Ref(shape, child.id, level, child.count, child.bytes, child.trees)

    def _above(self, shape: Shape, level: int, children: Sequence[Child]) -> Pieces[list[Child]]:
        packed: list[bytes] = []
        for child in children:
            packed.append(_encode(child))
            if self.meter.is_full():
                yield ()
        above: list[Child] = []
        start = 0
        while start < len(children):
            found = yield from first_cut(packed, start, self._secret, INNER)
            # Two at least, or a level would not be smaller than the one below it.
            count = max(found or len(children), 2)
            above.append(self._inner(shape, level, children[start : start + count]))
            start += count
            yield ()
        return above

    def _inner(self, shape: Shape, level: int, group: Sequence[Child]) -> Child:
        """One page of references."""
        return Child(
            self.keep(inner_payload(shape, level, group)),
            sum(child.count for child in group),
            sum(child.bytes for child in group),
            sum(child.trees for child in group),
        )

    def keep(self, payload: bytes) -> bytes:
        """Keep a page; its id."""
        id_ = page_id(payload, self._secret)
        self.pages[id_] = payload
        return id_


class Entries:
    """Packed items or pairs in order, some of which are trees of their own."""

    __slots__ = ("packed", "trees")

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        """What cuts are decided by: of a tree, the reference."""
        self.trees: dict[int, tuple[bytes, Ref]] = {}
        """By position: what stands before the value (a pair's key), and the tree."""

    def add(self, key: str | None, entry: bytes | Ref) -> int:
        """One more; `key` of a pair. How long it is, packed (bytes)."""
        before = b"" if key is None else pack(key)
        if type(entry) is Ref:
            self.trees[len(self.packed)] = before, entry
            entry = _encode(entry)
        packed: bytes = before + entry  # type: ignore[operator]  # it is bytes by now
        self.packed.append(packed)
        return len(packed)

    def part(self, start: int, stop: int) -> Entries:
        """Those from `start` to `stop`."""
        part = Entries()
        part.packed = self.packed[start:stop]
        if self.trees:
            inside = (at for at in self.trees if start <= at < stop)
            part.trees = {at - start: self.trees[at] for at in inside}
        return part

    def body(self) -> bytes:
        """The packed values in order, nil where a tree is referred to."""
        if not self.trees:
            return b"".join(self.packed)
        packed = list(self.packed)
        for at, (key, _) in self.trees.items():
            packed[at] = key + _NIL
        return b"".join(packed)

    def placed(self) -> list[Placed]:
        """The trees among them."""
        return [Placed(at, ref) for at, (_, ref) in sorted(self.trees.items())]


def _is_longer(value: Any, size: int) -> bool:
    """Whether these containers are longer than `size` for certain, once they are packed (bytes).

    So that what is kept as a tree anyway is not packed as a whole first: that takes as long as it
    is large.
    """
    todo, left = [value], size
    while todo:
        value = todo.pop()
        left -= len(value)
        if left < 0:
            return True
        for each in value.values() if isinstance(value, dict) else value:
            kind = type(each)
            if kind is str or kind is bytes:
                left -= len(each)
            elif isinstance(each, dict | list):
                todo.append(each)
    return left < 0


def array_header(count: int) -> bytes:
    """What the bytes of an array of `count` begin with."""
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
