"""The bytes of values, one by one: what another language's reader and writer has to agree with.

`vectors/values.json` holds for each value what it is, in JSON with tags, and its bytes; and bytes
that every reader has to refuse.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from perdure.core.codec import Code, pack, unpack
from perdure.core.values import same, take
from perdure.errors import Malformed, NewerFormat

VECTORS = json.loads((Path(__file__).parent / "vectors" / "values.json").read_text("utf-8"))


def built(tagged: Any) -> Any:
    """The value of its tagged form: null, bools and strings as they are, others {tag: content}."""
    if not isinstance(tagged, dict):
        return tagged
    ((tag, content),) = tagged.items()
    return _BUILD[tag](content)


def built_float(bits: str) -> Any:
    return struct.unpack(">d", bytes.fromhex(bits))[0]


def built_dict(pairs: list[Any]) -> dict[str, Any]:
    return {key: built(item) for key, item in pairs}


def built_clock(kind: type[datetime] | type[time], content: dict[str, Any]) -> Any:
    plain = kind.fromisoformat(content["wall"])
    return plain.replace(tzinfo=built_zone(content.get("zone")), fold=content.get("fold", 0))


def built_zone(zone: dict[str, Any] | None) -> tzinfo | None:
    if zone is None:
        return None
    if "key" in zone:
        return ZoneInfo(zone["key"])
    offset = timedelta(microseconds=zone["offset_us"])
    return timezone(offset, zone["name"]) if "name" in zone else timezone(offset)


_BUILD: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": built_float,
    "bytes": bytes.fromhex,
    "list": lambda items: [built(item) for item in items],
    "tuple": lambda items: tuple(built(item) for item in items),
    "set": lambda items: {built(item) for item in items},
    "frozenset": lambda items: frozenset(built(item) for item in items),
    "dict": built_dict,
    "datetime": lambda content: built_clock(datetime, content),
    "time": lambda content: built_clock(time, content),
    "date": date.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "uuid": UUID,
    "decimal": Decimal,
}


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["about"])
def test_a_value_and_its_bytes_are_each_made_from_the_other(vector: dict[str, Any]) -> None:
    value, data = built(vector["value"]), bytes.fromhex(vector["bytes"])
    assert pack(value).hex(" ") == data.hex(" ")
    assert same(unpack(data), value)
    assert same(take(value), value)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["about"])
def test_bytes_that_have_to_be_refused_are(vector: dict[str, Any]) -> None:
    is_newer = vector["about"] == "an extension that is not known"
    with pytest.raises(NewerFormat if is_newer else Malformed):
        unpack(bytes.fromhex(vector["bytes"]))


def test_every_extension_has_a_vector() -> None:
    shown = {bytes.fromhex(vector["bytes"])[:3] for vector in VECTORS["values"]}
    codes = {
        head[2] if head[0] == 0xC7 else head[1] for head in shown if head[0] in range(0xC7, 0xD9)
    }
    assert set(Code) <= codes
