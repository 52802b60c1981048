"""Dates and times as plain values, and as bytes, with the zone they were given in.

A zone is kept by its name in the IANA database, a fixed offset with its name if it has one of its
own. The offset a zone had at that moment is kept beside its name, so that a machine that lacks the
zone still shows the right instant, and writes back the very same bytes.
"""

from __future__ import annotations

import re
import struct
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
DAY_SECONDS, SECOND_MICROS = 86_400, 1_000_000
MICROSECOND = timedelta(microseconds=1)
KEY_PATTERN = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}", re.ASCII)

# Low bit of the flags: fold. The others say what follows.
FOLD = 1
OFFSET = 2  # an offset from UTC: int64, microseconds
NAME = 4  # the offset's own name
KEY = 8  # the zone's name in the database
FLAGS_KNOWN = (0, OFFSET, OFFSET | NAME, KEY, KEY | OFFSET)

_date = struct.Struct(">HBB")  # year, month, day
_time = struct.Struct(">BBBIB")  # hour, minute, second, microsecond, flags
_datetime = struct.Struct(">HBBBBBIB")  # both
_timedelta = struct.Struct(">iII")  # days, seconds below a day, microseconds below a second
_offset = struct.Struct(">q")


class AbsentZone(tzinfo):
    """A zone that this machine's database lacks: its name, and its offset at one moment."""

    def __init__(self, key: str, offset: timedelta | None) -> None:
        self.key = key
        self.offset = offset

    def utcoffset(self, moment: datetime | None, /) -> timedelta | None:
        """The offset that was stored; None for a time without a date."""
        return self.offset

    def dst(self, moment: datetime | None, /) -> timedelta | None:
        """Not known."""
        return None

    def tzname(self, moment: datetime | None, /) -> str:
        """The zone's name in the database."""
        return self.key

    def __getinitargs__(self) -> tuple[str, timedelta | None]:
        return self.key, self.offset

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AbsentZone):
            return NotImplemented
        return self.__getinitargs__() == other.__getinitargs__()

    def __hash__(self) -> int:
        return hash(self.__getinitargs__())

    def __repr__(self) -> str:
        return f"AbsentZone({self.key!r}, {self.offset!r})"


@lru_cache(maxsize=512)
def find_zone(key: str) -> ZoneInfo | None:
    """The zone of that name, None where the database has none. The name reaches no other file."""
    if not KEY_PATTERN.fullmatch(key):
        return None
    try:
        return ZoneInfo(key)
    except (LookupError, ValueError, OSError):
        return None


def plain_clock(value: datetime | time) -> datetime | time:
    """The same moment in the standard class, in a zone that can be stored.

    A zone of another library that tells its name (`key`, or `zone` as pytz has it) becomes the
    `ZoneInfo` of that name, any other the fixed offset it has at that moment.

    Raises:
        ValueError, OverflowError, TypeError: its class, or its zone's, gives no usable fields.
    """
    plain = value if type(value) in (datetime, time) else _exact(value)
    zone = value.tzinfo
    if zone is None or type(zone) is AbsentZone or _is_plain_offset(zone):
        return plain
    key = getattr(zone, "key", None) or getattr(zone, "zone", None)
    known = find_zone(key) if isinstance(key, str) else None
    if known is zone:
        return plain
    offset = value.utcoffset()
    if known is not None:
        same_wall = plain.replace(tzinfo=known)
        if isinstance(plain, datetime) and same_wall.utcoffset() != offset:
            # Ambiguous or skipped wall times, or other rules under the same name.
            return plain.astimezone(known)
        return same_wall
    if offset is None:
        raise ValueError(f"its zone {zone!r} tells no offset")
    return plain.replace(tzinfo=_fixed(offset, value.tzname()))


def _exact(value: datetime | time) -> datetime | time:
    if getattr(value, "nanosecond", 0):
        raise ValueError("it is finer than a microsecond")
    clock = (value.hour, value.minute, value.second, value.microsecond)
    zone = value.tzinfo
    if isinstance(value, datetime):
        day = (value.year, value.month, value.day)
        return datetime(*day, *clock, tzinfo=zone, fold=value.fold)
    return time(*clock, tzinfo=zone, fold=value.fold)


