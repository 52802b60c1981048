"""The type variable of what `session.state` is: a schema's class, or the mapping of sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    # Type checkers know of defaults (PEP 696), so that `Session` alone is a session without a
    # schema; Python does not before 3.13.
    from typing_extensions import TypeVar as DefaultedTypeVar

    from perdure.state.sections import State

    T_co = DefaultedTypeVar("T_co", covariant=True, default=State)
else:
    T_co = TypeVar("T_co", covariant=True)
