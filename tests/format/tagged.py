"""Values as the JSON beside golden stores has them."""

import json
import struct
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID


def tagged(value: Any) -> Any:
    """A plain value as JSON that loses nothing: what a reader in any language can compare."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if isinstance(value, dict):
        return {"map": [[tagged(key), tagged(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if kind is tuple:
        return {"tuple": [tagged(item) for item in value]}
    if isinstance(value, set | frozenset):
        name = "set" if isinstance(value, set) else "frozenset"
        return {name: sorted((tagged(item) for item in value), key=json.dumps)}
    return {kind.__name__: _scalar(value)}


def _scalar(value: Any) -> Any:
    match value:
        case float():
            return struct.pack(">d", value).hex()
        case bytes():
            return value.hex()
        case datetime():
            return [*value.timetuple()[:6], value.microsecond, value.fold, *_zone(value)]
        case time():
            clock = [value.hour, value.minute, value.second, value.microsecond]
            return [*clock, value.fold, *_zone(value)]
        case date():
            return [value.year, value.month, value.day]
        case timedelta():
            return [value.days, value.seconds, value.microseconds]
        case UUID():
            return value.hex
        case Decimal():
            return str(value)
    raise TypeError(type(value).__name__)


def _zone(value: datetime | time) -> list[Any]:
    """Offset in microseconds, the offset's own name, the zone's name; None where there is none."""
    zone, offset = value.tzinfo, value.utcoffset()
    micros = None if offset is None else offset // timedelta(microseconds=1)
    if isinstance(zone, timezone):
        own_name = zone.tzname(None)
        return [micros, None if own_name.startswith("UTC") else own_name, None]
    return [micros, None, getattr(zone, "key", None)]
