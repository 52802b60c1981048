"""What a state can hold, and taking it from what a program has.

Plain values are None, bool, int, float, str, bytes, datetime, date, time, timedelta, UUID, Decimal,
tuple, list, set, frozenset, and dict with str keys, each of exactly that class. Everything that is
kept went through `take`, so nothing is converted, lost or reordered on its way to the disk (P13).
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, ItemsView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, SafeUUID

from perdure import limits
from perdure.core import foreign
from perdure.core.codec import pack
from perdure.core.paths import Path, format_path
from perdure.core.zones import plain_clock
from perdure.errors import NotStorable

ATOMS = frozenset({str, int, float, bool, type(None), bytes})
"""The classes whose every instance is a plain value as it is."""

SIZED = frozenset({str, bytes})
"""Those of them that may be long."""

CONTAINERS = (dict, list, tuple, set, frozenset)

_all_atoms = ATOMS.issuperset
_float_bits = struct.Struct(">d").pack


class _TooDeep(NotStorable):
    """Reached the limit: either a deep value, or one that contains itself."""


def take(value: Any, path: Path = (), depth: int = 0) -> Any:
    """A plain value like `value` that shares nothing mutable with it.

    At any depth, subclasses become their standard class (a namedtuple a tuple, a bytearray bytes),
    an `Enum` member what its value is, and pydantic models, dataclasses, attrs classes and
    `msgspec.Struct` a dict of their fields.

    Args:
        value: anything. If it is refused, neither it nor anything else was changed.
        path: where the value goes; errors name places below it.
        depth: how many containers it will be within.

    Raises:
        NotStorable: something in it cannot be kept; `path` says where, the message what to do.

    Example:
        >>> take({"role": "user", "seen": bytearray(b"ok")})
        {'role': 'user', 'seen': b'ok'}
        >>> take({"size": 1j}, ("plan",))
        Traceback (most recent call last):
            ...
        perdure.errors.NotStorable: plan/size: a value of type complex cannot be stored; use
        [value.real, value.imag]
    """
    try:
        return _take(value, path, depth)
    except _TooDeep as refused:
        raise _explain_depth(value, path, refused.path) from None


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same to the last bit: types, order of keys, signs of zeros.

    Subclasses of dict, list and the like, as tracked containers are, count as their base. Two
    values are the same exactly when `codec.pack` gives the same bytes for both.

    Example:
        >>> same({"a": 1, "b": 2}, {"b": 2, "a": 1}), same(1, True), same([0.0], [-0.0])
        (False, False, False)
        >>> same(float("nan"), float("nan"))
        True
    """
    if a is b:
        return True
    kind, other = type(a), type(b)
    if kind in ATOMS:
        # Only floats have distinct equals: zeros; and equals that are not: nans.
        return kind is other and (
            bool(a == b) if kind is not float else _float_bits(a) == _float_bits(b)
        )
    base = _base(kind)
    if base is not _base(other):
        return False
    if base is dict:
        return _same_items(a, b)
    if base is list or base is tuple:
        return base.__len__(a) == base.__len__(b) and all(
            map(same, base.__iter__(a), base.__iter__(b))
        )
    return pack(a) == pack(b)


