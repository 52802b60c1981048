"""The kinds of containers: lists, sets, dicts and tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import Any

from perdure.core.paths import Path
from perdure.schemas.kinds import ANY, Kind, Problem, all_of, bare, first, found, within


class _Items(Kind):
    """What is common to containers of items, or members, of one kind."""

    def __init__(self, said: str, item: Kind) -> None:
        super().__init__(said)
        self.item = item

    def kids(self) -> Iterable[Kind]:
        """That of its items."""
        return (self.item,)

    def child(self, at: str | int) -> Kind | None:
        """That of its items, wherever."""
        return self.item


class ListKind(_Items):
    """A list of items of one kind."""

    def __init__(self, item: Kind) -> None:
        super().__init__("list", item)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return isinstance(stored, list)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are lists, and all their items fit."""
        if not all_of(list, values):
            return False
        return self.item is ANY or self.item.accepts_all(
            list(chain.from_iterable(map(list.__iter__, values)))
        )

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Where the first item is that does not fit."""
        if not isinstance(value, list):
            return super().problem(value, path)
        return first(self.item.problem(item, (*path, at)) for at, item in enumerate(list(value)))

    def take_in(self, value: Any) -> Any:
        """A list of stored items."""
        value = bare(value)
        if self.is_plain or not isinstance(value, list):
            return value
        return [within(at, self.item, item) for at, item in enumerate(value)]


class SetKind(_Items):
    """A set of leaves. A frozen one is stored as such; what is stored as a set reads as one too."""

    def __init__(self, item: Kind, *, is_frozen: bool = False) -> None:
        super().__init__("frozenset" if is_frozen else "set", item)
        self.is_frozen = is_frozen
        self.form = "set" if is_frozen else "plain"
        self._classes = (set, frozenset) if is_frozen else (set,)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return isinstance(stored, self._classes)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are sets, and all their members fit."""
        return all(isinstance(value, self._classes) for value in values) and self.item.accepts_all(
            list(chain.from_iterable(values))
        )

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Which member does not fit."""
        if not isinstance(value, self._classes):
            return super().problem(value, path)
        return first(self.item.problem(item, path) for item in value)

    def take_in(self, value: Any) -> Any:
        """A set of stored members."""
        value = bare(value)
        if not isinstance(value, set | frozenset):
            return value
        make = frozenset if self.is_frozen else set
        if self.item.is_plain:
            return value if isinstance(value, make) else make(value)
        return make([self.item.take_in(item) for item in value])

    def read(self, stored: Any) -> Any:
        """Of a frozen one: its members, typed."""
        return frozenset([self.read_member(item) for item in stored])

    def read_member(self, stored: Any) -> Any:
        """The typed form of a stored member."""
        return self.item.resolve(stored).read(stored)


class DictKind(_Items):
    """A dict with str keys and items of one kind."""

    def __init__(self, item: Kind) -> None:
        super().__init__("dict", item)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return isinstance(stored, dict)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are dicts, and all their items fit."""
        if not all_of(dict, values):
            return False
        return self.item is ANY or self.item.accepts_all(
            list(chain.from_iterable(map(dict.values, values)))
        )

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Where the first item is that does not fit."""
        if not isinstance(value, dict):
            return super().problem(value, path)
        items = list(dict.items(value))
        return first(self.item.problem(item, (*path, str(key))) for key, item in items)

    def take_in(self, value: Any) -> Any:
        """A dict of stored items."""
        value = bare(value)
        if self.is_plain or not isinstance(value, dict):
            return value
        return {key: within(key, self.item, item) for key, item in value.items()}


class TupleKind(Kind):
    """A tuple: of items each of its kind, or of any number of one kind."""

    is_leaf = True

    def __init__(
        self, items: tuple[Kind, ...], rest: Kind | None, make: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(f"tuple of {len(items)}" if rest is None else "tuple")
        self._items = items
        self.rest = rest
        self.make: Callable[..., Any] = (lambda *each: each) if make is None else make
        """What makes the typed form of its typed items."""
        self.form = "plain" if make is None else "tuple"

    def kids(self) -> Iterable[Kind]:
        """Those of its items."""
        return self._items if self.rest is None else (*self._items, self.rest)

    def child(self, at: str | int) -> Kind | None:
        """That of one item."""
        return self._items[int(at)] if self.rest is None else self.rest

    def may_be(self, stored: Any) -> bool:
        """Whether it is a tuple, and of the right length."""
        if not isinstance(stored, tuple):
            return False
        return self.rest is not None or len(stored) == len(self._items)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are tuples of the right length, and all their items fit."""
        if not all_of(tuple, values):
            return False
        if self.rest is not None:
            return self.rest.accepts_all(list(chain.from_iterable(values)))
        if any(len(value) != len(self._items) for value in values):
            return False
        return all(kind.accepts_all(list(each)) for kind, each in zip(self._items, zip(*values)))

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Which item does not fit; the path is that of the tuple: none leads into one."""
        if not isinstance(value, tuple) or (self.rest is None and len(value) != len(self._items)):
            return Problem(path, self.said, found(value))
        return first(kind.problem(item, path) for kind, item in self.pairs(value))

    def take_in(self, value: Any) -> Any:
        """A plain tuple of stored items."""
        if not isinstance(value, tuple) or (self.rest is None and len(value) != len(self._items)):
            return value
        return tuple([kind.take_in(item) for kind, item in self.pairs(value)])

    def read(self, stored: Any) -> Any:
        """The typed form of one that holds leaves only."""
        return self.make(*[kind.resolve(item).read(item) for kind, item in self.pairs(stored)])

    def pairs(self, value: tuple[Any, ...]) -> Iterable[tuple[Kind, Any]]:
        """Its items, each with its kind."""
        return zip(self._items if self.rest is None else repeat(self.rest), value)
