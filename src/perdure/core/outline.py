"""What packed changes touch, told from their paths: their values stay packed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from perdure.core.changes import (
    DELETE,
    MEMBERS,
    SET,
    SPLICE,
    Change,
    Delete,
    Members,
    Move,
    Set,
    Splice,
)
from perdure.core.codec import pack, reader
from perdure.errors import Malformed

INSIDE, UNKNOWN = 0, -1
"""What a change does to a section: it is inside of one, or of a kind that is not known."""

Touch: TypeAlias = tuple[str, int]
"""A section, and what a change does to it: the code of one to the whole, `INSIDE` or `UNKNOWN`."""


class _Outline(msgspec.Struct, frozen=True, array_like=True):
    """What a wire change begins with; the rest is passed over."""

    code: msgspec.Raw
    path: list[Any]


_KINDS: dict[type, int] = {Set: SET, Delete: DELETE, Splice: SPLICE, Members: MEMBERS}
_CODES = {pack(code): code for code in _KINDS.values()}
_read_outlines = reader(list[_Outline])
_read_pieces = reader(list[msgspec.Raw])


def sections_in(packed: bytes | msgspec.Raw) -> list[str] | None:
    """The section of each packed change, in order; no value is decoded.

    None if that cannot be told: what is wrong with them is for `unpack_changes` to say.
    """
    return None if (outlines := _outlines(packed)) is None else [each.path[0] for each in outlines]


def touches_in(packed: bytes | msgspec.Raw) -> list[Touch] | None:
    """What each packed change touches, in order; no value is decoded. None as `sections_in`."""
    outlines = _outlines(packed)
    if outlines is None:
        return None
    return [
        (each.path[0], INSIDE if len(each.path) > 1 else _CODES.get(bytes(each.code), UNKNOWN))
        for each in outlines
    ]


def _outlines(packed: bytes | msgspec.Raw) -> list[_Outline] | None:
    try:
        outlines = _read_outlines(packed)
        names = {type(each.path[0]) for each in outlines}
    except (Malformed, IndexError):
        return None
    return outlines if names <= {str} else None


def pieces_of(packed: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The bytes of each packed change, in order."""
    return _read_pieces(packed)


def touches_of(changes: Iterable[Change]) -> list[Touch]:
    """What each change touches, in order."""
    return [
        (str(each.path[0]), INSIDE if len(each.path) > 1 else _KINDS[type(each)])
        for each in changes
    ]


def moves_in(touches: Iterable[Touch]) -> list[Move]:
    """What changes that touch these do to the order of sections."""
    return [(name, what == DELETE) for name, what in touches if what != INSIDE]
