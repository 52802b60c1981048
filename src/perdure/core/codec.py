"""Values as bytes and back: msgpack, with extension types for what msgpack does not know.

The same value always gives the same bytes, on every machine: floats take 64 bits, ints as few as
they need, maps keep their order, members of sets go by their packed bytes. Nothing that is read can
name code: bytes give plain values or `Malformed` (P12).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from enum import IntEnum
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from perdure import limits
from perdure.core import zones
from perdure.errors import UPGRADE, Malformed, NewerFormat, NotStorable

T = TypeVar("T")


class Code(IntEnum):
    """The msgpack extension types in use. A code is never given another meaning."""

    BIGINT = 1
    """Beyond 64 bits: two's complement, big-endian, as few bytes as it needs."""
    DATETIME = 2
    """See `perdure.core.zones`, as for the next three."""
    DATE = 3
    TIME = 4
    TIMEDELTA = 5
    UUID = 6
    """16 bytes."""
    DECIMAL = 7
    """ASCII, in the scientific notation of the General Decimal Arithmetic specification."""
    TUPLE = 8
    """A packed array, as for the next two."""
    SET = 9
    """Members in the order of their packed bytes."""
    FROZENSET = 10
    TEXT = 11
    """A str with lone surrogates: UTF-8 that encodes each as if it were a character."""
    MAP = 12
    """A map with such a str among its keys: a packed array of key, value, key, value…"""


ENVELOPE_LEVELS = 8
"""Containers that may be around a value where it is stored: those of records and pages."""
LEVELS_MAX = limits.depth_max + ENVELOPE_LEVELS
TOO_DEEP = f"nested over {LEVELS_MAX} deep"

_UNREADABLE = (ValueError, TypeError, ArithmeticError, RecursionError, struct.error)
INT_MIN, INT_MAX = -(2**63), 2**64 - 1
FAMILIAR: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})
"""Classes whose instances msgpack holds as they are; of str and int, nearly all."""
CERTAIN: frozenset[type] = FAMILIAR - {str, int}
CONTAINERS = frozenset({dict, list, tuple, set, frozenset})

_MOMENTS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
"""What msgpack's own extension for moments begins with; in no text is there a byte 255."""

_encode = msgspec.msgpack.Encoder().encode
_encode_ordered = msgspec.msgpack.Encoder(order="deterministic").encode
# str(decimal) depends on the thread's context; this one is ours.
_decimals = Context(
    prec=28, Emin=-999_999, Emax=999_999, capitals=1, clamp=0, flags=[], traps=[InvalidOperation]
)


def pack(value: Any) -> bytes:
    """The bytes of a plain value, or of tracked containers of plain values.

    Raises:
        NotStorable: not a plain value: `perdure.core.values.take` makes it one.

    Example:
        >>> pack({"turn": 1}).hex()
        '81a47475726e01'
        >>> unpack(pack({"at": (1, 2)}))
        {'at': (1, 2)}
    """
    return _packed(value, 0)


def pack_many(values: list[Any]) -> bytes:
    """The same bytes as `pack` gives for a list of plain values; sooner, if most are familiar.

    msgpack's encoder does not refuse what needs an extension, but what it makes of that instead is
    something else when it is read back: all but moments, which it has an extension of its own for.
    To look at what comes back takes a fraction of looking at each value.

    Example:
        >>> values = [{"turn": 1}, (1, 2)]
        >>> pack_many(values) == pack(values)
        True
    """
    try:
        packed = _encode(values)
        may_hold_moments = b"\xff" in packed and any(each in packed for each in _MOMENTS)
        is_same = not may_hold_moments and _decode(packed) == values
    except (*_UNREADABLE, NewerFormat):
        return pack(values)
    return packed if is_same else pack(values)


def unpack(data: bytes | memoryview | msgspec.Raw) -> Any:
    """The plain value of these bytes.

    Raises:
        Malformed: they are no packed value.
        NewerFormat: there is a value in it of a kind that only a newer Perdure knows.
    """
    try:
        value = _decode(data)
        if type(value) in CONTAINERS and not _has_str_keys(value):
            _check_keys(value)
    except _UNREADABLE as error:
        raise Malformed(f"not a packed value: {error}") from error
    return value


