"""What the type variables of generic classes stand for, in each class that a model is made of.

One variable may mean two things in one model, each where it is used:

    class Page(Generic[T]): items: list[T]              Named[str]: T is int in Page,
    class Named(Page[int], Generic[T]): name: T         and str in Named
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, get_args, get_origin

Bound = dict[Any, Any]


def bounds_of(cls: Any, bound: Bound) -> dict[Any, Bound]:
    """For a class and those it is made of: what their variables stand for."""
    found = {cls: bound}
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        if origin is Generic or not isinstance(origin, type):
            continue
        arguments = [given(each, bound) for each in get_args(base)]
        inner = dict(zip(getattr(origin, "__parameters__", ()), arguments))
        found.update(bounds_of(origin, inner))
    return found


def bound_for(name: str, bounds: Mapping[Any, Bound]) -> Bound:
    """What variables stand for in the annotation of a field: in the class that annotates it."""
    return next(
        (bound for cls, bound in bounds.items() if name in inspect.get_annotations(cls)), {}
    )


def given(hint: Any, bound: Bound) -> Any:
    """A type with what its variables stand for in their place."""
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint
    return hint[tuple([bound.get(each, each) for each in variables])] if variables else hint
