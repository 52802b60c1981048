"""Pages: what a snapshot is made of, and how they refer to each other.

A page is a run of list items, of map entries or of a long text, or a run of references to such
pages. Its payload is a msgpack array, see `docs/format.md`; its id is a keyed hash of the payload,
so equal content has one id, and nobody without the state's secret can tell what a page holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.errors import Damaged, Malformed, NewerFormat

ID_BYTES = 32

Id = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Count = Annotated[int, msgspec.Meta(ge=0, le=limits.tree_bytes_max)]


class Shape(IntEnum):
    """What a tree keeps."""

    LIST = 1
    """Items; counted in items."""
    MAP = 2
    """Pairs, in the order in which they were inserted; counted in pairs."""
    TEXT = 3
    """A str; counted in characters."""
    BYTES = 4
    """A bytes."""
    WHOLE = 5
    """Any other value, in one page whatever its size: it only ever changes as a whole."""


_SHAPES: dict[type, Shape] = {
    list: Shape.LIST,
    dict: Shape.MAP,
    str: Shape.TEXT,
    bytes: Shape.BYTES,
}
_BASES = tuple(_SHAPES)


def shape_of(value: Any) -> Shape:
    """The shape of the tree that keeps `value`, plain or tracked."""
    found = _SHAPES.get(type(value))
    if found is None:
        base = next((base for base in _BASES if isinstance(value, base)), None)
        found = Shape.WHOLE if base is None else _SHAPES[base]
    return found


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """A tree, by its topmost page."""

    shape: Shape
    id: Id
    level: Annotated[int, msgspec.Meta(ge=0, le=16)]
    """0: the page holds content itself; above, references to pages of one level below."""
    count: Count
    """How much it holds, in its shape's unit."""
    bytes: Count
    """Length of its entries, packed; those that are trees of their own count with theirs."""
    trees: Count = 0
    """Entries that are trees of their own, directly: where there are none, nothing refers further
    from its pages of content."""

    def below(self, child: Child) -> Ref:
        """The tree under one of its references."""
        return Ref(self.shape, child.id, self.level - 1, child.count, child.bytes, child.trees)


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A page as the page above refers to it; shape and level follow from that one."""

    id: Id
    count: Count
    bytes: Count
    trees: Count = 0


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """A tree in the place of an item or of a pair's value, which is nil there."""

    at: Count
    """Position among the items or pairs of the page."""
    ref: Ref


class _Page(msgspec.Struct, frozen=True, array_like=True):
    shape: int
    level: int
    body: msgspec.Raw
    refs: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_read_page = msgspec.msgpack.Decoder(_Page).decode
_read_children = msgspec.msgpack.Decoder(list[Child]).decode
_read_placed = msgspec.msgpack.Decoder(list[Placed]).decode
_read_packed = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_EMPTY = msgspec.Raw(b"\x90")


def twin_of(id_: bytes) -> bytes:
    """The id of the second copy of a page, kept where nothing can make the page anew."""
    return blake2b(id_, digest_size=ID_BYTES, person=b"perdure.twin").digest()


def page_id(payload: bytes, secret: bytes) -> bytes:
    """The id of a page: a hash of its payload keyed with the state's secret."""
    return blake2b(payload, digest_size=ID_BYTES, key=secret, person=b"perdure.page").digest()


def leaf_payload(shape: Shape, body: bytes, placed: Sequence[Placed] = ()) -> bytes:
    """The payload of a page of content; `body` is packed."""
    # An array of four, the first two of which are small; the encoder takes longer to pass on much.
    return b"".join((b"\x94", bytes((shape, 0)), body, _encode(placed)))


def inner_payload(shape: Shape, level: int, children: Sequence[Child]) -> bytes:
    """The payload of a page of references."""
    return _encode((shape, level, _EMPTY, children))


# ---- reading --------------------------------------------------------------------------------


def read_children(payload: bytes, ref: Ref) -> list[Child]:
    """The references in the page that `ref` names.

    Raises:
        Damaged: it is not such a page.
    """
    page = _opened(payload, ref)
    try:
        children = _read_children(page.refs)
    except msgspec.MsgspecError as error:
        raise _damaged(ref, str(error)) from error
    sizes = [child.bytes for child in children]
    is_sum = sum(child.count for child in children) == ref.count and sum(sizes) == ref.bytes
    if not is_sum or not min(sizes, default=0):
        raise _damaged(ref, "its references do not add up")
    return children


