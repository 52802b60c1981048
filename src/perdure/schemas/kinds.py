"""What may be stored at a place, as compiled from an annotation: leaves and containers.

A kind checks many stored values at once (`accepts_all`), column by column, since a typed list is
checked whole when it is first touched. Only what was refused is looked at one by one (`problem`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

import msgspec

from perdure.core.paths import Path

SHOWN_MAX = 60
"""Characters of a refused value that a message shows."""


@dataclass(frozen=True)
class Problem:
    """The first place at which a value does not fit: what was expected there, and what is."""

    path: Path
    expected: str
    found: str

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.found}"


class Ambiguous(Exception):
    """An object that would be read as one of another class; caught where the path is known."""


def bare(value: Any) -> Any:
    """What a view stands before; any other value is itself."""
    return value._perdure_node if getattr(type(value), "_perdure_view", False) else value


def found(value: Any) -> str:
    """How a message names a value that does not fit: its type, and what it is if that is short."""
    if value is None:
        return "None"
    kind = type(value)
    named = {"TrackedDict": "dict", "TrackedList": "list", "TrackedSet": "set"}
    name = named.get(kind.__name__, kind.__name__)
    if not isinstance(value, str | int | float | bytes):
        return name
    shown = repr(value)
    return f"{name} ({shown if len(shown) <= SHOWN_MAX else shown[: SHOWN_MAX - 1] + '…'})"


class Kind:
    """What an annotation says. Any: everything fits."""

    form = "plain"
    """How it is read: "plain", "scalar", "model", "list", "dict", "tuple" or "union"."""
    atoms: frozenset[type] = frozenset()
    """Classes whose values fit without a further look."""
    _is_plain: bool | None = None

    def __init__(self, said: str) -> None:
        self.said = said
        """What a message calls it."""

    @property
    def is_plain(self) -> bool:
        """Whether the stored form is the typed form, all the way down."""
        if self._is_plain is None:
            self._is_plain = all(kind.form == "plain" for kind in reachable(self))
        return self._is_plain

    def kids(self) -> Iterable[Kind]:
        """The kinds of what is in it."""
        return ()

    def child(self, at: str | int) -> Kind | None:
        """What may be at a key or position of it; None where everything may."""
        return None

    def resolve(self, stored: Any) -> Kind:
        """Of a union: which of its kinds a stored value is of."""
        return self

    def may_be(self, stored: Any) -> bool:
        """Whether a stored value looks like one of these from outside, at the cost of a look."""
        return True

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all these stored values fit."""
        return True

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Where a stored value does not fit, and why; None if it does."""
        return None if self.accepts_all([value]) else Problem(path, self.said, found(value))

    def take_in(self, value: Any) -> Any:
        """The stored form of what a user gives; what is of no known form stays as it is."""
        return value

    def read(self, stored: Any) -> Any:
        """Of a scalar: the typed form of a stored value that fits."""
        return stored


def reachable(kind: Kind) -> Iterator[Kind]:
    """A kind and all that may be below it, each once."""
    seen = {id(kind)}
    waiting = [kind]
    while waiting:
        kind = waiting.pop()
        yield kind
        for kid in kind.kids():
            if id(kid) not in seen:
                seen.add(id(kid))
                waiting.append(kid)


ANY = Kind("anything")


class LeafKind(Kind):
    """A value of one of these classes."""

    def __init__(self, said: str, *classes: type) -> None:
        super().__init__(said)
        self.atoms = frozenset(classes)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return type(stored) in self.atoms

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are of these very classes."""
        return self.atoms.issuperset(map(type, values))


