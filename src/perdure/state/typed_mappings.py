"""The view of a dict whose items have views: of a `dict[str, Model]`, and of a TypedDict."""

# ruff: noqa: D102 - the methods are those of dict

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from perdure.schemas.containers import DictKind
from perdure.schemas.kinds import ANY, Kind, bare
from perdure.schemas.models import ModelKind
from perdure.state.door import admitted, is_watched
from perdure.state.mapping import TrackedDict
from perdure.state.marks import ABSENT
from perdure.state.sections import RESERVED, State
from perdure.state.typed_reading import shown, typed
from perdure.state.typed_view import TypedView
from perdure.state.unseen import replacing


class TypedMapping(TypedView, MutableMapping[str, Any]):
    """A dict of a typed state. Every method of dict works; copies are plain dicts.

    Called by its class, as `dataclasses.asdict` does, it makes a plain dict.
    """

    __slots__ = ()

    _perdure_kind: DictKind | ModelKind
    _perdure_node: TrackedDict | State

    def __new__(cls, *args: Any, **items: Any) -> Any:
        return dict(*args, **items)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return dict

    # ---- reading ----------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        stored = self._perdure_node[key]
        return typed(self._item_kind(key), stored, self._perdure_home, self._perdure_node, key)

    def _item_kind(self, key: str) -> Kind:
        return self._perdure_kind.child(key) or ANY

    def __iter__(self) -> Iterator[str]:
        return iter(self._perdure_node)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._perdure_node)

    def __len__(self) -> int:
        return len(self._perdure_node)

    def __contains__(self, key: object) -> bool:
        return key in self._perdure_node

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def plain(self) -> dict[str, Any]:
        """A deep copy of what is stored, plain all the way down."""
        content: dict[str, Any] = self._perdure_node.plain()
        return content

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == other if isinstance(other, dict) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> Any:
        return self.copy() | dict(other.items()) if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        return dict(other.items()) | self.copy() if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __repr__(self) -> str:
        node = self._perdure_node
        items = [f"{key!r}: {shown(self.__getitem__, node, key)}" for key in node]
        return f"{{{', '.join(items)}}}"

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _real(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (_real(self),)

    # ---- editing ----------------------------------------------------------------------------

    def _stored(self, key: str, value: Any) -> Any:
        """What to give the node: its door does the rest, if it has one."""
        node = self._perdure_node
        value = bare(replacing(self._item_kind(key), value, node, key))
        if isinstance(node, State) or is_watched(node):
            return value
        return admitted(self._item_kind(key), value, node, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._perdure_node[key] = self._stored(key, value)

    def __delitem__(self, key: str) -> None:
        del self._perdure_node[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **items: Any) -> None:
        """Assign several items, all or none."""
        news = dict(*args, **items)
        self._perdure_node.update({key: self._stored(key, each) for key, each in news.items()})

    def pop(self, key: str, /, default: Any = ABSENT) -> Any:
        if key not in self:
            if default is ABSENT:
                raise KeyError(key)
            return default
        value = self[key]
        del self._perdure_node[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        names = reversed(self._perdure_node)
        if isinstance(self._perdure_node, State):  # whose own sections nobody takes out
            names = (name for name in names if not name.startswith(RESERVED))
        key = next(iter(names), None)
        if key is None:
            raise KeyError("popitem(): dictionary is empty")
        return key, self.pop(key)

    def clear(self) -> None:
        self._perdure_node.clear()


def _real(view: Any) -> Any:
    from perdure.materializing import materialize

    return materialize(view)
