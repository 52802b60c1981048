"""Lenses: what leads from one version of a document to the next, as data (P12), and how it is kept.

`at` is the place of a field: names, from the mapping that the lens is for. What a lens does is in
`lens_run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from perdure.core.abbreviate import abbreviate
from perdure.core.learning import learn
from perdure.core.paths import format_path
from perdure.core.values import take
from perdure.errors import Malformed

KEPT = "perdure.kept"
"""The key of a mapping, or the section, under which is what a newer form has no room for."""

Place: TypeAlias = tuple[str, ...]


class Rename(msgspec.Struct, frozen=True):
    """A field has another name, in the mapping where it is."""

    at: Place
    to: str


class Add(msgspec.Struct, frozen=True):
    """A new field, with its value where there is none yet."""

    at: Place
    default: Any


class Remove(msgspec.Struct, frozen=True):
    """A field goes; `default` is what older code sees where nothing was kept."""

    at: Place
    default: Any
    keep: bool = True
    slot: str = ""


class Convert(msgspec.Struct, frozen=True):
    """A value has another form: by pairs of the older and the newer, or by a named conversion."""

    at: Place
    by: tuple[tuple[Any, Any], ...] | str
    lossy: bool = False


class Wrap(msgspec.Struct, frozen=True):
    """A value becomes a list of it."""

    at: Place


class Unwrap(msgspec.Struct, frozen=True):
    """A list becomes its first item."""

    at: Place
    slot: str = ""


class Split(msgspec.Struct, frozen=True):
    """A text becomes several, in fields beside it."""

    at: Place
    into: tuple[str, ...]
    by: str


class Merge(msgspec.Struct, frozen=True):
    """Several texts of one mapping become one, beside them."""

    parts: tuple[Place, ...]
    into: str
    by: str
    slot: str = ""


class Move(msgspec.Struct, frozen=True):
    """A field goes to another mapping, which is made where there is none."""

    at: Place
    to: Place
    slot: str = ""


class InItems(msgspec.Struct, frozen=True):
    """Each item of a list, all of them mappings, changes by lenses of its own."""

    at: Place
    lenses: tuple[Any, ...]


class MapValues(msgspec.Struct, frozen=True):
    """Each value of a mapping, all of them mappings, changes by lenses of its own."""

    at: Place
    lenses: tuple[Any, ...]


class Unknown(msgspec.Struct, frozen=True):
    """A lens that this version of Perdure does not know, as it is stored."""

    wire: list[Any]


Nested: TypeAlias = InItems | MapValues
Simple: TypeAlias = Rename | Add | Remove | Convert | Wrap | Unwrap | Split | Merge | Move
Lens: TypeAlias = Simple | Nested | Unknown
Lenses: TypeAlias = tuple[Lens, ...]

_KINDS: dict[str, Any] = {
    "rename": Rename,
    "add": Add,
    "remove": Remove,
    "convert": Convert,
    "wrap": Wrap,
    "unwrap": Unwrap,
    "split": Split,
    "merge": Merge,
    "move": Move,
    "in_items": InItems,
    "map_values": MapValues,
}
learn(*_KINDS.values())  # before threads ask for them
_NAMES = {kind: name for name, kind in _KINDS.items()}
_TOLD: dict[Any, str] = {InItems: "change the items of", MapValues: "change the values of"}


# ---- storing --------------------------------------------------------------------------------


def to_wire(lenses: Iterable[Lens]) -> list[Any]:
    """The lenses as a value that can be stored: of each its name and its fields.

    Example:
        >>> to_wire((Rename(("topic",), "subject"),))
        [['rename', ['topic'], 'subject']]
    """
    return [_wire(lens) for lens in lenses]


def _wire(lens: Lens) -> list[Any]:
    if isinstance(lens, Unknown):
        return cast("list[Any]", take(lens.wire))
    names = lens.__struct_fields__
    if isinstance(lens, InItems | MapValues):
        return [_NAMES[type(lens)], list(lens.at), to_wire(lens.lenses)]
    values = {name: getattr(lens, name) for name in names}
    lists = {"at", "parts", "into", "by", "to"}
    plain = [_listed(value) if name in lists else take(value) for name, value in values.items()]
    return [_NAMES[type(lens)], *plain]


def _listed(value: Any) -> Any:
    """Tuples of tuples as lists; what the pairs of a table hold stays as it is."""
    if not isinstance(value, tuple):
        return value
    return [list(each) if isinstance(each, tuple) else each for each in value]


def from_wire(wire: Any) -> Lenses:
    """The lenses that `to_wire` gave this for; one of a kind that is not known is `Unknown`.

    Raises:
        Malformed: it gave it for none.
    """
    if not isinstance(wire, list):
        raise Malformed(f"not a list of lenses: {abbreviate(wire)}")
    return tuple(_lens(each) for each in wire)


def _lens(wire: Any) -> Lens:
    if not (isinstance(wire, list) and wire and type(wire[0]) is str):
        raise Malformed(f"not a lens: {abbreviate(wire)}")
    kind = _KINDS.get(wire[0])
    if kind is None:
        return Unknown(wire)
    names = kind.__struct_fields__
    if len(wire) > len(names) + 1:
        return Unknown(wire)  # a newer Perdure says more of it
    if len(wire) != len(names) + 1:
        raise Malformed(f"not a lens that this version knows: {abbreviate(wire)}")
    try:
        lens: Lens = msgspec.convert(dict(zip(names, wire[1:])), kind)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise Malformed(f"not a lens: {abbreviate(wire)}: {error}") from None
    if not all((*place,) for place in _places(lens)):
        raise Malformed(f"not a lens: {abbreviate(wire)}: a place is empty")
    if isinstance(lens, Split | Merge) and not lens.by:
        raise Malformed(f"not a lens: {abbreviate(wire)}: nothing parts its texts")
    if isinstance(lens, InItems | MapValues):
        return replace(lens, lenses=from_wire(list(lens.lenses)))
    return lens


def _places(lens: Any) -> list[Place]:
    if isinstance(lens, Merge):
        return [lens.parts[0] if lens.parts else (), *lens.parts]
    if isinstance(lens, Split):
        return [lens.at, lens.into]
    return [lens.at, lens.to] if isinstance(lens, Move) else [lens.at]


# ---- what lenses are about ------------------------------------------------------------------


def olds(lens: Simple) -> tuple[Place, ...]:
    """The fields of the older form that a lens is about."""
    if isinstance(lens, Add):
        return ()
    return lens.parts if isinstance(lens, Merge) else (lens.at,)


def news(lens: Simple) -> tuple[Place, ...]:
    """The fields of the newer form that a lens is about."""
    if isinstance(lens, Remove):
        return ()
    if isinstance(lens, Rename):
        return ((*lens.at[:-1], lens.to),)
    if isinstance(lens, Split):
        return tuple((*lens.at[:-1], name) for name in lens.into)
    if isinstance(lens, Merge):
        return ((*lens.parts[0][:-1], lens.into),)
    return (lens.to,) if isinstance(lens, Move) else (lens.at,)


def home(lens: Simple) -> Place:
    """The mapping whose fields a lens is about; what it keeps is there."""
    return lens.parts[0][:-1] if isinstance(lens, Merge) else lens.at[:-1]


def slot_of(lens: Simple) -> str | None:
    """Under which name a lens keeps what the newer form has no room for; None if it keeps none."""
    if isinstance(lens, Remove):
        return lens.slot or lens.at[-1] if lens.keep else None
    if isinstance(lens, Unwrap | Move):
        return lens.slot or lens.at[-1]
    return (lens.slot or lens.into) if isinstance(lens, Merge) else None


def with_slots(lenses: Iterable[Lens], version: int) -> Lenses:
    """The lenses of the step to a version, each with a name for what it keeps, unlike all others.

    Example:
        >>> with_slots([Remove(("notes",), "")], 2)
        (Remove(at=('notes',), default='', keep=True, slot='notes@2'),)
    """
    return _slotted(lenses, version, {})


def _slotted(lenses: Iterable[Lens], version: int, used: dict[str, int]) -> Lenses:
    found: list[Lens] = []
    for lens in lenses:
        if isinstance(lens, InItems | MapValues):
            found.append(replace(lens, lenses=_slotted(lens.lenses, version, used)))
        elif isinstance(lens, Remove | Unwrap | Merge | Move) and not lens.slot:
            name = f"{olds(lens)[0][-1] if not isinstance(lens, Merge) else lens.into}@{version}"
            used[name] = used.get(name, 0) + 1
            slot = name if used[name] == 1 else f"{name}.{used[name]}"
            found.append(replace(lens, slot=slot))
        else:
            found.append(lens)
    return tuple(found)


def describe(lens: Lens) -> str:
    """The lens in a few words, to be shown.

    Example:
        >>> describe(Rename(("plan", "goal"), "aim"))
        'rename plan/goal to aim'
    """
    if isinstance(lens, Unknown):
        return f"the unknown lens {abbreviate(lens.wire)}"
    where = ", ".join(map(format_path, lens.parts if isinstance(lens, Merge) else (lens.at,)))
    told = f"{_TOLD.get(type(lens), _NAMES[type(lens)])} {where}"
    match lens:
        case Rename(_, to):
            return f"{told} to {to}"
        case Move(_, place):
            return f"{told} to {format_path(place)}"
        case Split(_, names):
            return f"{told} into {', '.join(names)}"
        case Merge(into=name):
            return f"{told} into {name}"
        case Convert(_, by):
            return f"{told} by {by if isinstance(by, str) else 'a table'}"
    return told
