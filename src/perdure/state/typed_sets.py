"""The view of a set whose members have another stored form: of Enums, for one."""

# ruff: noqa: D102 - the methods are those of set

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from typing import Any

from perdure.schemas.containers import SetKind
from perdure.schemas.kinds import Refused
from perdure.state.door import admitted_at
from perdure.state.members import TrackedSet
from perdure.state.typed_reading import bad_at, shown
from perdure.state.typed_view import TypedView


class TypedSet(TypedView, MutableSet[Any]):
    """A set of a typed state. Every method of set works; operators and copies give plain sets.

    Called by its class, as `dataclasses.asdict` does, it makes a plain set.
    """

    __slots__ = ()

    _perdure_kind: SetKind
    _perdure_node: TrackedSet

    def __new__(cls, members: Iterable[Any] = ()) -> Any:
        return set(members)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return set

    @classmethod
    def _from_iterable(cls, members: Iterable[Any]) -> Any:
        return set(members)

    # ---- reading ----------------------------------------------------------------------------

    def __contains__(self, member: object) -> bool:
        kind, node = self._perdure_kind, self._perdure_node
        try:
            stored = kind.item.take_in(member)
        except Refused:
            return False
        return stored in node and bool(kind.read_member(stored) == member)

    def __iter__(self) -> Iterator[Any]:
        kind, stored = self._perdure_kind, set(self._perdure_node)
        if not kind.accepts_all([stored]):
            raise bad_at(kind, stored, self._perdure_node._path())
        return map(kind.read_member, stored)

    def __len__(self) -> int:
        return len(self._perdure_node)

    def __eq__(self, other: object) -> bool:
        return self.copy() == other if isinstance(other, set | frozenset) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return shown(TypedSet.copy, self._perdure_node, self)

    def copy(self) -> set[Any]:
        return set(iter(self))

    def plain(self) -> set[Any]:
        """A copy of what is stored."""
        return set(self._perdure_node)

    def union(self, *others: Iterable[Any]) -> set[Any]:
        return self.copy().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        return self.copy().intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        return self.copy().difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        return self.copy().symmetric_difference(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        return self.copy().issubset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        return self.copy().issuperset(other)

    def __copy__(self) -> set[Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> set[Any]:
        return self.copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return set, (list(self),)

    # ---- editing ----------------------------------------------------------------------------

    def _stored(self, members: Iterable[Any]) -> set[Any]:
        """What to give the node, whose door, if it has one, lets pass what is stored."""
        node, item = self._perdure_node, self._perdure_kind.item
        path, depth = node._path(), node._depth()
        return {admitted_at(item, each, path, depth) for each in members}

    def add(self, member: Any) -> None:
        self._perdure_node.update(self._stored((member,)))

    def discard(self, member: Any) -> None:
        if member in self:
            self._perdure_node.discard(self._perdure_kind.item.take_in(member))

    def remove(self, member: Any) -> None:
        if member not in self:
            raise KeyError(member)
        self.discard(member)

    def pop(self) -> Any:
        return self._perdure_kind.read_member(self._perdure_node.pop())

    def clear(self) -> None:
        self._perdure_node.clear()

    def update(self, *others: Iterable[Any]) -> None:
        self._perdure_node.update(self._stored(set().union(*others)))

    def _keep(self, kept: set[Any]) -> None:
        """Hold these members only, of those that are here."""
        for member in self.copy() - kept:
            self.discard(member)

    def difference_update(self, *others: Iterable[Any]) -> None:
        self._keep(self.difference(*others))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        self._keep(self.intersection(*others))

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        new = self.symmetric_difference(other)
        self.update(new)  # first, as it may be refused
        self._keep(new)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def __ixor__(self, other: Any) -> Any:  # type: ignore[misc]
        self.symmetric_difference_update(other)
        return self
