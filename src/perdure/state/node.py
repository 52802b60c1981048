"""What tracked dicts, lists and sets have in common: taking values in, and giving plain ones out.

What a node holds is tracked all the way down, from the moment on that the node is there. C code
that reads a container past its methods (pydantic, msgspec, `operator.concat`) takes its children as
they are stored: one that was still plain would be edited there, and never saved (P13). Only the
mapping of sections, which nobody is given, wraps its values when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure import limits
from perdure.core.changes import text_splice
from perdure.core.paths import format_path
from perdure.core.values import ATOMS, SIZED, require_savable, take
from perdure.errors import NotStorable
from perdure.state.place import WRAPPERS, Place, place_of
from perdure.state.tracker import REPLACED, Tracker


class Node(Place):
    """A tracked container. Its methods are those of the plain class, and `plain`."""

    __slots__ = ()

    def plain(self) -> Any:
        """A deep copy that shares nothing with the state: plain containers all the way down.

        Example:
            >>> session.state["plan"].plain()
            {'steps': ['look', 'leap']}
        """
        return plain(self)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return plain(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        content = plain(self)
        return type(content), (content,)

    def copy(self) -> Any:
        """A plain container of the same items: tracked children stay tracked."""
        raise NotImplementedError

    def _load(self, content: Any) -> None:
        """Hold exactly what the plain container `content` does, instead."""
        raise NotImplementedError

    # ---- taking values in -------------------------------------------------------------------

    def _enter(self, value: Any, at: str | int) -> Any:
        """Take `value` in: what to store at `at`, linked. Nothing changes if it is refused."""
        if self._tracker.door is not None and self._tracker.released is None:
            value = self._tracker.door.admit(self, at, value)
        if type(value) in ATOMS:
            if type(value) in SIZED and len(value) > limits.measured_units_min:
                self._require_savable(value, at)
            return value
        place = place_of(value)
        if place is not None and self._adopts(place):
            self._check_fits(value, place, at)
            self._adopt(place, at)
            return value
        return self._fresh(value, at)

    def _require_savable(self, value: Any, at: str | int) -> None:
        """Refuse a text or bytes that no save could write, where somebody inserts it here.

        Of an edit of what is here already, only what changed is written.
        """
        if self._tracker.released is not None:  # somebody else saved it
            return
        path, held = (*self._path(), self._part(at)), self._held(at)
        written: Any = value
        if type(held) is type(value):
            if held == value:
                return
            edit = text_splice(path, held, value)
            written = value if edit is None else edit.items
        require_savable(written, path)

    def _held(self, at: str | int) -> Any:
        """What is stored at a key or position; None if nothing is."""
        if isinstance(self, dict):
            return dict.get(self, at)
        assert isinstance(self, list)
        assert isinstance(at, int)
        return list.__getitem__(self, at) if 0 <= at < list.__len__(self) else None

    def _enter_all(
        self, values: Iterable[tuple[str | int, Any]], staying: Iterable[Any] = ()
    ) -> list[Any]:
        """Take pairs of position and value in, all or none; `staying` items keep their identity."""
        if self._tracker.door is not None and self._tracker.released is None:
            values = self._tracker.door.admit_all(self, values)
        mine = {id(item) for item in staying}
        adopted: dict[int, tuple[Place, str | int]] = {}
        stored: list[Any] = []
        for at, value in values:
            if type(value) in ATOMS:
                if type(value) in SIZED and len(value) > limits.measured_units_min:
                    self._require_savable(value, at)
                stored.append(value)
                continue
            place = place_of(value)
            if place is not None and id(value) in mine:
                mine.remove(id(value))
                stored.append(value)
            elif place is not None and id(place) not in adopted and self._adopts(place):
                self._check_fits(value, place, at)
                adopted[id(place)] = place, at
                stored.append(value)
            else:
                stored.append(self._fresh(value, at))
        for place, at in adopted.values():
            self._adopt(place, at)
        return stored

    def _fresh(self, value: Any, at: str | int) -> Any:
        """A copy of `value`, tracked, as a child of this node."""
        depth = self._depth()
        try:
            taken = take(value, (), depth)
        except NotStorable:
            take(
                value, (*self._path(), self._part(at)), depth
            )  # now with the path that the message needs
            raise
        wrap = WRAPPERS.get(type(taken))
        if wrap is None:
            return taken
        stored = wrap(taken, self, at)
        tracker = self._tracker
        if type(taken) is list:
            tracker.watch(stored)
        if tracker.blocks:
            tracker.save_new(place_of(stored))
        return stored

    def _adopts(self, place: Place) -> bool:
        """Whether `place` is free to become a child of this node as it is."""
        if place._parent is not None or place is self._tracker.root:
            return False
        if place._tracker is self._tracker:
            return True
        # An open block of its former document may yet put it back.
        return place._tracker is not REPLACED and not place._tracker.blocks

    def _check_fits(self, value: Any, place: Place, at: str | int) -> None:
        if place is self._top():
            where = (*self._path(), self._part(at))
            raise NotStorable(
                f"{format_path(where)}: a container cannot be inside itself. "
                "Insert a copy: container.plain()",
                path=where,
            )
        depth = self._depth()
        if depth + _height(value) > limits.depth_max:
            take(value, (*self._path(), self._part(at)), depth)  # raises

    def _adopt(self, place: Place, at: str | int) -> None:
        if place._tracker is not self._tracker:
            _hand_over(place, self._tracker)
        if self._tracker.blocks:
            self._tracker.save(place)
        place._clean()
        self._tracker.moving[id(place)] = place
        place._at = at
        place._parent = self

    def _going(self, value: Any) -> Place | None:
        """Note that a stored value is about to go; its place, which then has to leave."""
        place = place_of(value)
        if place is not None:
            self._tracker.moving[id(place)] = place
        return place


def plain(value: Any) -> Any:
    """A deep copy of a stored value, plain all the way down."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if isinstance(value, dict):
        if ATOMS.issuperset(map(type, dict.values(value))):
            return dict.copy(value)
        return {key: plain(item) for key, item in dict.items(value)}
    if isinstance(value, list):
        return [plain(item) for item in list.__iter__(value)]
    if isinstance(value, set):
        return set(value)
    if kind is tuple:
        return tuple([plain(item) for item in value])
    return value


def replaced(value: Any) -> None:
    """Let no edit of what was stored as `value` pass any more."""
    place = place_of(value)
    if place is not None:
        place._tracker = REPLACED
        place._parent = place._kids = place._marks = None
        for item in place._items():
            replaced(item)


def _hand_over(place: Place, tracker: Tracker) -> None:
    """Make a free tree another document's."""
    for item in place._items():
        inner = place_of(item)
        if inner is not None:
            _hand_over(inner, tracker)
    tracker.lists_made += place._kind == "list"
    place._tracker = tracker  # last: before, an interrupted one is begun again


def _height(value: Any) -> int:
    """How many containers deep a stored value is; 0 for a scalar."""
    if isinstance(value, dict):
        items: Iterable[Any] = dict.values(value)
    elif isinstance(value, list):
        items = list.__iter__(value)
    elif isinstance(value, tuple | set | frozenset):
        items = value
    else:
        return 0
    return 1 + max(map(_height, items), default=0)