def _same_items(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if dict.__len__(a) != dict.__len__(b):
        return False
    for (key, item), (match_key, match) in zip(dict.items(a), dict.items(b)):
        if key != match_key or not (item is match or same(item, match)):
            return False
    return True


def _base(kind: type) -> type:
    if kind in CONTAINERS:
        return kind
    return next((base for base in CONTAINERS if issubclass(kind, base)), kind)


def _take(value: Any, path: Path, depth: int) -> Any:
    kind = type(value)
    if kind not in ATOMS:
        value = (_TAKERS.get(kind) or _taker_of(kind))(value, path, depth)
        kind = type(value)
    if kind in SIZED and len(value) > limits.measured_units_min:
        require_savable(value, path)
    return value


def require_savable(value: str | bytes, path: Path) -> None:
    """Refuse a text or bytes that no save could write.

    Raises:
        NotStorable: it is longer than `limits.save_bytes_max`.
    """
    data = value if isinstance(value, bytes) else value.encode(errors="surrogatepass")
    if len(data) > limits.save_bytes_max:
        named = "bytes" if isinstance(value, bytes) else "a text"
        raise NotStorable(
            f"{format_path(path)}: {named} of {len(data):,} bytes is longer than one save can "
            f"write ({limits.save_bytes_max:,}): keep it in parts, or in a file",
            path=path,
        )


def _take_dict(value: dict[Any, Any], path: Path, depth: int) -> dict[str, Any]:
    return _take_pairs(dict.items(value), path, depth)


def _take_ordered(value: OrderedDict[Any, Any], path: Path, depth: int) -> dict[str, Any]:
    # Its order is its own: the base class does not see what `move_to_end` did.
    return _take_pairs(OrderedDict.items(value), path, depth)


def _take_pairs(pairs: ItemsView[Any, Any], path: Path, depth: int) -> dict[str, Any]:
    if depth >= limits.depth_max:
        raise _TooDeep("", path=path)
    taken: dict[str, Any] = {}
    for key, item in pairs:
        if type(key) is not str:
            key = _take_key(key, path)
        if type(item) in ATOMS and (
            type(item) not in SIZED or len(item) <= limits.measured_units_min
        ):
            taken[key] = item
        else:
            taken[key] = _take(item, (*path, key), depth + 1)
    if len(taken) != len(pairs):
        message = f"{format_path(path)}: two of its keys would become one: all of them are str"
        raise NotStorable(message, path=path)
    return taken


def _take_key(key: Any, path: Path) -> str:
    plain = key.value if isinstance(key, Enum) else key
    if isinstance(plain, str):
        return str.__str__(plain)
    raise NotStorable(f"{format_path(path)}: {foreign.key_refusal(key)}", path=path)


def _take_list(value: list[Any], path: Path, depth: int) -> list[Any]:
    return _take_items(list.copy(value), path, depth)


def _take_tuple(value: tuple[Any, ...], path: Path, depth: int) -> tuple[Any, ...]:
    return tuple(_take_items(list(tuple.__iter__(value)), path, depth))


def _take_items(items: list[Any], path: Path, depth: int) -> list[Any]:
    if depth >= limits.depth_max:
        raise _TooDeep("", path=path)
    kinds = set(map(type, items))
    if _all_atoms(kinds) and _longest(items, kinds) <= limits.measured_units_min:
        return items
    return [_take(item, (*path, at), depth + 1) for at, item in enumerate(items)]


def _longest(items: list[Any], kinds: set[type]) -> int:
    """How long the longest text or bytes in a list of atoms is; `kinds` are all their classes."""
    if SIZED.isdisjoint(kinds):
        return 0
    if SIZED.issuperset(kinds):
        return max(map(len, items))
    return max(len(item) for item in items if type(item) in SIZED)


def _take_set(value: set[Any], path: Path, depth: int) -> set[Any]:
    return _take_members(list(set.__iter__(value)), path, depth)


def _take_frozenset(value: frozenset[Any], path: Path, depth: int) -> frozenset[Any]:
    return frozenset(_take_members(list(frozenset.__iter__(value)), path, depth))


def _take_members(members: list[Any], path: Path, depth: int) -> set[Any]:
    taken = _take_items(members, path, depth)
    try:
        unique = set(taken)
    except TypeError as error:
        message = f"{format_path(path)}: a member of a set would become mutable; use a list"
        raise NotStorable(message, path=path) from error
    if len(unique) != len(members):
        message = f"{format_path(path)}: two members of a set would become one; use a list"
        raise NotStorable(message, path=path)
    return unique


def _take_clock(value: Any, path: Path, depth: int) -> Any:
    try:
        return plain_clock(value)
    except (ValueError, OverflowError, TypeError) as error:
        named = type(value).__qualname__
        message = f"{format_path(path)}: this {named} cannot be stored: {error}"
        raise NotStorable(message, path=path) from error


def _take_date(value: date, path: Path, depth: int) -> date:
    return date(value.year, value.month, value.day)


def _take_timedelta(value: timedelta, path: Path, depth: int) -> timedelta:
    if getattr(value, "nanoseconds", 0):
        message = f"{format_path(path)}: a timedelta finer than a microsecond cannot be stored"
        raise NotStorable(message, path=path)
    return timedelta(value.days, value.seconds, value.microseconds)


def _take_uuid(value: UUID, path: Path, depth: int) -> UUID:
    if type(value) is UUID and value.is_safe is SafeUUID.unknown:
        return value
    return UUID(int=value.int)


def _take_enum(value: Enum, path: Path, depth: int) -> Any:
    try:
        return _take(value.value, path, depth)
    except _TooDeep:
        raise
    except NotStorable as refused:
        message = f"{refused} (in the value of the Enum member {value!s})"
        raise NotStorable(message, path=refused.path) from None


def _take_object(value: Any, path: Path, depth: int) -> Any:
    """What another library's object stands for, or a refusal that says what to do."""
    if depth >= limits.depth_max:
        raise _TooDeep("", path=path)
    try:
        data = foreign.data_of(value)
    except Exception as error:  # another library's code: whatever it raises means the same here
        named = type(value).__qualname__
        message = f"{format_path(path)}: this {named} cannot be turned into plain data: {error}"
        raise NotStorable(message, path=path) from error
    if data is foreign.NOTHING or type(data) is type(value):
        raise NotStorable(f"{format_path(path)}: {foreign.refusal(value)}", path=path)
    return _take(data, path, depth)


Taker = Callable[[Any, Path, int], Any]

# In the order in which a subclass is looked up: a datetime is a date too.
_TAKERS: dict[type, Taker] = {
    OrderedDict: _take_ordered,
    dict: _take_dict,
    list: _take_list,
    tuple: _take_tuple,
    set: _take_set,
    frozenset: _take_frozenset,
    datetime: _take_clock,
    date: _take_date,
    time: _take_clock,
    timedelta: _take_timedelta,
    UUID: _take_uuid,
    Decimal: lambda value, path, depth: Decimal(value),
    str: lambda value, path, depth: str.__str__(value),
    int: lambda value, path, depth: int.__index__(value),
    float: lambda value, path, depth: float.__pos__(value),
    bytes: lambda value, path, depth: bytes(memoryview(value)),
    bytearray: lambda value, path, depth: bytes(value),
    memoryview: lambda value, path, depth: value.tobytes(),
}


def _taker_of(kind: type) -> Taker:
    if issubclass(kind, Enum):
        return _take_enum
    for base, taker in _TAKERS.items():
        if issubclass(kind, base):
            return taker
    return _take_object


def _explain_depth(value: Any, path: Path, end: Path) -> NotStorable:
    """Whether what was too deep, at `end`, is deep or contains itself."""
    seen = {id(value): path}
    for size, part in enumerate(end[len(path) :], len(path) + 1):
        value = _child(value, part)
        if value is None:  # made anew at each look, as properties are
            break
        if id(value) in seen:
            again = f"{format_path(end[:size])}: contains itself, as {format_path(seen[id(value)])}"
            return NotStorable(again, path=end[:size])
        seen[id(value)] = end[:size]
    top = f"{format_path(end[:4])}/…" if len(end) > 4 else format_path(end)
    return NotStorable(f"{top}: nested over {limits.depth_max} deep", path=end)


def _child(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return dict.get(value, part)
    if isinstance(value, list | tuple):
        return value[part] if isinstance(part, int) else None
    return getattr(value, str(part), None)
