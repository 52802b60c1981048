"""What of a channel's value is as it was saved: by identity, by content, or encoded again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from datetime import datetime, time
from decimal import Decimal
from functools import lru_cache
from gc import get_referents
from operator import is_
from types import BuiltinFunctionType, MemberDescriptorType
from typing import Any

from perdure.adapters.langgraph.coding import ATOMS, MESSAGES


class Known:
    """Objects whose stored form is known, in order, and what they held when it was.

    What the fields of all of them hold is compared with what they held, all in one comparison of
    lists, which finds whatever was changed in place, at any depth; but not a value that gave way to
    an equal one, as 1 to True, a dict whose keys changed places, or a message that is made anew in
    its place, by its `__init__`. The collector's `get_referents` lists what so many fields hold
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
        self._extras: list[Any] = []
        """By item, what is empty while a message has no field that its class does not name."""
        self._others = 0
        """How many items are neither messages nor atoms."""
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
        self._others += _count_others(holders) - _count_others(self._holders[start:stop])
        self.items[start:stop] = items
        self._holders[start:stop] = holders
        self._counts[start:stop] = map(len, held)
        self._extras[start:stop] = map(_extra, holders, items)
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
        if self._others:  # they may have been given another dict, or a first field of their own
            for item, holder in zip(self.items, self._holders):
                if type(holder) is list:
                    holder[:] = _held_by(item)
        if _equal(self._copies, get_referents(*self._holders)) and not any(self._extras):
            return []
        found, first = [], 0
        for at, (holder, count) in enumerate(zip(self._holders, self._counts)):
            copies = self._copies[first : first + count]
            if self._extras[at] or not _equal(copies, get_referents(holder)):
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
    holder = _held_by(item)
    return holder, get_referents(holder)


def _extra(holder: Any, item: Any) -> Any:
    """What is filled by the first field of a message that its class does not name."""
    return item.__pydantic_extra__ if type(holder) is dict else None


def _count_others(holders: Sequence[Any]) -> int:
    return sum(type(each) is list for each in holders)


def _held_by(item: Any) -> list[Any]:
    """What an object of any class holds, as it is now."""
    kind: Any = type(item)
    if kind in (list, dict, set):
        return [item]
    fields = getattr(item, "__dict__", None)
    if fields is None or _holds_more(kind):
        return [_Unknowable()]
    more = getattr(item, "__pydantic_extra__", None)
    return [fields, more] if more else [fields]


@lru_cache(maxsize=256)
def _holds_more(kind: type) -> bool:
    """Whether objects of a class hold more than fields: in slots, or as a kind of dict or list."""
    return any(
        isinstance(each, BuiltinFunctionType)
        if name == "__new__"  # what is not made in Python has a layout of its own
        else isinstance(each, MemberDescriptorType) and not name.startswith("__pydantic_")
        for base in kind.__mro__[:-1]
        for name, each in vars(base).items()
    )


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


_LOOSE = frozenset({float, Decimal, datetime, time})
"""The classes of which two are equal that do not read the same: 0.0 and -0.0, 1.0 and 1.00."""
_EXACT = ATOMS - _LOOSE


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
        kind = set if isinstance(stored, set) else frozenset
        return isinstance(other, kind) and _exactly(stored) == _exactly(other)
    if type(stored) in _LOOSE:
        return type(stored) is type(other) and repr(stored) == repr(other)
    return type(stored) is type(other) and bool(stored == other)


def _exactly(items: Collection[Any]) -> set[tuple[type, str]]:
    """The atoms of a set, of which 1 and True are two."""
    return {(type(each), repr(each)) for each in items}


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
            put(old, key, item)
    elif isinstance(old, list) and type(value) is list:
        write_items(old, value)
    elif not same(old, value):
        holder[place] = value


def put(holder: Any, key: str, value: Any) -> None:
    """The same under a key of a tracked dict that may have nothing there yet."""
    if key in holder:
        write(holder, key, value)
    else:
        holder[key] = value


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
