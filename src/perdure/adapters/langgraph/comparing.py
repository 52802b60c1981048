"""What of a channel's value is as it was saved: by identity, by content, or encoded again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from operator import is_
from typing import Any

from perdure.adapters.langgraph.coding import ATOMS


class Known:
    """Objects whose stored form is known, in order, and what they held when it was.

    Comparing what they hold with what they held is one comparison of lists, and finds whatever was
    changed in place, at any depth; but not a value that gave way to an equal one, as 1 to True, a
    dict whose keys changed places, or the first field of a message that its class does not name.
    """

    def __init__(self, items: Sequence[Any] = ()) -> None:
        self.items: list[Any] = []
        self._held: list[Any] = []
        self._copies: list[Any] = []
        self.splice(0, 0, items)

    def splice(self, start: int, stop: int, items: Sequence[Any]) -> None:
        """Put others in the place of some."""
        held = [_holding(item) for item in items]
        self.items[start:stop] = items
        self._held[start:stop] = held
        self._copies[start:stop] = map(_copied, held)

    def again(self, at: int) -> None:
        """Take one down as it is now."""
        self.splice(at, at + 1, [self.items[at]])

    def has_same_start(self, items: Sequence[Any]) -> bool:
        """Whether `items` begins with these very objects."""
        return len(items) >= len(self.items) and all(map(is_, self.items, items))

    def changed(self) -> list[int]:
        """Positions of those that hold something else now."""
        try:
            if self._copies == self._held:
                return []
        except Exception:  # another library's comparison, which may not be a truth
            pass
        pairs = enumerate(zip(self._copies, self._held))
        return [at for at, (copy, held) in pairs if not _equal(copy, held)]


class _Unknowable:
    """In the place of what an object holds that cannot be looked into: equal to nothing."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


def _holding(item: Any) -> Any:
    """What of an object may change, as a live view."""
    kind = type(item)
    if kind in ATOMS:
        return None
    if kind in (list, dict, set):
        return item
    fields = getattr(item, "__dict__", None)
    if fields is None:
        return _Unknowable()
    more = getattr(item, "__pydantic_extra__", None)
    return [fields, more] if more else fields


def _copied(held: Any) -> Any:
    """The same, apart from what is live."""
    try:
        return _copied_value(held)
    except Exception:  # what a user's class makes of being copied
        return _Unknowable()


_EMPTY: dict[type, Any] = {dict: {}, list: []}
"""Most containers in messages are empty. Their copies are one, which the processor has at hand."""


def _copied_value(value: Any) -> Any:
    """A deep copy: of dicts and lists, which most are, in a tenth of the time."""
    kind = type(value)
    if not value and kind in _EMPTY:
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


def _equal(copy: Any, held: Any) -> bool:
    try:
        return bool(copy == held)
    except Exception:  # as in `changed`
        return False


def same(stored: Any, other: Any) -> bool:
    """Whether two stored forms are the same, types and order of keys included.

    Example:
        >>> same({"a": 1}, {"a": 1}), same({"a": 1}, {"a": True})
        (True, False)
    """
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
    if isinstance(old, dict) and type(value) is dict and _keeps_order(old, value):
        for key in [key for key in old if key not in value]:
            del old[key]
        for key, item in value.items():
            if key not in old:
                old[key] = item
            elif not same(old[key], item):
                write(old, key, item)
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
