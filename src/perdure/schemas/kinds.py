"""What may be stored at a place, as compiled from an annotation: leaves, and what all kinds have.

A kind checks many stored values at once (`accepts_all`), column by column, since a typed list is
checked whole when it is first touched. Only what was refused is looked at one by one (`problem`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, Flag
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


class Refused(Exception):
    """What a user gives cannot be taken in; caught where it is known what it was given to."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path
        """Where, in what was given."""


def within(at: str | int, kind: Kind, value: Any) -> Any:
    """The stored form of what is at a key or position of something that a user gives."""
    try:
        return kind.take_in(value)
    except Refused as error:
        error.path = (at, *error.path)
        raise


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
    """How it is read: "plain", "scalar", "model", "set", "tuple" or "union"."""
    atoms: frozenset[type] = frozenset()
    """Classes whose values fit without a further look."""
    is_leaf = False
    """Whether it adds nothing that can be edited to what its kids are."""
    is_choice = False
    """Whether it is a union, whose values are of one of its kinds."""
    reader: Any = None
    """What reads its values in a live state, once one was read."""
    view: Any = None
    """What makes the views of its values, once one was made."""
    has_models: bool | None = None
    """Whether objects of model classes may be given for it, once that was asked."""
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
        """The stored form of what a user gives; what is of no known form stays as it is.

        Raises:
            Refused: it is of a known form, and cannot be stored as this.
        """
        return value

    def read(self, stored: Any) -> Any:
        """Of a scalar: the typed form of a stored value that fits."""
        return stored

    def claim(self, stored: Any) -> Any:
        """What a section that is handed out is: the live value, which may have to know its kind."""
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

    is_leaf = True

    def __init__(self, said: str, *classes: type) -> None:
        super().__init__(said)
        self.atoms = frozenset(classes)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return type(stored) in self.atoms

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are of these very classes."""
        return self.atoms.issuperset(map(type, values))


def is_leaf(kind: Kind) -> bool:
    """Whether nothing in its values can be edited: one class of leaves, or a choice of such."""
    return kind is not ANY and all(each.is_leaf for each in reachable(kind))


class LimitedKind(Kind):
    """A leaf whose values are limited, as `msgspec.Meta` says."""

    is_leaf = True

    def __init__(self, inner: Kind, annotation: Any) -> None:
        super().__init__(inner.said)
        self.inner = inner
        self.form = "plain" if inner.is_plain else "scalar"
        self._annotation = annotation

    def take_in(self, value: Any) -> Any:
        """What the leaf takes in."""
        return self.inner.take_in(value)

    def read(self, stored: Any) -> Any:
        """What the leaf reads."""
        return self.inner.resolve(stored).read(stored)

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
    """One of some values: of a Literal, or the members of an Enum."""

    is_leaf = True

    def __init__(self, said: str, members: Iterable[Any]) -> None:
        super().__init__(said)
        self._members = list(members)
        self.choices = [each.value if isinstance(each, Enum) else each for each in self._members]
        """What is stored of each."""
        is_typed = any(isinstance(each, Enum) for each in self._members)
        self.form = "scalar" if is_typed else "plain"

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return self._is_choice(stored)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether each is one of the choices, True not being 1."""
        return all(map(self._is_choice, values))

    def _is_choice(self, value: Any) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def take_in(self, value: Any) -> Any:
        """The value of a member.

        Raises:
            Refused: it is a member of another Enum, even if one with the same value.
        """
        if not isinstance(value, Enum):
            return value
        if self.form == "scalar" and not any(value is member for member in self._members):
            raise Refused(f"expected {self.said}, got {value!r}")
        return value.value

    def read(self, stored: Any) -> Any:
        """The member."""
        for choice, member in zip(self.choices, self._members):
            if type(stored) is type(choice) and stored == choice:
                return member
        return stored


class FlagKind(Kind):
    """A combination of the members of a Flag, stored as a number."""

    form = "scalar"
    is_leaf = True

    def __init__(self, reads: type[Flag]) -> None:
        super().__init__(reads.__name__)
        self._reads = reads

    def may_be(self, stored: Any) -> bool:
        """Whether it is one from outside."""
        return type(stored) is int and self.accepts_all([stored])

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether each is a number that the Flag knows."""
        try:
            return all(type(value) is int and self._reads(value) is not None for value in values)
        except ValueError:
            return False

    def take_in(self, value: Any) -> Any:
        """The number."""
        return value.value if isinstance(value, Enum) else value

    def read(self, stored: Any) -> Any:
        """The combination."""
        return self._reads(stored)


def all_of(kind: type, values: list[Any]) -> bool:
    """Whether all values are of a class or of one below it."""
    return all(issubclass(each, kind) for each in set(map(type, values)))


def first(problems: Iterable[Problem | None]) -> Problem | None:
    """The first that is one."""
    return next((each for each in problems if each is not None), None)
