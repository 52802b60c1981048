"""Making a tree along another: whether a tree of pages is the one that `build` makes of a state.

`build` looks for the cuts, entry by entry. Where a tree is there already it proposes them: what a
page of it should hold is packed as one and hashed, and that is the page it names or it is not. That
the page ends where content says it does is looked at for each page, and as it goes by what is in
the page alone, once for all the trees that share it. No page of content is read, but for those that
refer to trees.

What is found to be the same is what `build` makes, to the last page (P6). All of it is in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from perdure import limits
from perdure.core.codec import pack_many
from perdure.core.page import (
    Child,
    Ref,
    Shape,
    leaf_payload,
    packed_fields,
    page_id,
    read_list,
    read_map,
    shape_of,
)
from perdure.core.pieces import Pieces
from perdure.core.tree import Builder, Entries, array_header
from perdure.core.tree_read import Reading, all_leaves


class _OtherTree(Exception):
    """It is not the tree of this value."""


class Along:
    """Makes trees along others, of one secret; what was seen of a page holds for all of them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._builder = Builder(secret)
        self._ends: set[tuple[bytes, bool]] = set()
        """Pages that end where they would be cut; or, if they are the last, nowhere before."""

    def is_tree_of(self, root: Ref, sections: Mapping[str, Any]) -> Reading[bool]:
        """Whether `build` makes this tree of a state.

        Raises:
            Damaged: a page of it is not what the page above says.

        Example:
            >>> from perdure.core.pieces import at_once
            >>> from perdure.core.tree import build
            >>> sections = {"messages": ["hello"]}
            >>> root = build(sections, bytes(32)).root
            >>> at_once(Along(bytes(32)).is_tree_of(root, sections))
            True
        """
        try:
            found = yield from self._made(root, sections, limits.section_inline_bytes_max)
        except _OtherTree:
            return False
        return found == root

    def _made(self, ref: Ref, value: Any, inline_bytes_max: int) -> Reading[Ref]:
        """The tree of a value, where it is cut as this one."""
        shape = shape_of(value)
        if shape is Shape.LIST or shape is Shape.MAP:
            children = yield from self._leaves(ref, value, inline_bytes_max)
            made = yield from self._builder.top(shape, children)
        else:
            made = yield from self._builder.tree(value)
        self._builder.pages.clear()
        return made

    def _leaves(self, ref: Ref, value: Any, inline_bytes_max: int) -> Reading[list[Child]]:
        """The pages of content of a list or map."""
        leaves = yield from all_leaves(ref)
        if ref.shape is not shape_of(value) or sum(leaf.count for leaf in leaves) != len(value):
            raise _OtherTree
        children: list[Child] = []
        fields = iter(value) if ref.shape is Shape.LIST else chain.from_iterable(value.items())
        for at, leaf in enumerate(leaves, 1):
            some = list(islice(fields, leaf.count * _FIELDS[ref.shape]))
            is_last = at == len(leaves)
            # Sections are inline up to another length, and they are few.
            if leaf.trees or inline_bytes_max != limits.inline_bytes_max:
                child = yield from self._with_trees(leaf, some, is_last, inline_bytes_max)
            else:
                child = yield from self._flat(leaf, some, is_last)
            if child != Child(leaf.id, leaf.count, leaf.bytes, leaf.trees):
                raise _OtherTree
            children.append(child)
            yield ()
        return children

    def _flat(self, leaf: Ref, fields: list[Any], is_last: bool) -> Pieces[Child]:
        """A page of which no entry is a tree of its own."""
        body = pack_many(fields)
        id_ = page_id(leaf_payload(leaf.shape, body), self._secret)
        if id_ == leaf.id and (id_, is_last) not in self._ends:
            entries = Entries()
            entries.packed = values = packed_fields(body)
            if leaf.shape is Shape.MAP:
                keys, values = values[::2], values[1::2]
                entries.packed = [key + value for key, value in zip(keys, values, strict=True)]
            if max(map(len, values), default=0) > limits.inline_bytes_max:
                raise _OtherTree
            yield from self._require_end(entries, is_last)
            self._ends.add((id_, is_last))
        return Child(id_, leaf.count, len(body) - len(array_header(len(fields))))

    def _with_trees(
        self, leaf: Ref, fields: list[Any], is_last: bool, inline_bytes_max: int
    ) -> Reading[Child]:
        """A page some of whose entries are trees of their own, made along those."""
        entries = Entries()
        refs: Iterator[Any] = iter((yield from _values(leaf)))
        is_map = leaf.shape is Shape.MAP
        for at in range(0, len(fields), _FIELDS[leaf.shape]):
            key, value = (fields[at], fields[at + 1]) if is_map else (None, fields[at])
            ref = next(refs)
            entry: bytes | Ref | None = self._builder.inline(value, inline_bytes_max)
            if (entry is None) is not (type(ref) is Ref):
                raise _OtherTree
            if entry is None:
                entry = yield from self._made(ref, value, limits.inline_bytes_max)
            entries.add(key, entry)
            if self._builder.meter.is_full():
                yield ()
        yield from self._require_end(entries, is_last)
        return self._builder.leaf(entries, leaf.shape)

    def _require_end(self, entries: Entries, is_last: bool) -> Pieces[None]:
        """That a page ends after these entries, and nowhere before; the last one ends anyway."""
        count = len(entries.packed)
        cut = yield from self._builder.cut(entries)
        if cut != count and not (is_last and cut == 0):
            raise _OtherTree


_FIELDS = {Shape.LIST: 1, Shape.MAP: 2}
"""How many values an entry of a page consists of."""


def _values(leaf: Ref) -> Reading[list[Any]]:
    """The values in a page of content; one that is a tree of its own is its `Ref`."""
    payload = (yield (leaf.id,))[leaf.id]
    if leaf.shape is Shape.LIST:
        return read_list(payload, leaf)
    return list(read_map(payload, leaf).values())
