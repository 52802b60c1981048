"""Trees of pages that refer to each other as no honest ones do: they end, and stay small (P5)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from perdure import errors, limits
from perdure.core.codec import pack
from perdure.core.page import Child, Placed, Ref, Shape, inner_payload, leaf_payload
from perdure.core.tree_read import all_leaves, leaves_between, reachable, read_root, read_value

IDS = [bytes([n]) * 32 for n in range(200)]


def read(reading: Any, pages: Mapping[bytes, bytes]) -> Any:
    """Run a reader over pages that are all there."""
    payloads: Any = None
    while True:
        try:
            ids = reading.send(payloads)
        except StopIteration as stop:
            return stop.value
        payloads = {id_: pages[id_] for id_ in ids}


def doubling(levels: int, size: int) -> tuple[Ref, dict[bytes, bytes]]:
    """A tree whose pages each name the one below twice."""
    pages = {IDS[0]: leaf_payload(Shape.LIST, pack([1]))}
    count = 1
    for level in range(1, levels + 1):
        child = Child(IDS[level - 1], count, size)
        pages[IDS[level]] = inner_payload(Shape.LIST, level, [child, child])
        count *= 2
    return Ref(Shape.LIST, IDS[levels], levels, count, size), pages


def within(depth: int, size: int, width: int = 2) -> tuple[Ref, dict[bytes, bytes]]:
    """Lists within lists, each of which holds the next one more than once."""
    pages = {IDS[0]: leaf_payload(Shape.LIST, pack([1]))}
    ref = Ref(Shape.LIST, IDS[0], 0, 1, size)
    for level in range(1, depth + 1):
        placed = [Placed(at, ref) for at in range(width)]
        pages[IDS[level]] = leaf_payload(Shape.LIST, pack([None] * width), placed)
        ref = Ref(Shape.LIST, IDS[level], 0, width, size, width)
    return ref, pages


@pytest.mark.parametrize("size", [0, 1, 2**30])
@pytest.mark.parametrize("tree", [doubling, within])
def test_a_tree_that_doubles_at_every_level_is_refused(tree: Any, size: int) -> None:
    ref, pages = tree(16, size)
    tracemalloc.start()
    readings = [read_value(ref)]
    if tree is doubling:
        readings += [all_leaves(ref), leaves_between(ref, 0, ref.count)]
    for reading in readings:
        with pytest.raises(errors.Damaged, match="add up"):
            read(reading, pages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_list_that_holds_itself_ends() -> None:
    ref = Ref(Shape.LIST, IDS[1], 0, 1, 100, 1)
    pages = {IDS[1]: leaf_payload(Shape.LIST, pack([None]), [Placed(0, ref)])}
    with pytest.raises(errors.Damaged, match="more trees than a state can have"):
        read(read_value(ref), pages)
    assert read(reachable([ref]), pages) == {IDS[1]}


def test_trees_as_deep_as_a_state_may_be_are_read() -> None:
    ref, pages = within(limits.depth_max - 1, 100, width=1)
    found = read(read_value(ref), pages)
    for _ in range(limits.depth_max - 1):
        (found,) = found
    assert found == [1]


@pytest.mark.parametrize("level", [17, 2**40])
def test_a_reference_of_more_levels_than_there_are_is_none(level: int) -> None:
    wire = msgspec.msgpack.encode([1, bytes(32), level, 1, 1, 0])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(wire, type=Ref)


def test_a_root_that_is_no_map_of_sections_is_refused() -> None:
    ref = Ref(Shape.MAP, IDS[0], 0, 2, 4)
    for body in (pack(["a", 1, "a", 2]), pack([1, 2, 3, 4]), pack(["a", 1])):
        with pytest.raises(errors.Damaged):
            read(read_root(ref), {IDS[0]: leaf_payload(Shape.MAP, body)})