def reader(layout: type[T]) -> Callable[[bytes | memoryview | msgspec.Raw], T]:
    """What reads packed values of one layout; it raises `Malformed` for all others.

    What the layout leaves open (`msgspec.Raw`) is not decoded, only passed over.

    Example:
        >>> reader(tuple[str, msgspec.Raw])(pack(["plan", {"step": 1}]))[0]
        'plan'
    """
    decode = msgspec.msgpack.Decoder(layout, ext_hook=_extension).decode

    def read(data: bytes | memoryview | msgspec.Raw) -> T:
        try:
            return decode(data)
        except _UNREADABLE as error:
            raise Malformed(f"not laid out as it should be: {error}") from error

    return read


def quick_reader(layout: type[T]) -> Callable[[bytes], T | None]:
    """The same for what is read often: None where it is not laid out so, or that is not certain.

    The layout may hold values, which are plain ones then. What gives None may be right all the
    same: `unpack` decides.

    Example:
        >>> read = quick_reader(tuple[str, Any])
        >>> read(pack(["plan", {"step": 1}])), read(pack(["plan"]))
        (('plan', {'step': 1}), None)
    """
    decode = msgspec.msgpack.Decoder(layout, ext_hook=_extension).decode

    def read(data: bytes) -> T | None:
        try:
            value = decode(data)
            _encode_ordered(value)  # which refuses keys that are no str: see `_has_str_keys`
        except (*_UNREADABLE, NewerFormat):
            return None
        return value

    return read


# ---- packing --------------------------------------------------------------------------------


def _packed(value: Any, level: int) -> bytes:
    try:
        return _encode(_ready(value, FAMILIAR, level))
    except (UnicodeEncodeError, OverflowError):
        # A lone surrogate or a big int somewhere: rare, so only now is each str and int looked at,
        # and in all of it: if each container tried both ways, what is nested would be packed as
        # often as two to the power of its depth.
        return _encode(_ready(value, CERTAIN, level))


def _ready(value: Any, plain: frozenset[type], level: int) -> Any:
    """What to give the encoder: `value` itself, unless something in it needs an extension."""
    kind = type(value)
    if kind in plain:
        return value
    if kind is dict:
        return _ready_dict(value, plain, level + 1)
    if kind is list:
        return _ready_list(value, plain, level + 1)
    if (extension := _SCALARS.get(kind)) is not None:
        return extension(value)
    # Subclasses are read as their base: what they override is for their users.
    for base, ready in _CONTAINERS:
        if isinstance(value, base):
            return ready(value, plain, level + 1)
    raise NotStorable(f"a value of type {kind.__qualname__} is not plain: take() it first")


def _ready_dict(value: dict[str, Any], plain: frozenset[type], level: int) -> Any:
    if level > LEVELS_MAX:
        raise NotStorable(TOO_DEEP)
    ready = value
    for key, item in dict.items(value):
        if type(key) is not str:
            raise NotStorable(f"a key of type {type(key).__qualname__} is not plain")
        if type(item) not in plain:
            changed = _ready(item, plain, level)
            if changed is not item:
                if ready is value:
                    ready = dict(dict.items(value))
                ready[key] = changed
    if plain is CERTAIN and any(_ready_str(key) is not key for key in dict.keys(value)):
        flat = [part for key, item in dict.items(ready) for part in (_ready_str(key), item)]
        return Ext(Code.MAP.value, _encode(flat))
    return ready


def _ready_list(value: list[Any], plain: frozenset[type], level: int) -> list[Any]:
    if level > LEVELS_MAX:
        raise NotStorable(TOO_DEEP)
    if plain.issuperset(map(type, list.__iter__(value))):
        return value
    ready = value
    for at, item in enumerate(list.__iter__(value)):
        if type(item) not in plain:
            changed = _ready(item, plain, level)
            if changed is not item:
                if ready is value:
                    ready = list.copy(value)
                ready[at] = changed
    return ready


def _ready_tuple(value: tuple[Any, ...], plain: frozenset[type], level: int) -> Ext:
    return Ext(Code.TUPLE.value, _encode(_ready_list(list(tuple.__iter__(value)), plain, level)))


def _ready_set(value: set[Any], plain: frozenset[type], level: int) -> Ext:
    return Ext(Code.SET.value, _packed_members(set.__iter__(value), plain, level))


def _ready_frozenset(value: frozenset[Any], plain: frozenset[type], level: int) -> Ext:
    return Ext(Code.FROZENSET.value, _packed_members(frozenset.__iter__(value), plain, level))


def _packed_members(members: Iterator[Any], plain: frozenset[type], level: int) -> bytes:
    if level > LEVELS_MAX:
        raise NotStorable(TOO_DEEP)
    packed = sorted(_encode(_ready(member, plain, level)) for member in members)
    return _encode([msgspec.Raw(each) for each in packed])


