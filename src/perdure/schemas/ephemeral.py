"""Sections that are never written: the mark of a schema for them."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from perdure.errors import UsageError
from perdure.state.tracker import OURS


class Ephemeral:
    """The type of `perdure.ephemeral`.

    Example:
        >>> @dataclass
        ... class Research:
        ...     scratch: Annotated[dict[str, Any], perdure.ephemeral] = field(default_factory=dict)
    """

    def __repr__(self) -> str:
        return "perdure.ephemeral"


ephemeral = Ephemeral()


@cache
def ephemeral_of(cls: type) -> frozenset[str]:
    """The sections that a schema says are never written.

    Raises:
        UsageError: one of them has no default, though no later session will find it.
    """
    from perdure.schemas.annotations import kind_of

    kind = kind_of(cls)
    hints = typing.get_type_hints(get_origin(cls) or cls, include_extras=True)
    names = frozenset(name for name in kind.fields if _is_marked(hints.get(name)))
    for name in sorted(names):
        if kind.fields[name].required and kind.family != "typeddict":
            raise UsageError(
                f"{kind.cls.__qualname__}.{name} is never written, and so not there when a session "
                "begins: give it a default"
            )
    return names


def _is_marked(hint: Any) -> bool:
    metadata = getattr(hint, "__metadata__", ())
    if any(isinstance(each, Ephemeral) for each in metadata):
        return True
    says_more = (typing.Required, typing.NotRequired, Annotated)
    return any(get_origin(hint) is each for each in says_more) and _is_marked(get_args(hint)[0])


def checked(names: Any) -> frozenset[str]:
    """The names of sections that `open(ephemeral=…)` was given.

    Raises:
        UsageError: they are none.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"ephemeral is a list of names: [{names!r}]")
    found = frozenset(names)
    for name in found:
        if not isinstance(name, str) or not name:
            raise UsageError(f"ephemeral is a list of names, not {name!r}")
        if name.startswith(OURS):
            raise UsageError(f"{name!r} is the library's own section: it is written")
    return found
