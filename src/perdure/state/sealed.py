"""Sections of the library that users read, and that nobody edits by way of a session's state."""

from __future__ import annotations

from typing import Any

from perdure.core.lens import KEPT
from perdure.core.versions import SECTION
from perdure.errors import ReservedSection
from perdure.state.mapping import wrap_dict
from perdure.state.node import plain
from perdure.state.place import Place, place_of
from perdure.state.tracker import Tracker

SEALED = frozenset({SECTION, KEPT})
"""What a slip in them would destroy: the version of the state, and what is kept for older code."""


class SealedTracker(Tracker):
    """The tracker of copies: no edit passes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.guarded = True

    def before_edit(self, place: Place, grows: bool = False) -> None:
        """Refuse."""
        raise ReservedSection(
            f"this {place._kind} is of a section that is the library's own: it can be read, not "
            "edited. `.plain()` gives a copy to work on"
        )


_TRACKER = SealedTracker()


def sealed(section: Any) -> Any:
    """A copy of a section, edits of which are refused."""
    copy = wrap_dict({"": plain(section)}, None, "")[""]
    place = place_of(copy)
    if place is not None:
        place._parent = None
        _seal(place)
    return copy


def _seal(place: Place) -> None:
    place._tracker = _TRACKER
    for item in place._items():
        inner = place_of(item)
        if inner is not None:
            _seal(inner)
