"""Which change wrote what is at a path: paths followed back through changes.

Positions in lists move as items are put in and taken out before them, so what is at `plan/3` now
may have been at `plan/2` when it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perdure.core.changes import Change, Splice
from perdure.core.diff import gaps
from perdure.core.matching import id_of
from perdure.core.paths import Path
from perdure.core.values import same


def before_changes(changes: Sequence[Change], path: Path) -> Path | None:
    """Where the value that is at `path` after the changes was before them.

    Returns:
        The path then; None if one of the changes wrote the value, something in it, or a whole that
        it is part of.

    Example:
        >>> before_changes([Splice(("plan",), 0, 0, ["first of all"])], ("plan", 3))
        ('plan', 2)
        >>> before_changes([Splice(("plan",), 3, 0, ["pay"])], ("plan", 3)) is None
        True
    """
    for change in reversed(changes):
        earlier = _before(change, path)
        if earlier is None:
            return None
        path = earlier
    return path


def _before(change: Change, path: Path) -> Path | None:
    above = len(change.path)
    if change.path[: len(path)] == path:  # of the value itself, or of something in it
        return None
    if path[:above] != change.path:
        return path
    position = path[above]
    if not isinstance(change, Splice) or not isinstance(position, int):
        return None
    if position < change.start:
        return path
    if position < change.start + len(change.items):
        return None
    return (*change.path, position - len(change.items) + change.removed, *path[above + 1 :])


def same_place(here: Any, there: Any, path: Path) -> Path | None:
    """Where the value that is at `path` in one state is in another, which has the same there.

    Returns:
        The path there; None if there is another value, or it cannot be told which one it is.

    Example:
        >>> same_place({"plan": ["ours", "pay"]}, {"plan": ["pay"]}, ("plan", 1))
        ('plan', 0)
        >>> same_place({"step": 2}, {"step": 1}, ("step",)) is None
        True
    """
    found: list[str | int] = []
    for part in path:
        at: str | int | None = None
        if isinstance(part, int):
            if isinstance(here, list) and isinstance(there, list):
                at = _twin(here, there, part)
            elif isinstance(here, tuple) and isinstance(there, tuple) and part < len(there):
                at = part
        elif isinstance(there, dict) and part in there:
            at = part
        if at is None:
            return None
        here, there = here[part], there[at]
        found.append(at)
    return tuple(found) if same(here, there) else None


def _twin(here: list[Any], there: list[Any], at: int) -> int | None:
    """Where the item of one list is in another: by its id, or by what stands around it."""
    name = id_of(here[at])
    if name is not None:
        twins = [to for to, item in enumerate(there) if id_of(item) == name]
        if len(twins) == 1 and sum(id_of(item) == name for item in here) == 1:
            return twins[0]
    shift = 0
    for a_start, a_end, b_start, b_end in gaps(here, there):
        if at < a_start:
            break
        if at < a_end and a_end - a_start != b_end - b_start:
            return None
        shift = b_start - a_start if at < a_end else b_end - a_end
    return at + shift
