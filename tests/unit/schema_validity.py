"""Whether a plain value fits a JSON Schema, in the forms that Perdure writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

FORMATS: dict[str, type] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}
TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list, tuple, set, frozenset),
}


def fits(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any] | None = None) -> bool:
    """Whether a value is as a schema says; references are looked up in `root`."""
    root = schema if root is None else root
    if "$ref" in schema:
        return fits(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)
    if "anyOf" in schema:
        return any(fits(each, value, root) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    return not types or any(_fits_type(each, schema, value, root) for each in types)


def _fits_type(name: str, schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    if name == "string":
        coded = bytes if "contentEncoding" in schema else str
        return type(value) is FORMATS.get(schema.get("format", ""), coded)
    if type(value) not in TYPES[name]:
        return False
    if name == "object":
        return _fits_object(schema, value, root)
    return name != "array" or _fits_array(schema, value, root)


def _fits_object(schema: Mapping[str, Any], value: dict[str, Any], root: Mapping[str, Any]) -> bool:
    if any(name not in value for name in schema.get("required", ())):
        return False
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    patterns = schema.get("patternProperties", {})

    def applying(name: str) -> list[Any]:
        found = [known[name]] if name in known else []
        found += [each for pattern, each in patterns.items() if re.search(pattern, name)]
        return found or [rest]

    return all(fits(each, held, root) for name, held in value.items() for each in applying(name))


def _fits_array(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    if schema.get("uniqueItems", False) != isinstance(value, set | frozenset):
        return False
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    places = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    return all(
        fits(places[at] if at < len(places) else rest, each, root) for at, each in enumerate(value)
    )