def _is_plain_offset(zone: tzinfo) -> bool:
    return type(zone) is timezone and all(type(arg) in (timedelta, str) for arg in _initargs(zone))


def _initargs(zone: timezone) -> tuple[timedelta] | tuple[timedelta, str]:
    """Offset, and name if one was given: what tells `timezone(x)` from `timezone(x, name)`."""
    return zone.__getinitargs__()  # type: ignore[attr-defined, no-any-return]


def _fixed(offset: timedelta, name: str | None) -> timezone:
    if not name or (not offset and name == "UTC"):
        return timezone(offset)
    return timezone(offset, str.__str__(name))


def pack_date(value: date) -> bytes:
    """Year, month and day: 4 bytes."""
    return _date.pack(value.year, value.month, value.day)


def unpack_date(data: bytes) -> date:
    """The date of these bytes; ValueError or `struct.error` if there is none."""
    return date(*_date.unpack(data))


def pack_timedelta(value: timedelta) -> bytes:
    """Days, seconds and microseconds: 12 bytes."""
    return _timedelta.pack(value.days, value.seconds, value.microseconds)


def unpack_timedelta(data: bytes) -> timedelta:
    """The timedelta of these bytes; ValueError or `struct.error` if there is none."""
    days, seconds, micros = _timedelta.unpack(data)
    if seconds >= DAY_SECONDS or micros >= SECOND_MICROS:
        raise ValueError("timedelta out of its normal form")
    return timedelta(days, seconds, micros)


def pack_time(value: time) -> bytes:
    """The clock and flags: 8 bytes; then offset and name of its zone."""
    flags, zone = _pack_zone(value)
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return _time.pack(*clock, flags) + zone


def unpack_time(data: bytes) -> time:
    """The time of these bytes; ValueError or `struct.error` if there is none."""
    hour, minute, second, micros, flags = _time.unpack_from(data)
    zone = _unpack_zone(flags, data[_time.size :])
    return time(hour, minute, second, micros, zone, fold=flags & FOLD)


def pack_datetime(value: datetime) -> bytes:
    """Date, clock and flags: 12 bytes; then offset and name of its zone."""
    flags, zone = _pack_zone(value)
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.microsecond)
    return _datetime.pack(*day, *clock, flags) + zone


def unpack_datetime(data: bytes) -> datetime:
    """The datetime of these bytes; ValueError or `struct.error` if there is none."""
    year, month, day, hour, minute, second, micros, flags = _datetime.unpack_from(data)
    zone = _unpack_zone(flags, data[_datetime.size :])
    return datetime(year, month, day, hour, minute, second, micros, zone, fold=flags & FOLD)


def _pack_zone(value: datetime | time) -> tuple[int, bytes]:
    """Flags, and the bytes that they announce."""
    zone = value.tzinfo
    if zone is None:
        return value.fold, b""
    if type(zone) is timezone:
        offset, *name = _initargs(zone)
        if not name:
            return value.fold | OFFSET, _pack_offset(offset)
        text = name[0].encode("utf-8", "surrogatepass")
        return value.fold | OFFSET | NAME, _pack_offset(offset) + text
    if not isinstance(zone, ZoneInfo | AbsentZone) or zone.key is None:
        raise TypeError(f"a zone of type {type(zone).__name__}")
    key = zone.key.encode()
    moment = value.utcoffset()
    if moment is None:
        return value.fold | KEY, key
    return value.fold | KEY | OFFSET, _pack_offset(moment) + key


def _unpack_zone(flags: int, data: bytes) -> tzinfo | None:
    kind = flags & ~FOLD
    if kind not in FLAGS_KNOWN:
        raise ValueError(f"unknown flags {flags} of a time")
    offset = None
    if kind & OFFSET:
        offset = MICROSECOND * _offset.unpack_from(data)[0]
        data = data[_offset.size :]
        if not -DAY < offset < DAY:
            raise ValueError("an offset of a day or more")
    if kind & KEY:
        key = str(data, "utf-8")
        return find_zone(key) or AbsentZone(key, offset)
    if kind & NAME and offset is not None:
        return timezone(offset, str(data, "utf-8", "surrogatepass"))
    if data:
        raise ValueError("more bytes than a time has")
    return None if offset is None else timezone(offset)


def _pack_offset(offset: timedelta) -> bytes:
    return _offset.pack(offset // MICROSECOND)
