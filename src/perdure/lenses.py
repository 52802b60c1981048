"""Lenses: what leads from one version of a schema to the next, said as data.

Each function here makes one lens; a migration is a list of them. Old code reads and writes a newer
state through them, so none of them may lose anything unless it says `lossy=True`.

A place is a path as text, `"plan/goal"`, or a tuple of names, `("plan", "goal")`.

Example:
    >>> steps = [rename("topic", "subject"), in_items("messages", [add("tokens", 0)])]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from perdure.core import conversions
from perdure.core.abbreviate import abbreviate
from perdure.core.lens import (
    Add,
    Convert,
    InItems,
    Lens,
    MapValues,
    Merge,
    Move,
    Remove,
    Rename,
    Split,
    Unknown,
    Unwrap,
    Wrap,
    describe,
)
from perdure.core.lens_reach import losses
from perdure.core.paths import parse_path
from perdure.core.values import take
from perdure.errors import LossyLens, UsageError

Place: TypeAlias = str | tuple[str, ...]
"""Where a field is: a path as text, or its names."""

RESERVED = "perdure."

__all__ = [
    "add",
    "convert",
    "in_items",
    "map_values",
    "merge",
    "move",
    "remove",
    "rename",
    "split",
    "unwrap",
    "wrap",
]


def rename(at: Place, to: str) -> Lens:
    """Give a field another name, in the mapping where it is.

    Args:
        at: the field, under the older name.
        to: the newer name.

    Raises:
        UsageError: a name is empty, reserved, the same as before, or the whole path again.

    Example:
        >>> rename("plan/goal", "aim")
        Rename(at=('plan', 'goal'), to='aim')
    """
    place, name = _place(at), _name(to)
    if place[-1] == name:
        raise UsageError(f"rename {name!r} to another name than it has")
    if len(place) > 1 and parse_path(name)[:-1] == place[:-1]:
        raise UsageError(
            f"rename takes a new name, and not a path: {parse_path(name)[-1]!r}; `move` puts a "
            "field elsewhere"
        )
    return Rename(place, name)


def add(at: Place, default: Any) -> Lens:
    """Add a field, which older code does not see.

    Args:
        at: the field.
        default: what it is where it is not there yet; anything that a state can hold.

    Raises:
        UsageError: the place or the default is none; `NotStorable` is one.

    Example:
        >>> add("plan/budget", default=0)
        Add(at=('plan', 'budget'), default=0)
    """
    place = _place(at)
    return Add(place, take(default, place))


def remove(at: Place, default: Any, *, keep: bool = True, lossy: bool = False) -> Lens:
    """Remove a field, which newer code does not see.

    Args:
        at: the field.
        default: what older code sees of it where newer code made the mapping.
        keep: keep the value beside, for older code and for going back.
        lossy: must be True without `keep`.

    Raises:
        LossyLens: `keep` is False, and `lossy` too.
        UsageError: the place or the default is none.

    Example:
        >>> remove("notes", default="")
        Remove(at=('notes',), default='', keep=True, slot='')
    """
    return _declared(Remove(_place(at), take(default), bool(keep)), lossy=lossy)


def convert(at: Place, by: Mapping[Any, Any] | str, *, lossy: bool = False) -> Lens:
    """Give a value another form.

    Args:
        at: the field.
        by: what each older value becomes; or the name of a conversion, as `"iso->datetime"`.
        lossy: say that it loses something: several values become one, or a conversion does.

    Raises:
        LossyLens: it loses something, and does not say so.
        UsageError: there is no such conversion, or the place or a value is none.

    Example:
        >>> convert("status", {"open": 1, "closed": 2})
        Convert(at=('status',), by=(('open', 1), ('closed', 2)), lossy=False)
    """
    place = _place(at)
    if isinstance(by, str):
        conversions.conversion(by)
        return _declared(Convert(place, by, lossy), lossy=lossy)
    if not _is_table(by):
        raise UsageError("convert takes a mapping of values, or the name of a conversion")
    table = tuple((take(older), take(newer)) for older, newer in by.items())
    return _declared(Convert(place, table, lossy), lossy=lossy)


def wrap(at: Place) -> Lens:
    """Make a list of a value: `[value]`, and of None an empty one. Older code sees the first item.

    Example:
        >>> wrap("author")
        Wrap(at=('author',))
    """
    return Wrap(_place(at))


def unwrap(at: Place) -> Lens:
    """Make one value of a list: its first item; the others are kept for older code.

    Example:
        >>> unwrap("authors")
        Unwrap(at=('authors',), slot='')
    """
    return Unwrap(_place(at))


def split(at: Place, into: Iterable[str], by: str = " ") -> Lens:
    """Make several texts of one, in fields beside it; what is not there becomes None.

    Args:
        at: the field.
        into: the names of the newer fields, two or more.
        by: what is between the parts; the last part has all the rest.

    Raises:
        UsageError: the names or the separator are none.

    Example:
        >>> split("name", into=("first", "last"))
        Split(at=('name',), into=('first', 'last'), by=' ')
    """
    names = tuple(_name(each) for each in _listed(into))
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError("split takes two or more names, each of them once")
    return Split(_place(at), names, _separator(by))


def merge(parts: Iterable[Place], into: str, by: str = " ") -> Lens:
    """Make one text of several fields of one mapping.

    Args:
        parts: the older fields, two or more.
        into: the name of the newer field.
        by: what is put between them. Parts that it could not part again are kept.

    Raises:
        UsageError: the parts are of several mappings, or a name or the separator is none.

    Example:
        >>> merge(("first", "last"), into="name").into
        'name'
    """
    places = tuple(_place(each) for each in _listed(parts))
    if len(places) < 2 or len(set(places)) < len(places):
        raise UsageError("merge takes two or more fields, each of them once")
    if len({place[:-1] for place in places}) > 1:
        raise UsageError("merge takes fields of one mapping: move them there first")
    return Merge(places, _name(into), _separator(by))


def move(at: Place, to: Place) -> Lens:
    """Put a field into another mapping, which is made where there is none.

    Raises:
        UsageError: a place is none, or both are the same.

    Example:
        >>> move("plan/goal", "goal")
        Move(at=('plan', 'goal'), to=('goal',), slot='')
    """
    place, target = _place(at), _place(to)
    if place == target:
        raise UsageError("move a field to another place than it has")
    return Move(place, target)


def in_items(at: Place, lenses: Iterable[Lens]) -> Lens:
    """Change each item of a list, all of which are mappings.

    Args:
        at: the list.
        lenses: those of an item, their places from the item on.

    Raises:
        UsageError: the place is none, or something among the lenses is none.

    Example:
        >>> in_items("messages", [rename("text", "content")])
        InItems(at=('messages',), lenses=(Rename(at=('text',), to='content'),))
    """
    return InItems(_place(at), _lenses(lenses))


def map_values(at: Place, lenses: Iterable[Lens]) -> Lens:
    """Change each value of a mapping, all of which are mappings.

    Args:
        at: the mapping.
        lenses: those of a value, their places from the value on.

    Raises:
        UsageError: the place is none, or something among the lenses is none.

    Example:
        >>> map_values("tasks", [add("owner", None)])
        MapValues(at=('tasks',), lenses=(Add(at=('owner',), default=None),))
    """
    return MapValues(_place(at), _lenses(lenses))


# ---- what is given --------------------------------------------------------------------------


def _place(given: Any) -> tuple[str, ...]:
    if not isinstance(given, str | tuple):
        raise UsageError(f'a place is a path, as "plan/goal", or a tuple, not {abbreviate(given)}')
    parts = parse_path(given) if isinstance(given, str) else given
    if not parts:
        raise UsageError('a place names at least one field, as "plan/goal"')
    return tuple(map(_name, parts))


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise UsageError(f"the name of a field is text and not empty, not {abbreviate(given)}")
    if given.startswith(RESERVED):
        raise UsageError(f'{given!r}: names that start with "{RESERVED}" belong to Perdure')
    return str(given)


def _listed(given: Any) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(f"give several names, as a tuple, not {abbreviate(given)}")
    return list(given)


def _separator(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise UsageError(f"what parts texts is text and not empty, not {abbreviate(given)}")
    return given


def _is_table(given: Any) -> bool:
    return isinstance(given, Mapping) and bool(given)


def _lenses(given: Any) -> tuple[Lens, ...]:
    found = tuple(_listed(given))
    for lens in found:
        if not isinstance(lens, Lens) or isinstance(lens, Unknown):
            raise UsageError(f"not a lens: {abbreviate(lens)}; perdure.lenses has what makes them")
    return found


def _declared(lens: Lens, *, lossy: bool) -> Lens:
    lost = losses((lens,))
    if lost and not lossy:
        where = "/".join(str(part) for part in lost[0].path)
        raise LossyLens(
            f"{where}: {describe(lens)} loses {lost[0].what}: say lossy=True if that is meant"
        )
    return lens
