"""Declaring schemas: their names, their versions, and what leads from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, get_args, overload
from weakref import WeakKeyDictionary

import msgspec

from perdure.core.lens import Lens, Unknown, with_slots
from perdure.errors import MigrationMissing, UsageError
from perdure.state.sections import RESERVED

C = TypeVar("C", bound=type)
Function: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Makes newer sections of older ones, in the dict it is given, or returns others."""
F = TypeVar("F", bound=Function)

UNSTAMPED = 0
"""The version of a state that no typed session has saved, where a migration begins there."""


class Migration(msgspec.Struct, frozen=True, eq=False):
    """What leads from one version of a schema to a later one: lenses, or a function."""

    older: int
    newer: int
    lenses: tuple[Lens, ...] | None
    function: Function | None = None
    touches: frozenset[str] | None = None
    """Sections that the function reads or changes; None: it does not say."""


class Declared(msgspec.Struct, eq=False):
    """What is declared of a class."""

    name: str
    version: int = 1
    migrations: dict[tuple[int, int], Migration] = {}
    """By older and newer version."""

    def path(self, older: int) -> tuple[Migration, ...]:
        """The shortest chain of migrations from a version to this one.

        Raises:
            MigrationMissing: there is none.
        """
        found = shortest(self.migrations, older, self.version)
        if found is None:
            known = ", ".join(f"{one} → {two}" for one, two in sorted(self.migrations)) or "none"
            raise MigrationMissing(
                f"no migrations lead from version {older} of {self.name} to {self.version} "
                f"(declared: {known}): declare what is missing with perdure.migration({self.name}, "
                f"{older}, …)"
            )
        return tuple(self.migrations[step] for step in found)


_declared: WeakKeyDictionary[type, Declared] = WeakKeyDictionary()


def schema(name: str | None = None, *, version: int = 1) -> Callable[[C], C]:
    """Name a class as a schema, with its version.

    The class stays as it is. Without this its schema has the name of the class and the version 1.
    A new version needs a migration (`migration`); fields that are added with a default, or are
    optional, need no new version.

    Args:
        name: under which states know it, whatever the class is called later; by default its name.
        version: 1 or more; states say which one they are in.

    Raises:
        UsageError: not a name or a version, or the class is declared already.

    Example:
        >>> @perdure.schema("Research", version=2)
        ... @dataclass
        ... class Research:
        ...     subject: str = ""
    """
    if name is not None and not _is_name(name):
        raise UsageError(f"a schema's name is a text, not {name!r}: @perdure.schema(version=2)")
    _check_version(version, least=1)

    def declaring(cls: C) -> C:
        if cls in _declared:
            raise UsageError(
                f"{cls.__qualname__} is declared already, as {_declared[cls].name!r}: declare a "
                "schema once, before its migrations"
            )
        _declared[cls] = Declared(name or cls.__name__, version)
        return cls

    return declaring


@overload
def migration(
    schema: type, older: int, newer: int, *, touches: Iterable[str] | None = None
) -> Callable[[F], F]: ...


@overload
def migration(schema: type, older: int, newer: int, lenses: Sequence[Lens], /) -> None: ...


def migration(
    schema: type,
    older: int,
    newer: int,
    lenses: Sequence[Lens] | None = None,
    *,
    touches: Iterable[str] | None = None,
) -> Callable[[F], F] | None:
    """Declare what leads from one version of a schema to a later one.

    As a list of lenses (`perdure.lenses`) it goes both ways and is kept with each state, so that
    old code reads newer states and writes to them. As a function it goes only forward: to old code
    the sections that it touches are not understood.

    Args:
        schema: the class of the newest version.
        older: the version that is read; 0: states that no typed session has saved.
        newer: the version that is made of it.
        lenses: what changes, in order. Without them the decorated function is declared: it is given
            all sections as a plain dict, and edits it or returns another.
        touches: the sections that the function reads or changes, before and after it: it is given
            these alone. By default all are taken to be.

    Raises:
        UsageError: the versions are none, or the step is declared already.
        LossyLens: a lens that loses something was not declared so.

    Example:
        >>> perdure.migration(Research, 1, 2, [rename("topic", "subject"), add("budget", 0)])
        >>> @perdure.migration(Research, 2, 3, touches=["plan"])
        ... def steps_have_ids(state):
        ...     for at, step in enumerate(state.get("plan", [])):
        ...         step["id"] = at
    """
    declared = declared_of(schema)
    _check_version(older, least=0)
    _check_version(newer, least=1)
    if newer <= older:
        raise UsageError(
            f"a migration leads to a later version, not from {older} to {newer}: declare the way "
            f"from {newer} to {older} by lenses, which also lead back"
        )
    if newer > declared.version:
        raise UsageError(
            f"{declared.name} is at version {declared.version}: declare it first with "
            f"@perdure.schema({declared.name!r}, version={newer})"
        )
    if (older, newer) in declared.migrations:
        raise UsageError(
            f"the migration of {declared.name} from {older} to {newer} is declared already: "
            "declare each once; to change it, declare the class anew before it"
        )
    if lenses is not None:
        found = with_slots(_checked(lenses), newer)
        declared.migrations[older, newer] = Migration(older, newer, found)
        return None
    names = None if touches is None else frozenset(_names(touches))

    def declaring(function: F) -> F:
        declared.migrations[older, newer] = Migration(older, newer, None, function, names)
        return function

    return declaring


def declared_of(cls: type) -> Declared:
    """What is declared of a class: by default its name, and version 1.

    Raises:
        UsageError: it is no class.
    """
    if not isinstance(cls, type):
        raise UsageError(
            "a schema is a class: a dataclass, TypedDict, msgspec.Struct or pydantic model, "
            f"not {cls!r}"
        )
    found = _declared.get(cls)
    if found is None:
        found = _declared[cls] = Declared(cls.__name__)
    return found


def shortest(
    steps: Iterable[tuple[int, int]], older: int, newer: int
) -> tuple[tuple[int, int], ...] | None:
    """The fewest steps from one version to a later one; None: they do not lead there."""
    by: dict[int, list[int]] = {}
    for one, two in sorted(steps):
        by.setdefault(one, []).append(two)
    came_from = {older: older}
    front = [older]
    while front and newer not in came_from:
        reached = []
        for at in front:
            for to in by.get(at, ()):
                if to not in came_from:
                    came_from[to] = at
                    reached.append(to)
        front = reached
    return None if newer not in came_from else _way(came_from, older, newer)


def _way(came_from: dict[int, int], older: int, newer: int) -> tuple[tuple[int, int], ...]:
    found = []
    while newer != older:
        found.append((came_from[newer], newer))
        newer = came_from[newer]
    return tuple(reversed(found))


def _checked(lenses: Sequence[Lens]) -> tuple[Lens, ...]:
    if not all(map(_is_lens, lenses)):
        raise UsageError(f"lenses are a list of what perdure.lenses makes, not {lenses!r}")
    return tuple(lenses)


def _names(touches: Iterable[str]) -> Iterable[str]:
    for name in [touches] if isinstance(touches, str) else touches:
        if not _is_name(name) or name.startswith(RESERVED):
            raise UsageError(f"touches is a list of sections' names, not of {name!r}")
        yield name


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name)


def _is_lens(value: object) -> bool:
    return isinstance(value, get_args(Lens)) and not isinstance(value, Unknown)


def _check_version(version: object, *, least: int) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < least:
        raise UsageError(f"a version here is a whole number, {least} or more, not {version!r}")
