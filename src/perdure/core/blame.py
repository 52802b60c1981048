"""Which change wrote what is at a path: paths followed back through changes.

Positions in lists move as items are put in and taken out before them, so what is at `plan/3` now
may have been at `plan/2` when it was written.
"""

from __future__ import annotations

from collections.abc import Sequence

from perdure.core.changes import Change, Splice
from perdure.core.paths import Path


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
