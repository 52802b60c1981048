"""Giving one stored value its type: as it is, or as a view before it, or made anew.

What a kind's values are read by is found once for each kind. Most values are leaves, which need no
more than a look at their class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure import limits
from perdure.core.paths import Path, format_path
from perdure.errors import BadStored, PerdureError
from perdure.schemas.containers import DictKind, ListKind, SetKind, TupleKind
from perdure.schemas.kinds import ANY, Kind
from perdure.schemas.models import ModelKind, UnionKind
from perdure.state.door import Home
from perdure.state.node import Node
from perdure.state.sections import State

Reader = Callable[[Any, Any, Home, Any, Any], Any]

VIEWS: dict[type[Kind], Callable[[Any], Callable[[Any, Any, Home], Any]]] = {}
"""By the class of a kind: what gives, for a kind, what makes the views of it. Filled in `typed`."""


def typed(kind: Kind, stored: Any, home: Home, holder: Any, at: str | int) -> Any:
    """What is stored at `at` in `holder`, as its kind says.

    Raises:
        BadStored: it does not fit.
    """
    if type(stored) in kind.atoms:
        return stored
    reader = kind.reader
    if reader is None:
        reader = kind.reader = _reader_of(kind)
    return reader(kind, stored, home, holder, at)


def held_view(kind: Kind, node: Any, home: Home) -> Any:
    """The view before a node: the one that is there, while somebody holds it.

    It holds its node, so another node cannot have the same id meanwhile.
    """
    ref = home.views.get(id(node))
    view = None if ref is None else ref()
    if view is None or view._perdure_kind is not kind:
        make = kind.view
        if make is None:
            make = kind.view = VIEWS[type(kind)](kind)
        view = make(kind, node, home)
        home.keep(node, view)
    return view


def shown(look: Callable[[Any], Any], node: Any, at: Any) -> str:
    """What a repr shows of a field or item: it neither raises nor loads anything."""
    if isinstance(node, State) and at in node._root.unloaded():
        return "<not loaded>"
    try:
        return repr(look(at))
    except PerdureError as error:
        return f"<{error.kind}>"


def _reader_of(kind: Kind) -> Reader:
    if kind is ANY:
        return _as_it_is
    if isinstance(kind, ModelKind) and kind.form == "model":
        return _model
    if kind.is_plain:
        return _plain
    if isinstance(kind, UnionKind):
        return _union
    if isinstance(kind, ListKind | DictKind | ModelKind):
        return _container
    if isinstance(kind, TupleKind):
        return _tuple
    return _container if isinstance(kind, SetKind) and not kind.is_frozen else _scalar


def _as_it_is(kind: Kind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    return stored


def _plain(kind: Kind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    known = home.checked.get(id(stored))
    if known is not None and known[0] is stored and known[1] is kind:
        return stored
    if not kind.accepts_all([stored]):
        raise _bad(kind, stored, holder, at)
    if isinstance(stored, Node):
        home.checked[id(stored)] = stored, kind
        if len(home.checked) > limits.checked_containers_max:
            del home.checked[next(iter(home.checked))]
    return stored


def _model(kind: ModelKind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    """The view of a model. A field of it that does not fit is reported when it is read."""
    if not isinstance(stored, dict) or (kind.tag is not None and not kind.is_marked(stored)):
        raise _bad(kind, stored, holder, at)
    return held_view(kind, stored, home)


def _container(kind: Kind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    if not kind.may_be(stored):
        raise _bad(kind, stored, holder, at)
    return held_view(kind, stored, home)


def _union(kind: Kind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    picked = kind.resolve(stored)
    if picked is kind:
        raise _bad(kind, stored, holder, at)
    return typed(picked, stored, home, holder, at)


def _tuple(kind: TupleKind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    if not kind.may_be(stored):
        raise _bad(kind, stored, holder, at)
    return kind.make(*[typed(each, item, home, holder, at) for each, item in kind.pairs(stored)])


def _scalar(kind: Kind, stored: Any, home: Home, holder: Any, at: Any) -> Any:
    if not kind.accepts_all([stored]):
        raise _bad(kind, stored, holder, at)
    return kind.read(stored)


def _bad(kind: Kind, stored: Any, holder: Any, at: str | int) -> BadStored:
    is_state = isinstance(holder, State)
    path: Path = (at,) if is_state else (*holder._path(), holder._part(at))
    tracker = (holder._root if is_state else holder)._tracker
    return bad_at(kind, stored, path, is_newer=path[0] in tracker.locked)


def bad_at(kind: Kind, stored: Any, path: Path, *, is_newer: bool = False) -> BadStored:
    """The error for what is stored at a path and does not fit there.

    Args:
        kind: what was to be there.
        stored: what is.
        path: where.
        is_newer: whether newer code changed its section in a way that this code does not
            understand: then it is as it should be, and not to be mended.
    """
    section = path[0]
    problem = kind.problem(stored, path)
    path = path if problem is None else problem.path
    said = f"expected {kind.said}" if problem is None else str(problem)
    way_out = f'It can be read and mended as it is: session.raw["{section}"]'
    if is_newer:
        way_out = (
            f"Newer code changed {section!r} in a way that this code does not understand: deploy "
            f'the newer version; as stored: session.raw["{section}"]'
        )
    return BadStored(
        f"{format_path(path)}: what is stored does not fit the schema: {said}. {way_out}",
        path=path,
    )
