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
    builder = Builder(secret)
    return Built(builder.root(sections), builder.pages)


class Builder:
    """Makes pages, each once."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.pages: dict[bytes, bytes] = {}

    def root(self, sections: Mapping[str, Any]) -> Ref:
        """The tree of a whole state, which is never inline."""
        pairs = self.pairs(sections, limits.section_inline_bytes_max)
        return self.top(Shape.MAP, self.leaves(pairs, Shape.MAP) or [self.leaf(pairs, Shape.MAP)])

    def entry(self, value: Any, inline_bytes_max: int) -> bytes | Ref:
        """A value as it stands in a page: packed, or the tree that it has of its own.

        A tree that is there already stands for itself.
        """
        if type(value) is Ref:
            return value
        if isinstance(value, dict | list) and len(value) > inline_bytes_max:
            return self.tree(value)
        packed = pack(value)
        return packed if len(packed) <= inline_bytes_max else self.tree(value)

    def tree(self, value: Any) -> Ref:
        """The tree that keeps `value`."""
        shape = shape_of(value)
        match shape:
            case Shape.LIST:
                children = self.leaves(self.items(value), shape)
            case Shape.MAP:
                children = self.leaves(self.pairs(value, limits.inline_bytes_max), shape)
            case Shape.WHOLE:
                children = [self.block(shape, value, 1)]
            case _:
                starts = range(0, len(value), limits.block_max)
                blocks = (value[start : start + limits.block_max] for start in starts)
                children = [self.block(shape, block, len(block)) for block in blocks]
        return self.top(shape, children)

    # ---- entries --------------------------------------------------------------------------

    def items(self, values: Iterable[Any]) -> Entries:
        """The items of a list, as its pages keep them."""
        entries = Entries()
        for value in values:
            entries.add(None, self.entry(value, limits.inline_bytes_max))
        return entries

    def pairs(self, values: Mapping[str, Any], inline_bytes_max: int) -> Entries:
        """The pairs of a map, as its pages keep them."""
        entries = Entries()
        for key, value in values.items():
            entries.add(key, self.entry(value, inline_bytes_max))
        return entries

    # ---- pages ----------------------------------------------------------------------------

    def leaves(self, entries: Entries, shape: Shape) -> list[Child]:
        """All pages of content of a tree, from its first entry to its last."""
        children: list[Child] = []
        start, end = 0, len(entries.packed)
        while start < end:
            count = self.cut(entries, start)
            stop = start + count if count else end
            children.append(self.leaf(entries.part(start, stop), shape))
            start = stop
        return children

    def cut(self, entries: Entries, start: int = 0) -> int:
        """How many entries from `start` on make a page that ends; 0 if it goes on after them."""
        return first_cut(entries.packed, start, self._secret, LEAVES)

    def leaf(self, entries: Entries, shape: Shape) -> Child:
        """One page of items or pairs."""
        count = len(entries.packed)
        fields = count * (2 if shape is Shape.MAP else 1)
        payload = leaf_payload(shape, _array(fields) + entries.body(), entries.placed())
        size, trees = entries.size(), len(entries.trees)
        return Child(self.keep(payload), count, size, trees)

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

    def top(self, shape: Shape, children: Sequence[Child]) -> Ref:
        """The tree over these pages of content: pages of references, until one is left."""
        level = 0
        while len(children) > 1:
            level += 1
            children = self._above(shape, level, children)
        (child,) = children
        return Ref(shape, child.id, level, child.count, child.bytes, child.trees)

    def _above(self, shape: Shape, level: int, children: Sequence[Child]) -> list[Child]:
        packed = [_encode(child) for child in children]
        above: list[Child] = []
        start = 0
        while start < len(children):
            # Two at least, or a level would not be smaller than the one below it.
            count = max(first_cut(packed, start, self._secret, INNER) or len(children), 2)
            group = children[start : start + count]
            payload = inner_payload(shape, level, group)
            above.append(
                Child(
                    self.keep(payload),
                    sum(child.count for child in group),
                    sum(child.bytes for child in group),
                    sum(child.trees for child in group),
                )
            )
            start += count
        return above

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

    def add(self, key: str | None, entry: bytes | Ref) -> None:
        """One more; `key` of a pair."""
        before = b"" if key is None else pack(key)
        if type(entry) is Ref:
            self.trees[len(self.packed)] = before, entry
            entry = _encode(entry)
        self.packed.append(before + entry)  # type: ignore[operator]  # it is bytes by now

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

    def size(self) -> int:
        """Length of all, packed; a tree counts with its content."""
        size = sum(map(len, self.packed))
        for at, (key, ref) in self.trees.items():
            size += len(key) + ref.bytes - len(self.packed[at])
        return size


def _array(count: int) -> bytes:
    """What the bytes of an array of `count` begin with."""
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")
