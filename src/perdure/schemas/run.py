"""Running migrations: newer sections of older ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from perdure.core.lens_reach import reach
from perdure.core.lens_run import forward
from perdure.core.values import take
from perdure.errors import MigrationFailed
from perdure.schemas.declare import Function, Migration
from perdure.state.sections import RESERVED


def reached(migrations: Sequence[Migration], names: Iterable[str]) -> frozenset[str]:
    """Those of the sections of a state that migrations read or change."""
    found: set[str] = set()
    for each in migrations:
        if each.lenses is None and each.touches is None:
            return frozenset(names)
        if each.lenses is not None:
            found |= _sections_of(each)
        found |= each.touches or frozenset()
    return frozenset(names).intersection(found)


def made_by_functions(migrations: Sequence[Migration], names: Iterable[str]) -> frozenset[str]:
    """Those of the sections, as they are after migrations, that functions had a hand in."""
    found: set[str] = set()
    for at, each in enumerate(migrations):
        if each.lenses is not None:
            continue
        if each.touches is None:
            return frozenset(names)
        later = reach(tuple(lens for one in migrations[at + 1 :] for lens in one.lenses or ()))
        found = found.union(*map(later.newer_of, each.touches))
    return frozenset(names).intersection(found)


@lru_cache(maxsize=256)
def _sections_of(migration: Migration) -> frozenset[str]:
    """The sections that its lenses reach: the same for every state of a fleet."""
    reaching = reach(migration.lenses or ())
    return reaching.older | reaching.newer


def run(
    migrations: Sequence[Migration],
    sections: dict[str, Any],
    seen: Callable[[Migration, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """The sections after migrations.

    Args:
        migrations: in order.
        sections: plain; those that they reach, at least. Given up by the caller.
        seen: called before each, with the sections as they are by then.

    Raises:
        MigrationFailed: one does not fit what is there.
    """
    for each in migrations:
        if seen is not None:
            seen(each, sections)
        if each.lenses is not None:
            forward(sections, each.lenses)
        else:
            assert each.function is not None
            sections = _by_function(each, each.function, sections)
    return sections


def _by_function(
    migration: Migration, function: Function, sections: dict[str, Any]
) -> dict[str, Any]:
    """What a function makes of the sections that it is to see; never the library's own."""
    touches = migration.touches
    shown = {
        name: value
        for name, value in sections.items()
        if not name.startswith(RESERVED) and (touches is None or name in touches)
    }
    others = {name: value for name, value in sections.items() if name not in shown}
    named = f"{getattr(function, '__qualname__', function)}, the migration from version "
    named += f"{migration.older} to {migration.newer},"
    try:
        made = function(shown)
        made = take(shown if made is None else made)
    except (Exception, SystemExit) as error:  # the user's code: whatever it raises, it failed
        raise MigrationFailed(f"{named} failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, dict) or any(name.startswith(RESERVED) for name in made):
        raise MigrationFailed(f"{named} returned no dict of sections: {made!r:.80}")
    if touches is not None and not touches.issuperset(made):
        more = ", ".join(sorted(made.keys() - touches))
        raise MigrationFailed(f"{named} made {more}, which its touches=[…] does not name: add it")
    return {**others, **made}
