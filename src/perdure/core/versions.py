"""What changes say of the versions of a state's schemas: the section `perdure.schema`.

{"Research": {"version": 3, "steps": [[1, 2, [<lens>, …], null], …]}}
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from perdure.core.changes import Change, Set, apply, copies
from perdure.core.paths import Path
from perdure.core.values import same, take

SECTION = "perdure.schema"
"""The section that holds the stamps of all schemas of a state."""

VERSION, STEPS = "version", "steps"


def migrated_in(changes: Iterable[Change]) -> dict[str, int]:
    """The versions that changes bring schemas to, by name; the first version says nothing.

    Example:
        >>> migrated_in([Set(("perdure.schema", "Research", "version"), 2)])
        {'Research': 2}
    """
    return {name: version for name, version in versions_in(changes).items() if version != 1}


def versions_in(changes: Iterable[Change]) -> dict[str, int]:
    """The versions that changes say of schemas, by name.

    Example:
        >>> versions_in([Set(("perdure.schema", "Research"), {"version": 1, "steps": []})])
        {'Research': 1}
    """
    return dict(pair for change in changes for pair in _said(change))


def are_apart(one: Iterable[Change], other: Iterable[Change]) -> bool:
    """Whether two sides' changes, both to one state, leave it in different versions."""
    return migrated_in(one) != migrated_in(other)


def came_apart(one: Iterable[Change], other: Iterable[Change]) -> Generator[Path, Any, bool]:
    """Whether two sides came to one version by different ways, or old code sees them by such.

    What one way keeps for old code is not where the other does.

    Yields the path of the stamps that both sides began with, and is sent these.
    """
    sides = [
        [change for change in changes if change.path[0] == SECTION] for changes in (one, other)
    ]
    if not all(sides):
        return False
    stamps = yield (SECTION,)
    ours, theirs = (_steps_after(stamps, changes) for changes in sides)
    return any(not same(ours[at], theirs[at]) for at in ours.keys() & theirs.keys())


def _steps_after(stamps: Any, changes: list[Change]) -> dict[tuple[str, int], Any]:
    """The steps after changes, by the names of schemas and the versions that they lead from."""
    held: dict[str, Any] = {SECTION: take(stamps) if isinstance(stamps, dict) else {}}
    apply(held, copies(changes))
    found = {}
    for name, stamp in (held.get(SECTION) or {}).items():
        for step in stamp.get(STEPS, ()) if isinstance(stamp, dict) else ():
            if isinstance(step, list) and step:
                found[name, step[0]] = step
    return found


def _said(change: Change) -> Iterator[tuple[str, int]]:
    """Names and versions in one change."""
    if change.path[0] != SECTION or not isinstance(change, Set):
        return
    if len(change.path) == 3 and change.path[2] == VERSION:
        yield str(change.path[1]), change.value
    stamps: Any = {1: change.value, 2: {str(change.path[-1]): change.value}}.get(len(change.path))
    for name, stamp in (stamps or {}).items():
        if isinstance(stamp, dict) and isinstance(stamp.get(VERSION), int):
            yield name, stamp[VERSION]
