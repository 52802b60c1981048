"""What of a channel's value is as it was saved: by identity, by content, or encoded again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from gc import get_referents
from operator import is_
from typing import Any

from perdure.adapters.langgraph.coding import ATOMS, MESSAGES


class Known:
    """Objects whose stored form is known, in order, and what they held when it was.

    What the fields of all of them hold is compared with what they held, all in one comparison of
    lists, which finds whatever was changed in place, at any depth; but not a value that gave way to
    an equal one, as 1 to True, a dict whose keys changed places, or the first field of a message
    that its class does not name. The collector's `get_referents` lists what so many fields hold
    with less of the processor's memory than a comparison of dicts, which looks up each name.
    """

    def __init__(self, items: Sequence[Any] = ()) -> None:
        self.items: list[Any] = []
        self._holders: list[Any] = []
        """By item, the container that holds what may change."""
        self._counts: list[int] = []
        """By item, how many values that holds."""
        self._copies: list[Any] = []
        """These values, of one item after the other."""
        self.splice(0, 0, items)

    def splice(self, start: int, stop: int, items: Sequence[Any]) -> None:
        """Put others in the place of some."""
        holders, held = [], []
        for item in items:
            holder, values = _holder(item)
            holders.append(holder)
            held.append(values)
        end = len(self._copies) - sum(self._counts[stop:])
        first = end - sum(self._counts[start:stop])
        self.items[start:stop] = items
        self._holders[start:stop] = holders
        self._counts[start:stop] = map(len, held)
        self._copies[first:end] = [
            value if type(value) in ATOMS else _copied(value) for each in held for value in each
        ]

    def again(self, at: int) -> None:
        """Take one down as it is now."""
        self.splice(at, at + 1, [self.items[at]])

    def has_same_start(self, items: Sequence[Any]) -> bool:
        """Whether `items` begins with these very objects."""
        return len(items) >= len(self.items) and all(map(is_, self.items, items))

    def changed(self) -> list[int]:
        """Positions of those that hold something else now."""
        if _equal(self._copies, get_referents(*self._holders)):
            return []
        found, first = [], 0
        for at, (holder, count) in enumerate(zip(self._holders, self._counts)):
            if not _equal(self._copies[first : first + count], get_referents(holder)):
                found.append(at)
            first += count
        return found


class _Unknowable:
    """In the place of what an object holds that cannot be looked into: equal to nothing."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


def _holder(item: Any) -> tuple[Any, list[Any]]:
    """The container, as it is, whose referents are what of an object may change; and these."""
    kind = type(item)
    if kind in MESSAGES:
        fields = item.__dict__
        values = get_referents(fields)
        # Names are not compared here: those of its fields are the same for each of a class.
        if len(values) == len(fields) and not item.__pydantic_extra__:
            return fields, values
    if kind in ATOMS:
        return (), []
    holder = [item] if kind in (list, dict, set) else _fields_of(item)
    return holder, get_referents(holder)


def _fields_of(item: Any) -> list[Any]:
    """What an object of any class holds by names."""
    fields = getattr(item, "__dict__", None)
    if fields is None:
        return [_Unknowable()]
    more = getattr(item, "__pydantic_extra__", None)
    return [fields, more] if more else [fields]


def _copied(held: Any) -> Any:
    """The same, apart from what is live."""
    if type(held) in _EMPTY and not held:
        return _EMPTY[type(held)]
    try:
        return _copied_value(held)
    except Exception:  # what a user's class makes of being copied
        return _Unknowable()


_EMPTY: dict[type, Any] = {dict: {}, list: []}
"""Most containers in messages are empty. Their copies are one, which the processor has at hand."""


def _copied_value(value: Any) -> Any:
    """A deep copy: of dicts and lists, which most are, in a tenth of the time."""
    kind = type(value)
    if kind in _EMPTY and not value:
        return _EMPTY[kind]
    if kind is dict:
        fields = value.copy()
        for name, item in value.items():
            if type(item) not in ATOMS:
                fields[name] = _copied_value(item)
        return fields
    if kind is list:
        return [item if type(item) in ATOMS else _copied_value(item) for item in value]
    return value if kind in ATOMS else deepcopy(value)


def _equal(copies: list[Any], held: list[Any]) -> bool:
    try:
        return copies == held
    except Exception:  # another library's comparison, which may not be a truth
        return False


_EXACT = ATOMS - {float}
"""The classes whose instances are equal only if they are the same."""


def same(stored: Any, other: Any) -> bool:
    """Whether two stored forms are the same, types and order of keys included.

    Example:
        >>> same({"a": 1}, {"a": 1}), same({"a": 1}, {"a": True})
        (True, False)
    """
    if type(stored) in _EXACT:
        return type(stored) is type(other) and bool(stored == other)
    if isinstance(stored, dict):
        if not isinstance(other, dict) or list(stored) != list(other):
            return False
        return all(map(same, stored.values(), other.values()))
    if isinstance(stored, list | tuple):
        if not isinstance(other, list | tuple) or len(stored) != len(other):
            return False
        kinds = isinstance(stored, list), isinstance(other, list)
        return kinds[0] is kinds[1] and all(map(same, stored, other))
    if isinstance(stored, set | frozenset):
        return isinstance(other, set | frozenset) and stored == other
    if type(stored) is float:
        return type(other) is float and repr(stored) == repr(other)
    return type(stored) is type(other) and bool(stored == other)


def write(holder: Any, place: Any, value: Any) -> None:
    """Make what is at a place of a tracked container what `value` is, touching what differs."""
    old = holder[place]
    if type(value) in ATOMS:
        if not same(old, value):
            holder[place] = value
    elif isinstance(old, dict) and type(value) is dict and _keeps_order(old, value):
        for key in [key for key in old if key not in value]:
            del old[key]
        for key, item in value.items():
            if key in old:
                write(old, key, item)
            else:
                old[key] = item
    elif isinstance(old, list) and type(value) is list:
        write_items(old, value)
    elif not same(old, value):
        holder[place] = value


def write_items(old: Any, items: list[Any], start: int = 0, stop: int | None = None) -> None:
    """The same for a run of a tracked list."""
    stop = len(old) if stop is None else stop
    first, last, end = start, stop, len(items)
    while first < last and first - start < end and same(old[first], items[first - start]):
        first += 1
    while last > first and end > first - start and same(old[last - 1], items[end - 1]):
        last, end = last - 1, end - 1
    new = items[first - start : end]
    if last - first == len(new):
        for at, item in enumerate(new, first):
            write(old, at, item)
    else:
        old[first:last] = new


def _keeps_order(old: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether keys that stay keep their order, and new ones come last, as edits would have it."""
    stay = [key for key in old if key in value]
    return list(value)[: len(stay)] == stay
