"""Editing trees of pages: making a state's changes on its tree.

The result is the tree that `build` makes of the changed state (P6). All of it is in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import Change, Delete, Set, Splice, apply, describe
from perdure.core.page import Ref, Shape, read_children, read_list, read_map
from perdure.core.pieces import Pieces
from perdure.core.tree import Builder, Built, Entries
from perdure.core.tree_nodes import Node, open_map
from perdure.core.tree_read import Reading, T
from perdure.errors import ReplayMismatch


def edit(root: Ref, changes: Iterable[Change], secret: bytes) -> Reading[Built]:
    """The tree of a state after these changes; of its pages, those that are new.

    Takes ownership of the changes' values.

    Raises:
        ReplayMismatch: a change does not fit.
        Damaged: a page is not what the page above says.
    """
    builder, read = Builder(secret), set[bytes]()
    top = yield from _noting(_edited(root, changes, builder), read)
    return Built(top, (yield from _new_pages(top, builder.pages, read)))


def _edited(root: Ref, changes: Iterable[Change], builder: Builder) -> Reading[Ref]:
    state = yield from open_map(root, builder, limits.section_inline_bytes_max)
    for change in changes:
        yield from _make(state, change)
        yield ()
    children = yield from state.children()
    return (yield from builder.top(Shape.MAP, children or [builder.leaf(Entries(), Shape.MAP)]))


def _new_pages(root: Ref, made: dict[bytes, bytes], read: set[bytes]) -> Pieces[dict[bytes, bytes]]:
    """Those of the pages made that belong to the tree, and did not come out as they were read."""
    found: dict[bytes, bytes] = {}
    todo = [root]
    while todo:
        ref = todo.pop()
        payload = made.get(ref.id)
        if payload is None or ref.id in found:
            continue
        found[ref.id] = payload
        if ref.level:
            todo += (ref.below(child) for child in read_children(payload, ref))
        elif ref.trees:
            values: Iterable[Any] = (
                read_list(payload, ref)
                if ref.shape is Shape.LIST
                else read_map(payload, ref).values()
            )
            todo += (value for value in values if type(value) is Ref)
        yield ()
    return {id_: payload for id_, payload in found.items() if id_ not in read}


def _make(root: Node, change: Change) -> Reading[None]:
    """Make one change below `root`."""
    node = root
    try:
        for depth, part in enumerate(change.path):
            is_last = depth == len(change.path) - 1
            if is_last and isinstance(change, Set):
                return (yield from node.put(part, change.value))
            if is_last and isinstance(change, Delete):
                return (yield from node.remove(part))
            value = yield from node.get(part)
            if not isinstance(value, Node):
                # Inline from here on: changed as a value, and put back.
                holder = {"": value}
                apply(holder, [replace(change, path=("", *change.path[depth + 1 :]))])
                return (yield from node.put(part, holder[""]))
            node = value
        if not isinstance(change, Splice):
            raise LookupError("it is not a set")
        yield from node.splice(change.start, change.removed, change.items)
    except (LookupError, TypeError) as error:
        raise ReplayMismatch(f"cannot {describe(change)}: {error}") from error
    return None


def _noting(reading: Reading[T], asked: set[bytes]) -> Reading[T]:
    """The same reading, noting the pages it asks for."""
    payloads: Mapping[bytes, bytes] | None = None
    while True:
        try:
            ids = reading.send(payloads)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as stop:
            result: T = stop.value
            return result
        asked.update(ids)
        payloads = yield ids
