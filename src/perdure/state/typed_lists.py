"""The view of a list whose items have views: each is viewed when it is touched."""

# ruff: noqa: D102 - the methods are those of list

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import Any, SupportsIndex

from perdure.schemas.containers import ListKind
from perdure.schemas.kinds import bare
from perdure.state.door import admitted, is_watched
from perdure.state.sequence import TrackedList
from perdure.state.typed_reading import shown, typed
from perdure.state.typed_view import TypedView
from perdure.state.unseen import replacing, replacing_items

_item = list.__getitem__


class TypedList(TypedView, MutableSequence[Any]):
    """A list of a typed state. Every method of list works; slices and copies are plain lists.

    Called by its class, as `dataclasses.asdict` does, it makes a plain list.
    """

    __slots__ = ()

    _perdure_kind: ListKind
    _perdure_node: TrackedList

    def __new__(cls, items: Iterable[Any] = ()) -> Any:
        return list(items)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return list

    # ---- reading ----------------------------------------------------------------------------

    def _view(self, stored: Any, at: int) -> Any:
        return typed(self._perdure_kind.item, stored, self._perdure_home, self._perdure_node, at)

    def __getitem__(self, index: Any) -> Any:
        node = self._perdure_node
        if type(index) is int and index >= 0:
            stored = _item(node, index)
            if type(stored) is TrackedList:
                stored = node[index]  # which has its length watched
            return typed(self._perdure_kind.item, stored, self._perdure_home, node, index)
        if isinstance(index, slice):
            positions = range(*index.indices(len(node)))
            return [self._view(node[at], at) for at in positions]
        at = operator.index(index)
        return self._view(node[at], at if at >= 0 else at + len(node))

    def __len__(self) -> int:
        return len(self._perdure_node)

    def __iter__(self) -> Iterator[Any]:
        node = self._perdure_node
        at = 0
        while at < len(node):
            yield self._view(node[at], at)
            at += 1

    def __reversed__(self) -> Iterator[Any]:
        for at in range(len(self) - 1, -1, -1):
            if at < len(self):
                yield self[at]

    def __contains__(self, value: object) -> bool:
        return any(item is value or item == value for item in self)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        for at in range(*slice(start, stop).indices(len(self))):
            item = self[at]
            if item is value or item == value:
                return at
        raise ValueError(f"{value!r} is not in list")

    def count(self, value: Any) -> int:
        return sum(1 for item in self if item is value or item == value)

    def copy(self) -> list[Any]:
        return list(self)

    def plain(self) -> list[Any]:
        """A deep copy of what is stored, plain all the way down."""
        content: list[Any] = self._perdure_node.plain()
        return content

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return list(self) < list(other) if isinstance(other, list) else NotImplemented

    def __le__(self, other: Any) -> bool:
        return list(self) <= list(other) if isinstance(other, list) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return list(self) > list(other) if isinstance(other, list) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return list(self) >= list(other) if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Any) -> Any:
        return list(self) + list(other) if isinstance(other, list) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return list(other) + list(self) if isinstance(other, list) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> Any:
        return list(self) * times

    __rmul__ = __mul__

    def __repr__(self) -> str:
        node = self._perdure_node
        return f"[{', '.join(shown(self.__getitem__, node, at) for at in range(len(node)))}]"

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _real(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (_real(self),)

    # ---- editing ----------------------------------------------------------------------------

    def _stored(self, value: Any, at: int) -> Any:
        """What to give the node: its door does the rest, if it has one."""
        node = self._perdure_node
        if is_watched(node):
            return value
        return admitted(self._perdure_kind.item, value, node, at)

    def _all_stored(self, values: Iterable[Any], start: int) -> list[Any]:
        return [self._stored(bare(value), at) for at, value in enumerate(values, start)]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            start = index.indices(len(self))[0]
            old = _item(self._perdure_node, index)
            value = replacing_items(self._perdure_kind, list(value), self._perdure_node, start, old)
            self._perdure_node[index] = self._all_stored(value, start)
        else:
            at = operator.index(index)
            value = replacing(self._perdure_kind.item, value, self._perdure_node, at)
            self._perdure_node[at] = self._stored(bare(value), at)

    def __delitem__(self, index: Any) -> None:
        del self._perdure_node[index]

    def append(self, value: Any) -> None:
        self._perdure_node.append(self._stored(bare(value), len(self)))

    def insert(self, index: int, value: Any) -> None:
        self._perdure_node.insert(index, self._stored(bare(value), index))

    def extend(self, values: Iterable[Any]) -> None:
        self._perdure_node.extend(self._all_stored(list(values), len(self)))

    def __iadd__(self, values: Any) -> Any:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> Any:
        self._perdure_node *= times
        return self

    def pop(self, index: int = -1) -> Any:
        node = self._perdure_node
        at = operator.index(index)
        item = self[at] if -len(node) <= at < len(node) else None
        node.pop(at)
        return item

    def remove(self, value: Any) -> None:
        del self._perdure_node[self.index(value)]

    def clear(self) -> None:
        self._perdure_node.clear()

    def reverse(self) -> None:
        self._perdure_node.reverse()

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        """Sort in place, stably; `key` gets the views of the items."""

        def of(stored: Any) -> Any:
            item = self._view(stored, 0)
            return item if key is None else key(item)

        self._perdure_node.sort(key=of, reverse=reverse)


def _real(view: Any) -> Any:
    from perdure.materializing import materialize

    return materialize(view)
