"""Defaults that can be changed: free containers that take their place with their first edit."""

from __future__ import annotations

from typing import Any

from perdure import limits
from perdure.core.paths import Path, format_path
from perdure.errors import Detached
from perdure.schemas.models import Field
from perdure.state.door import Defaults, Home, admitted_at
from perdure.state.mapping import wrap_dict
from perdure.state.place import Place, place_of
from perdure.state.sections import State
from perdure.state.tracker import Tracker


class GhostTracker(Tracker):
    """The tracker of a default that is not in its place yet."""

    __slots__ = ("_at", "_ghost", "_holder")

    def __init__(self, holder: Any, at: str, ghost: Any) -> None:
        super().__init__()
        self._holder = holder
        self._at = at
        self._ghost = ghost
        self.guarded = True

    def above(self) -> Path:
        """The place that the default would take."""
        holder = self._holder
        return (self._at,) if isinstance(holder, State) else (*holder._path(), self._at)

    def before_edit(self, place: Place, grows: bool = False) -> None:
        """Put the default in its place, where the edit then is one like any other."""
        if self._at in self._holder:
            raise Detached(
                f"this {place._kind} was the default of {format_path((self._at,))}, which has got "
                "another value since. Take it again from session.state"
            )
        self._holder[self._at] = self._ghost
        tracker = place._tracker
        for block in tracker.blocks[-1:]:  # undoing makes it a default again
            block[id(place_of(self._ghost))].ghost = self._again
        if tracker.guarded:
            tracker.before_edit(place, grows)

    def _again(self) -> None:
        _watch(place_of(self._ghost), self)


def default_of(field: Field, holder: Any, home: Home) -> tuple[Any, bool]:
    """What a missing field reads as, and whether that is in its stored form: a ghost.

    One that is made, as an id or a time may be, reads the same for as long as the session lasts.
    """
    at = id(holder), field.name
    known = home.ghosts.get(at)
    if known is not None and known[0] is holder and is_ghost(known[1]):
        return known[1], True
    known = home.made.get(at)
    if known is not None and known[0] is holder:
        return known[1], False
    value = field.fresh()
    stored = admitted_at(field.kind, value, (field.name,), 0)
    ghost = ghost_of(stored, holder, field.name)
    if ghost is not None:
        _keep(home.ghosts, at, (holder, ghost))
        return ghost, True
    if field.is_made:
        _keep(home.made, at, (holder, value))
    return value, False


def _keep(known: Defaults, at: tuple[int, str], pair: tuple[Any, Any]) -> None:
    known[at] = pair
    if len(known) > limits.checked_containers_max:
        del known[next(iter(known))]


def is_ghost(stored: Any) -> bool:
    """Whether it has not taken its place."""
    place = place_of(stored)
    return place is not None and isinstance(place._tracker, GhostTracker)


def ghost_of(stored: Any, holder: Any, at: str) -> Any:
    """A free container like `stored` that becomes `holder[at]` with its first edit.

    Also a tuple that holds containers; None if there is nothing that could be edited.
    """
    ghost = wrap_dict({at: stored}, None, "")[at]
    place = place_of(ghost)
    if place is None:
        return None
    place._parent = None
    _watch(place, GhostTracker(holder, at, ghost))
    return ghost


def _watch(place: Place | None, tracker: Tracker) -> None:
    if place is None:
        return
    place._tracker = tracker
    for item in place._items():
        _watch(place_of(item), tracker)
