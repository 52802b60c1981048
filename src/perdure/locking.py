"""What older code does not understand of a newer state, and may read but not edit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from perdure.core.lens import Lens
from perdure.core.lens_reach import ALL, not_understood, reach
from perdure.errors import PerdureError, SchemaNewer

if TYPE_CHECKING:
    from perdure.evolving import Plan
    from perdure.state.evolved import Locks


def locks_of(found: Plan, key: str) -> Locks:
    """The sections that older code does not understand, and what an edit of one raises."""
    make = partial(_newer, found, key)
    if found.back is None:
        return Everything(make)
    names: set[str] = set()
    before: tuple[Lens, ...] = ()
    for step in found.back:
        if step.lenses is None:
            if step.touches is None:
                return Everything(make)
            names |= _older(before, step.touches)
        else:
            lost = not_understood(step.lenses)
            if lost is ALL:
                return Everything(make)
            names |= _older(before, lost)
            before += step.lenses
    return {name: partial(make, name) for name in names}


def _older(lenses: tuple[Lens, ...], names: Iterable[str]) -> set[str]:
    """What sections are called before lenses: those that these do not reach, as after."""
    found = reach(lenses)
    return {
        older
        for name in names
        for older in (found.older_of(name) if name in found.newer else (name,))
    }


class Everything(Mapping[str, Callable[[], PerdureError]]):
    """Locks for all sections there are or will be."""

    def __init__(self, make: Callable[[str], PerdureError]) -> None:
        self._make = make

    def __getitem__(self, name: str) -> Callable[[], PerdureError]:
        return partial(self._make, name)

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


def _newer(found: Plan, key: str, name: str) -> SchemaNewer:
    declared = found.declared
    return SchemaNewer(
        f"{key!r}: the state is in version {found.version} of {declared.name}, and this code is of "
        f"version {declared.version}: it may read {name!r}, and does not understand what newer "
        "code changed there, so an edit could destroy that. Deploy the newer version, or declare "
        "its migration by lenses (perdure.lenses), which older code can follow"
    )
