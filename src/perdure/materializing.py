"""From a view of a typed state to a real object of the user's class, which belongs to no state."""

from __future__ import annotations

from typing import Any, TypeVar

from perdure.schemas.models import ModelKind
from perdure.state.node import Node, plain
from perdure.state.sections import State

T = TypeVar("T")


def materialize(view: T) -> T:
    """A real object of the user's class, nested ones too, that shares nothing with the state.

    The `__init__` of a dataclass or pydantic model is not called: the object has the fields that
    the view shows. A `msgspec.Struct` can only be made by calling it. Unknown fields stay behind in
    the state. A tracked container becomes a plain one; what is neither is given back as it is.

    Raises:
        BadStored: something that is stored does not fit the schema.

    Example:
        >>> plan = perdure.materialize(session.state.plan)
        >>> type(plan) is Plan
        True
    """
    real: T = _real(view)
    return real


def _real(view: Any) -> Any:
    if getattr(type(view), "_perdure_view", False):
        return _of_view(view)
    if isinstance(view, Node):
        return plain(view)
    if isinstance(view, State):
        return view.plain()
    kind = type(view)
    if kind is list:
        return [_real(item) for item in view]
    if kind is dict:
        return {key: _real(item) for key, item in view.items()}
    if isinstance(view, tuple):
        items = [_real(item) for item in view]
        return kind(*items) if hasattr(kind, "_fields") else tuple(items)
    return view


def _of_view(view: Any) -> Any:
    if isinstance(view, list):
        return [_real(item) for item in view]
    if isinstance(view, set):
        return view.copy()
    kind = view._perdure_kind
    if not isinstance(kind, ModelKind) or kind.family == "typeddict":
        return {key: _real(item) for key, item in view.items()}
    values = {name: _real(getattr(view, name)) for name in kind.fields}
    cls: Any = kind.cls
    if kind.family == "pydantic":
        made = cls.model_construct(set(values))  # whose other arguments may be aliases
        object.__setattr__(made, "__dict__", values)
        return made
    if kind.family == "struct":
        return cls(**values)
    made = cls.__new__(cls)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made
