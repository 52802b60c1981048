"""Trees of the past: real containers that are read like those of a session and refuse edits."""

from __future__ import annotations

from typing import Any

from perdure.errors import Detached
from perdure.state.document import UNLOADED
from perdure.state.place import Place
from perdure.state.root import Root, wrap_root
from perdure.state.tracker import Tracker
from perdure.state.unloaded import Loader, Unloaded


class PastTracker(Tracker):
    """The tracker of a tree that shows what once was: no edit passes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.guarded = True

    def before_edit(self, place: Place, grows: bool = False) -> None:
        """Refuse."""
        raise Detached(
            f"this {place._kind} shows the state as it was at a past checkpoint, which nothing can "
            "change. Edit a copy, its .plain(), or the state itself in a session"
        )


def of_the_past(sections: dict[str, Any], load: Loader) -> Root:
    """A tree that shows sections, which it takes over.

    Args:
        sections: by name, in order: plain values; `UNLOADED` for those that are not read; of a list
            of which only the tail is, a `Window`.
        load: gives the plain value of one that is not read, when it is touched.

    Example:
        >>> of_the_past({"plan": ["refund"]}, refuse)["plan"].append("again")
        Traceback (most recent call last):
            ...
        perdure.errors.Detached: this list shows the state as it was at a past checkpoint, …
    """
    root = wrap_root(sections)
    root._tracker = PastTracker()  # before any section is handed out, which takes it over
    for name, value in sections.items():
        if value is UNLOADED:
            dict.__setitem__(root, name, Unloaded(load))
    return root