def read_list(payload: bytes, ref: Ref) -> list[Any]:
    """The items of a page of a list; a tree of its own is its `Ref`."""
    page = _opened(payload, ref)
    items: list[Any] = _content(page, ref, list)
    if len(items) != ref.count:
        raise _damaged(ref, f"it holds {len(items)} items, not {ref.count}")
    for placed in _placed(page, ref):
        items[placed.at] = placed.ref
    return items


def read_map(payload: bytes, ref: Ref) -> dict[str, Any]:
    """The pairs of a page of a map; a value that is a tree of its own is its `Ref`."""
    page = _opened(payload, ref)
    flat = _content(page, ref, list)
    keys, values = flat[::2], flat[1::2]
    if len(keys) != ref.count or len(values) != ref.count or set(map(type, keys)) - {str}:
        raise _damaged(ref, "it does not hold the pairs of a map")
    for placed in _placed(page, ref):
        values[placed.at] = placed.ref
    found = dict(zip(keys, values))
    if len(found) != ref.count:
        raise _damaged(ref, "it holds a key twice")
    return found


def packed_keys(payload: bytes, ref: Ref) -> list[bytes]:
    """The keys of a page of a map, in order, as `pack` makes them; no value is decoded."""
    return [bytes(key) for key in _packed_content(_opened(payload, ref), ref)[::2]]


def packed_fields(body: bytes) -> list[bytes]:
    """What `leaf_payload` takes as the body of a page, value by value: none is decoded."""
    return list(map(bytes, _read_packed(body)))


def read_pair(payload: bytes, ref: Ref, key: str) -> tuple[Any] | None:
    """The value of one key in a page of a map, in a tuple of its own; no other is decoded.

    A value that is a tree of its own is its `Ref`; None: the page has no such key.
    """
    packed = pack(key)
    if packed not in payload:  # as in most pages that are looked through: 0.5 ms for a megabyte
        return None
    page = _opened(payload, ref)
    flat = _packed_content(page, ref)
    at = next((at for at, each in enumerate(flat[::2]) if bytes(each) == packed), None)
    if at is None:
        return None
    tree = next((placed.ref for placed in _placed(page, ref) if placed.at == at), None)
    return (_unpacked(flat[2 * at + 1], ref) if tree is None else tree,)


def read_block(payload: bytes, ref: Ref) -> Any:
    """The piece of a str or bytes in a page, or the one value of a whole."""
    page = _opened(payload, ref)
    if ref.shape is Shape.WHOLE:
        return _content(page, ref, object)
    block = _content(page, ref, str if ref.shape is Shape.TEXT else bytes)
    if len(block) != ref.count:
        raise _damaged(ref, f"it holds {len(block)}, not {ref.count}")
    return block


def _opened(payload: bytes, ref: Ref) -> _Page:
    try:
        page = _read_page(payload)
    except msgspec.MsgspecError as error:
        raise _damaged(ref, str(error)) from error
    if (page.shape, page.level) != (ref.shape, ref.level):
        raise _damaged(ref, f"it is of shape {page.shape}, level {page.level}")
    return page


def _packed_content(page: _Page, ref: Ref) -> list[msgspec.Raw]:
    """Keys and values of a page of a map, in turns, each packed."""
    try:
        flat = _read_packed(page.body)
    except msgspec.MsgspecError as error:
        raise _damaged(ref, str(error)) from error
    if len(flat) != 2 * ref.count:
        raise _damaged(ref, "it does not hold the pairs of a map")
    return flat


def _unpacked(packed: msgspec.Raw, ref: Ref) -> Any:
    try:
        return unpack(packed)
    except Malformed as error:
        raise _damaged(ref, str(error)) from error
    except NewerFormat as error:
        raise NewerFormat(f"{_named(ref)}: {error}") from error


def _content(page: _Page, ref: Ref, kind: type) -> Any:
    content = _unpacked(page.body, ref)
    if not isinstance(content, kind):
        raise _damaged(ref, f"it holds a {type(content).__name__}")
    return content


def _placed(page: _Page, ref: Ref) -> list[Placed]:
    try:
        placed = _read_placed(page.refs)
    except msgspec.MsgspecError as error:
        raise _damaged(ref, str(error)) from error
    if any(each.at >= ref.count for each in placed):
        raise _damaged(ref, "a reference is outside of it")
    # So a tree of trees cannot hold more than its topmost reference says, however they share pages.
    if sum(max(each.ref.bytes, 1) for each in placed) > ref.bytes:
        raise _damaged(ref, "the trees in it do not add up")
    return placed


def _damaged(ref: Ref, why: str) -> Damaged:
    return Damaged(f"{_named(ref)}: {why}")


def _named(ref: Ref) -> str:
    return f"page {ref.id.hex()[:12]} (a {Shape(ref.shape).name.lower()} of {ref.count})"
