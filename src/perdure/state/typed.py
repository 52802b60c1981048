"""Giving what is stored its type: the tracked container itself, or a view before it.

A value whose stored form is its typed form is handed out as it is, once it was checked. Anything
else gets a view, which holds the node and no data, when it is touched.
"""

from __future__ import annotations

from typing import Any, TypeVar

from perdure import limits
from perdure.core.paths import Path, format_path
from perdure.errors import BadStored
from perdure.schemas.annotations import kind_of
from perdure.schemas.kinds import ANY, DictKind, Kind, ListKind, TupleKind
from perdure.schemas.models import ModelKind
from perdure.state.document import Document
from perdure.state.door import Door, Home
from perdure.state.node import Node
from perdure.state.sections import State
from perdure.state.typed_ghosts import ghost_of
from perdure.state.typed_lists import TypedList
from perdure.state.typed_mappings import TypedMapping
from perdure.state.typed_models import ModelView, view_class

T = TypeVar("T")


def install(cls: type[Any], document: Document) -> None:
    """Have all that is inserted into the document checked by what the class says of its sections.

    Raises:
        UsageError: the class cannot be a schema; the message names class and field.
    """
    tracker = document._tracker
    tracker.door = Door(kind_of(cls), document._root)


def typed_state(cls: type[T], state: State) -> T:
    """The view of a whole state: its sections are the fields of the class.

    Raises:
        UsageError: the class cannot be a schema; the message names class and field.
    """
    kind = kind_of(cls)
    door = state._root._tracker.door
    home = Home() if door is None else door.home
    view: T = held_view(kind, state, home)
    return view


def typed(kind: Kind, stored: Any, home: Home, holder: Any, at: str | int) -> Any:
    """What is stored at `at` in `holder`, as its kind says.

    Raises:
        BadStored: it does not fit.
    """
    if kind is ANY or type(stored) in kind.atoms:
        return stored
    if kind.is_plain:
        _check(kind, stored, home, holder, at)
        return stored
    picked = kind.resolve(stored)
    if not picked.may_be(stored):
        raise _bad(kind, stored, holder, at)
    if picked is not kind:
        return typed(picked, stored, home, holder, at)
    if isinstance(picked, ModelKind | ListKind | DictKind):
        return held_view(picked, stored, home)
    if isinstance(picked, TupleKind):
        return _tuple(picked, stored, home, holder, at)
    _check(picked, stored, home, holder, at)
    return picked.read(stored)


def _tuple(kind: TupleKind, stored: Any, home: Home, holder: Any, at: str | int) -> Any:
    kinds = [kind.child(position) or ANY for position in range(len(stored))]
    return kind.make(*[typed(each, item, home, holder, at) for each, item in zip(kinds, stored)])


def held_view(kind: Kind, node: Any, home: Home) -> Any:
    """The view before a node: the one that is there, while somebody holds it."""
    view = home.views.get(id(node))
    if view is None or view._perdure_kind is not kind or view._perdure_node is not node:
        view = _make(kind)(kind, node, home)
        home.views[id(node)] = view
    return view


def _make(kind: Kind) -> Any:
    if isinstance(kind, ListKind):
        return TypedList._perdure_make
    if isinstance(kind, ModelKind) and kind.family != "typeddict":
        return view_class(kind)
    return TypedMapping._perdure_make


def _check(kind: Kind, stored: Any, home: Home, holder: Any, at: str | int) -> None:
    checked = home.checked
    known = checked.get(id(stored))
    if known is not None and known[0] is stored and known[1] is kind:
        return
    if not kind.accepts_all([stored]):
        raise _bad(kind, stored, holder, at)
    if isinstance(stored, Node):
        checked[id(stored)] = stored, kind
        if len(checked) > limits.checked_containers_max:
            del checked[next(iter(checked))]


def _bad(kind: Kind, stored: Any, holder: Any, at: str | int) -> BadStored:
    path: Path = (at,) if isinstance(holder, State) else (*holder._path(), holder._part(at))
    problem = kind.problem(stored, path)
    path = path if problem is None else problem.path
    said = f"expected {kind.said}" if problem is None else str(problem)
    return BadStored(
        f"{format_path(path)}: what is stored does not fit the schema: {said}. "
        f'It can be read and mended as it is: session.raw["{path[0]}"]',
        path=path,
    )


__all__ = ["ModelView", "ghost_of", "install", "typed", "typed_state"]
