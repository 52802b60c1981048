"""Trees of the past: real containers that are read like those of a session and refuse edits."""

from __future__ import annotations

from typing import Any

from perdure.errors import Detached
from perdure.state.mapping import TrackedDict
from perdure.state.place import Place
from perdure.state.root import wrap_root
from perdure.state.tracker import Tracker


class PastTracker(Tracker):
    """The tracker of a tree that shows what once was: no edit passes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.guarded = True

    def before_edit(self, place: Place) -> None:
        """Refuse."""
        raise Detached(
            f"this {place._kind} shows the state as it was at a past checkpoint, which nothing can "
            "change. Edit a copy, its .plain(), or the state itself in a session"
        )


def of_the_past(sections: dict[str, Any]) -> TrackedDict:
    """A tree that shows plain sections, which it takes over.

    Example:
        >>> of_the_past({"plan": ["refund"]})["plan"].append("again")
        Traceback (most recent call last):
            ...
        perdure.errors.Detached: this list shows the state as it was at a past checkpoint, …
    """
    root = wrap_root(sections)
    root._tracker = PastTracker()  # before any section is handed out, which takes it over
    return root
