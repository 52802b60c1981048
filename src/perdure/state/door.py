"""What values have to pass on their way into a typed document, and what its views share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

from perdure import limits
from perdure.core.paths import Path, format_path
from perdure.core.values import ATOMS, take
from perdure.errors import WrongType
from perdure.schemas.kinds import ANY, Kind, Refused, bare
from perdure.schemas.models import ModelKind
from perdure.state.place import Place, place_of

_STORED = (dict, list, set)


class Home:
    """What the views of one document share."""

    __slots__ = ("_views_max", "checked", "ghosts", "views")

    def __init__(self) -> None:
        self.views: dict[int, ref[Any]] = {}
        """By the id of the node: the view before it, as long as somebody holds that."""
        self._views_max = limits.views_swept_min
        self.checked: dict[int, tuple[Any, Kind]] = {}
        """By id: plain containers that were found to fit, and what they were to fit."""
        self.ghosts: dict[tuple[int, str], tuple[Any, Any]] = {}
        """By the id of what would hold it, and field: it, and a default not yet in its place."""

    def keep(self, node: Any, view: Any) -> None:
        """Let a view be found again while somebody holds it.

        Those that nobody holds any more are swept out when there are twice as many as were held
        the last time: cheaper than having each of them call back when it goes.
        """
        self.views[id(node)] = ref(view)
        if len(self.views) > self._views_max:
            held = {at: each for at, each in list(self.views.items()) if each() is not None}
            self.views = held
            self._views_max = max(limits.views_swept_min, 2 * len(held))


class Door:
    """Checks what is inserted into a document, and turns it into what is stored."""

    __slots__ = ("home", "kind", "root")

    def __init__(self, kind: ModelKind, root: Place) -> None:
        self.kind = kind
        self.root = root
        self.home = Home()

    def kind_of(self, place: Place) -> Kind | None:
        """What the schema says of a place; None where it says nothing, and of a free one."""
        way: list[Place] = []
        while place is not self.root:
            parent = place._parent
            if parent is None:
                return None
            way.append(place)
            place = parent
        kind: Kind = self.kind
        for place in reversed(way):
            inner = kind.child(place._at)
            if inner is None:
                return None
            kind = inner
            if kind.is_choice:
                kind = kind.resolve(place if isinstance(place, _STORED) else place._items())
        return kind

    def claim(self, name: str, value: Any) -> Any:
        """A section that is handed out, typed or not."""
        kind = self.kind.child(name)
        return value if kind is None else kind.claim(value)

    def admit(self, node: Place, at: str | int, value: Any) -> Any:
        """The stored form of a value that is to be at `at` in `node`.

        Raises:
            WrongType: the schema says otherwise.
        """
        above = self.kind_of(node)
        kind = None if above is None else above.child(at)
        if kind is None or kind is ANY:
            return bare(value)
        if type(value) in kind.atoms:
            return value
        return admitted(kind, value, node, at)

    def admit_all(
        self, node: Place, values: Iterable[tuple[str | int, Any]]
    ) -> list[tuple[str | int, Any]]:
        """The same for pairs of position and value."""
        above = self.kind_of(node)
        taken: list[tuple[str | int, Any]] = []
        for at, value in values:
            kind = None if above is None else above.child(at)
            if kind is None or kind is ANY:
                value = bare(value)
            elif type(value) not in kind.atoms:
                value = admitted(kind, value, node, at)
            taken.append((at, value))
        return taken

    def admit_members(self, node: Place, new: Iterable[Any]) -> set[Any]:
        """The same for new members of a set."""
        above = self.kind_of(node)
        kind = None if above is None else above.child("")
        if kind is None:
            return set(new)
        path = node._path()
        return {admitted_at(kind, value, path, 0) for value in new}

    def release(self, node: Place, at: str) -> None:
        """Let a key go.

        Raises:
            WrongType: the schema needs it.
        """
        kind = self.kind_of(node)
        if isinstance(kind, ModelKind) and kind.is_required(at):
            path = (*node._path(), at)
            raise WrongType(
                f"{format_path(path)}: {kind.said} needs this field, so it cannot be deleted. "
                "Assign another value, or give the field a default",
                path=path,
            )


def is_watched(node: Place) -> bool:
    """Whether a door sees what is inserted into a node: not into one that is free."""
    tracker = node._tracker
    return tracker.door is not None and node._top() is tracker.root


def admitted(kind: Kind, value: Any, node: Place, at: str | int) -> Any:
    """The stored form of a value that `kind` lets be at `at` in `node`.

    Raises:
        WrongType: it does not.
    """
    value = bare(value)
    if place_of(value) is not None and kind.accepts_all([value]):
        return value  # as it is, so that one that is free moves here
    return admitted_at(kind, value, (*node._path(), node._part(at)), node._depth())


def admitted_at(kind: Kind, value: Any, path: Path, depth: int) -> Any:
    """The same for a path."""
    try:
        taken = kind.take_in(value)
    except Refused as error:
        where = (*path, *error.path)
        raise WrongType(f"{format_path(where)}: {error}", path=where) from None
    if type(taken) not in ATOMS:
        taken = take(taken, path, depth)
    if not kind.accepts_all([taken]):
        problem = kind.problem(taken, path)
        assert problem is not None
        raise WrongType(f"{format_path(problem.path)}: {problem}", path=problem.path)
    return taken