def _ready_str(value: str) -> str | Ext:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(Code.TEXT.value, value.encode("utf-8", "surrogatepass"))
    return value


def _ready_int(value: int) -> int | Ext:
    if INT_MIN <= value <= INT_MAX:
        return value
    return Ext(Code.BIGINT.value, value.to_bytes(_int_bytes(value), "big", signed=True))


def _int_bytes(value: int) -> int:
    """The fewest bytes whose two's complement holds `value`."""
    return (value if value >= 0 else ~value).bit_length() // 8 + 1


_SCALARS: dict[type, Callable[[Any], Any]] = {
    str: _ready_str,
    int: _ready_int,
    datetime: lambda value: Ext(Code.DATETIME.value, zones.pack_datetime(value)),
    date: lambda value: Ext(Code.DATE.value, zones.pack_date(value)),
    time: lambda value: Ext(Code.TIME.value, zones.pack_time(value)),
    timedelta: lambda value: Ext(Code.TIMEDELTA.value, zones.pack_timedelta(value)),
    UUID: lambda value: Ext(Code.UUID.value, value.bytes),
    Decimal: lambda value: Ext(Code.DECIMAL.value, _decimals.to_sci_string(value).encode()),
}
_CONTAINERS: tuple[tuple[type, Callable[[Any, frozenset[type], int], Any]], ...] = (
    (dict, _ready_dict),
    (list, _ready_list),
    (tuple, _ready_tuple),
    (set, _ready_set),
    (frozenset, _ready_frozenset),
)


# ---- unpacking ------------------------------------------------------------------------------


def _has_str_keys(value: Any) -> bool:
    """Whether every key in it is a str for certain.

    The encoder accepts no other, four times as fast as a walk in Python would find them. It fails
    for other reasons too, and then nothing is certain.
    """
    try:
        _encode_ordered(value)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        return False  # ArithmeticError: it orders sets, and a Decimal NaN has no order
    return True


def _check_keys(value: Any) -> None:
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise ValueError(f"a key of type {type(key).__qualname__}")
        value = value.values()
    for item in value:
        if type(item) in CONTAINERS:
            _check_keys(item)


def _extension(code: int, data: memoryview) -> Any:
    read = _READERS.get(code)
    if read is None:
        raise NewerFormat(f"extension type {code} is unknown to this version; {UPGRADE}")
    return read(bytes(data))


def _read_bigint(data: bytes) -> int:
    value = int.from_bytes(data, "big", signed=True)
    if INT_MIN <= value <= INT_MAX or len(data) != _int_bytes(value):
        raise ValueError("a big int in more bytes than it needs")
    return value


def _read_decimal(data: bytes) -> Decimal:
    text = str(data, "ascii")
    value = Decimal(text, _decimals)
    if _decimals.to_sci_string(value) != text:
        raise ValueError("a decimal in unusual notation")
    return value


def _read_text(data: bytes) -> str:
    value = str(data, "utf-8", "surrogatepass")
    if _ready_str(value) is value:
        raise ValueError("a str that needs no extension")
    return value


def _read_items(data: bytes) -> list[Any]:
    items = _decode(data)
    if type(items) is not list:
        raise ValueError("an extension that should hold an array")
    return items


def _read_set(data: bytes) -> set[Any]:
    members = _read_items(data)
    unique = set(members)
    if len(unique) != len(members):
        raise ValueError("a set that holds a member twice")
    return unique


def _read_map(data: bytes) -> dict[str, Any]:
    items = _read_items(data)
    keys = items[::2]
    value = dict(zip(keys, items[1::2], strict=True))
    if len(value) != len(keys):
        raise ValueError("a map that holds a key twice")
    return value


_READERS: dict[int, Callable[[bytes], Any]] = {
    Code.BIGINT: _read_bigint,
    Code.DATETIME: zones.unpack_datetime,
    Code.DATE: zones.unpack_date,
    Code.TIME: zones.unpack_time,
    Code.TIMEDELTA: zones.unpack_timedelta,
    Code.UUID: lambda data: UUID(bytes=data),
    Code.DECIMAL: _read_decimal,
    Code.TUPLE: lambda data: tuple(_read_items(data)),
    Code.SET: _read_set,
    Code.FROZENSET: lambda data: frozenset(_read_set(data)),
    Code.TEXT: _read_text,
    Code.MAP: _read_map,
}
_decode = msgspec.msgpack.Decoder(ext_hook=_extension).decode
