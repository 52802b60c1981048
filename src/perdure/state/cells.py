"""Containers inside a tuple: `state["span"][1].append(…)` where the section is `(1, [2])`.

A path never enters a tuple, so an edit inside one is a change of its whole slot. Each tuple that
holds containers has a `TupleCell`: the parent of its items, itself a child of what holds the tuple.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import is_ as _is
from typing import Any

from perdure.core.changes import Change, Set
from perdure.core.paths import Path
from perdure.state.place import WRAPPERS, Place
from perdure.state.tracker import Tracker


class TupleCell(Place):
    """The place of one tuple."""

    __slots__ = ("_at", "_kids", "_marks", "_parent", "_tracker", "_value")

    _kind = "tuple"

    def __init__(self, tracker: Tracker, parent: Place, at: str | int) -> None:
        self._tracker = tracker
        self._parent = parent
        self._at = at
        self._kids = None
        self._marks = None
        self._value: tuple[Any, ...] = ()

    def _items(self) -> Iterable[Any]:
        return self._value

    def _holds(self, value: Any) -> bool:
        return value is self._value

    def _find(self, kid: Place) -> int | None:
        for position, item in enumerate(self._value):
            if item is kid or kid._holds(item):
                return position
        return None

    def _emit(self, path: Path, out: list[Change]) -> None:
        out.append(Set(path, self._value))


def wrap_tuple(value: tuple[Any, ...], parent: Place, at: str | int) -> tuple[Any, ...]:
    """A tuple like `value` whose containers are tracked; `value` itself if it holds none."""
    if not any(type(item) in WRAPPERS for item in value):
        return value
    cell = TupleCell(parent._tracker, parent, at)
    items = []
    for position, item in enumerate(value):
        wrap = WRAPPERS.get(type(item))
        items.append(item if wrap is None else wrap(item, cell, position))
    if all(map(_is, items, value)):
        return value
    cell._value = tuple(items)
    return cell._value