class LimitedKind(Kind):
    """A leaf whose values are limited, as `msgspec.Meta` says."""

    def __init__(self, inner: Kind, annotation: Any) -> None:
        super().__init__(inner.said)
        self.inner = inner
        self._annotation = annotation

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return self.inner.may_be(stored)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are leaves of the kind, and within the limits."""
        if not self.inner.accepts_all(values):
            return False
        try:
            msgspec.convert(values, list[self._annotation])  # type: ignore[name-defined]
        except msgspec.ValidationError:
            return False
        return True

    def problem(self, value: Any, path: Path) -> Problem | None:
        """What limit is passed."""
        at_fault = self.inner.problem(value, path)
        if at_fault is not None:
            return at_fault
        try:
            msgspec.convert(value, self._annotation)
        except msgspec.ValidationError as error:
            limit = str(error).removeprefix("Expected ")
            return Problem(path, limit, found(value))
        return None


class ChoiceKind(Kind):
    """One of some stored values: a Literal, or the values of an Enum."""

    def __init__(self, said: str, choices: Iterable[Any], reads: type[Enum] | None = None) -> None:
        super().__init__(said)
        self.choices = list(choices)
        self._reads = reads
        self.form = "plain" if reads is None else "scalar"

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return self._is_choice(stored)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether each is one of the choices, True not being 1."""
        return all(map(self._is_choice, values))

    def _is_choice(self, value: Any) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def take_in(self, value: Any) -> Any:
        """The value of a member."""
        return value.value if isinstance(value, Enum) else value

    def read(self, stored: Any) -> Any:
        """The member of the Enum."""
        return stored if self._reads is None else self._reads(stored)


class ListKind(Kind):
    """A list of items of one kind."""

    def __init__(self, item: Kind) -> None:
        super().__init__("list")
        self.item = item

    def kids(self) -> Iterable[Kind]:
        """That of its items."""
        return (self.item,)

    def child(self, at: str | int) -> Kind | None:
        """That of its items."""
        return self.item

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
        return [self.item.take_in(item) for item in value]


class SetKind(Kind):
    """A set of leaves."""

    def __init__(self, item: Kind) -> None:
        super().__init__("set")
        self.item = item

    def kids(self) -> Iterable[Kind]:
        """That of its members."""
        return (self.item,)

    def child(self, at: str | int) -> Kind | None:
        """That of its members."""
        return self.item

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return isinstance(stored, set)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are sets, and all their members fit."""
        return all_of(set, values) and self.item.accepts_all(list(chain.from_iterable(values)))

    def problem(self, value: Any, path: Path) -> Problem | None:
        """Which member does not fit."""
        if not isinstance(value, set):
            return super().problem(value, path)
        return first(self.item.problem(item, path) for item in value)

    def take_in(self, value: Any) -> Any:
        """The set, also of a frozen one."""
        return set(value) if isinstance(value, frozenset) else value


class DictKind(Kind):
    """A dict with str keys and items of one kind."""

    def __init__(self, item: Kind) -> None:
        super().__init__("dict")
        self.item = item

    def kids(self) -> Iterable[Kind]:
        """That of its items."""
        return (self.item,)

    def child(self, at: str | int) -> Kind | None:
        """That of its items."""
        return self.item

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
        return {key: self.item.take_in(item) for key, item in value.items()}


class TupleKind(Kind):
    """A tuple: of items each of its kind, or of any number of one kind."""

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
        kinds = self._items if self.rest is None else (self.rest,) * len(value)
        return first(kind.problem(item, path) for kind, item in zip(kinds, value))

    def take_in(self, value: Any) -> Any:
        """A plain tuple of stored items."""
        if not isinstance(value, tuple) or (self.rest is None and len(value) != len(self._items)):
            return value
        kinds = self._items if self.rest is None else (self.rest,) * len(value)
        return tuple([kind.take_in(item) for kind, item in zip(kinds, value)])


def all_of(kind: type, values: list[Any]) -> bool:
    """Whether all values are of a class or of one below it."""
    return all(issubclass(each, kind) for each in set(map(type, values)))


def first(problems: Iterable[Problem | None]) -> Problem | None:
    """The first that is one."""
    return next((each for each in problems if each is not None), None)
