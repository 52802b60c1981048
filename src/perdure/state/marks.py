"""Words that marks are made of, and the change that a mark with a known base stands for."""

from __future__ import annotations

from typing import Any

from perdure.core.changes import Change, Set, text_splice
from perdure.core.paths import Path, format_path
from perdure.core.values import same
from perdure.errors import UntrackedEdit
from perdure.state.unloaded import Unloaded


class Mark:
    """What a base had, where that is not a scalar."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def copy(self) -> Mark:
        """Itself: marks are copied when an atomic block keeps what it may have to undo."""
        return self


ABSENT: Any = Mark("ABSENT")
ADDED: Any = Mark("ADDED")
DELETED: Any = Mark("DELETED")
MOVED: Any = Mark("MOVED")
CHANGED: Any = Mark("CHANGED")
WHOLE: Any = Mark("WHOLE")
"""In place of all marks of a set: it is to be written whole."""

TORN = float("-inf")
"""The size of a list in the middle of an edit. Whatever is added to it, it stays."""

BASELESS = (dict, list, set, tuple, frozenset, Unloaded)
"""What leaves CHANGED, and no copy of itself."""

GIVE_UP = "Or give it up, with all that is not saved: session.refresh()"
"""The way out of an untracked edit that nobody wants."""


def assignment(path: Path, base: Any, value: Any) -> Change | None:
    """The change from `base` to `value` at `path`; None if they are the same."""
    if base is not CHANGED and base is not DELETED:
        if same(base, value):
            return None
        if type(base) is type(value) and isinstance(base, str | bytes):
            return text_splice(path, base, value) or Set(path, value)
    return Set(path, value)


def resized(path: Path, found: int, left: int) -> UntrackedEdit:
    """The error for a list that has `found` items where its own methods left another number."""
    return UntrackedEdit(
        f"{format_path(path)} has {found} items where its own methods left {left}: code that "
        "bypasses them changed it, as heapq and bisect.insort do. Nothing was saved or lost. "
        "Let such code work on a copy and assign that: copy = list(items); "
        "heapq.heappush(copy, …); items[:] = copy. Now, items[:] = list(items) takes the list "
        f"as it is. {GIVE_UP}"
    )


def lost(path: Path) -> UntrackedEdit:
    """The error for a container from which items went without its methods being called."""
    return UntrackedEdit(
        f"{format_path(path)} was changed by code that bypasses its methods. "
        f"Nothing was saved. Assign the container anew, as a copy: its .plain(). {GIVE_UP}"
    )
