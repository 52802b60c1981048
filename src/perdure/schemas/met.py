"""Whether lenses found what they are about: one that is misspelt fits all states, to no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from perdure.core.delta import ABSENT
from perdure.core.lens import (
    Add,
    InItems,
    Lens,
    Lenses,
    MapValues,
    Nested,
    Place,
    Unknown,
    describe,
    home,
    olds,
)
from perdure.core.lens_run import ahead
from perdure.errors import MigrationFailed
from perdure.schemas.compare import ITEMS, VALUES
from perdure.schemas.declare import Migration
from perdure.schemas.report import UnmetLens

Spot: TypeAlias = tuple[int, ...]
"""Which lens it is: its number in a migration, in those of its items, and so on; which place."""


class Met:
    """The places that the lenses of migrations take from, and whether any state had them.

    Only what no state had yet is looked for again, so that of many states few cost anything.
    """

    def __init__(self) -> None:
        self._unmet: dict[Migration, dict[Spot, UnmetLens]] = {}

    def see(self, migration: Migration, sections: dict[str, Any]) -> None:
        """Look for what the lenses of a migration take, in sections as they are before it."""
        if migration not in self._unmet:
            self._unmet[migration] = dict(_sought(migration, migration.lenses or (), (), ()))
        unmet = self._unmet[migration]
        if unmet:
            with suppress(MigrationFailed):  # which is told, with its path, when it is run
                for spot in list(_met(sections, migration.lenses or (), (), unmet)):
                    unmet.pop(spot, None)

    def unmet(self) -> tuple[UnmetLens, ...]:
        """What none of the states had that were seen, of the migrations that were run."""
        found = sorted(self._unmet.items(), key=lambda pair: (pair[0].older, pair[0].newer))
        return tuple(each for _, unmet in found for _, each in _outermost(unmet))


def _outermost(unmet: dict[Spot, UnmetLens]) -> Iterator[tuple[Spot, UnmetLens]]:
    """Those that are not within a list or mapping that was not there itself, or had nothing."""
    for spot, each in sorted(unmet.items()):
        if not any((*spot[:size], 0) in unmet for size in range(1, len(spot) - 1)):
            yield spot, each


def _sought(
    migration: Migration, lenses: Lenses, spot: Spot, where: Place
) -> Iterator[tuple[Spot, UnmetLens]]:
    for at, lens in enumerate(lenses):
        for number, place in enumerate(_places(lens)):
            path = "/".join((*where, *place))
            found = UnmetLens(migration.older, migration.newer, path, describe(lens))
            yield (*spot, at, number), found
        if isinstance(lens, InItems | MapValues):
            inner = (*where, *lens.at, ITEMS if isinstance(lens, InItems) else VALUES)
            yield from _sought(migration, lens.lenses, (*spot, at), inner)


def _met(
    fields: dict[str, Any], lenses: Lenses, spot: Spot, unmet: dict[Spot, UnmetLens]
) -> Iterator[Spot]:
    """The spots of lenses whose places are there, each seen as those before it leave the fields."""
    last = max((each[len(spot)] for each in unmet if each[: len(spot)] == spot), default=-1)
    for at, lens in enumerate(lenses[: last + 1]):
        for number, place in enumerate(_places(lens)):
            if _is_there(fields, place, lens):
                yield (*spot, at, number)
        if isinstance(lens, InItems | MapValues):
            here = (*spot, at)
            for each in _within(fields, lens):
                if any(found[: len(here)] == here for found in unmet):
                    yield from _met(each, lens.lenses, here, unmet)
        if at < last:
            fields = ahead(fields, (lens,), ())


def _places(lens: Lens) -> tuple[Place, ...]:
    """The places that a lens takes from; of what it adds the mapping, unless that is the state."""
    if isinstance(lens, Unknown):
        return ()
    if isinstance(lens, InItems | MapValues):
        return (lens.at,)
    if isinstance(lens, Add):
        return (home(lens),) if home(lens) else ()
    return olds(lens)


def _is_there(fields: dict[str, Any], place: Place, lens: Lens) -> bool:
    found = _at(fields, place)
    if isinstance(lens, InItems | MapValues):
        return any(True for _ in _within(fields, lens))
    return found is not ABSENT


def _within(fields: dict[str, Any], lens: Nested) -> Iterable[dict[str, Any]]:
    """The items or values that a lens is for."""
    found = _at(fields, lens.at)
    if isinstance(lens, MapValues):
        held: Iterable[Any] = found.values() if isinstance(found, dict) else ()
    else:
        held = found if isinstance(found, list) else ()
    return (each for each in held if isinstance(each, dict))


def _at(fields: Any, place: Place) -> Any:
    for name in place:
        fields = fields.get(name, ABSENT) if isinstance(fields, dict) else ABSENT
    return fields
