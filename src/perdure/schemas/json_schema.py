"""The JSON Schema of what a model class is stored as."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from perdure.errors import PerdureError
from perdure.schemas.annotations import kind_of
from perdure.schemas.containers import DictKind, ListKind, SetKind, TupleKind
from perdure.schemas.kinds import ANY, ChoiceKind, FlagKind, Kind, LeafKind, LimitedKind
from perdure.schemas.models import ModelKind, UnionKind
from perdure.state.door import admitted_at

DIALECT = "https://json-schema.org/draft/2020-12/schema"

LEAVES: dict[type, dict[str, Any]] = {
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
    timedelta: {"type": "string", "format": "duration"},
    UUID: {"type": "string", "format": "uuid"},
    Decimal: {"type": "string", "format": "decimal"},
}
"""The forms of single values, by type."""
_JSON = (type(None), bool, int, float, str, list, dict)


def json_schema_of(cls: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the stored form of a schema class.

    Models are in `$defs`, by name. More properties than are listed may be there.

    Raises:
        UsageError: the class cannot be a schema; the message names class and field.

    Example:
        >>> json_schema_of(Plan)["required"]
        ['goal']
    """
    definitions: dict[str, Any] = {}
    top = _Writer(definitions).model(kind_of(cls))
    schema = {"$schema": DIALECT, **top}
    return {**schema, "$defs": definitions} if definitions else schema


class _Writer:
    """Writes kinds, and collects the models that they name."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._names: dict[int, str] = {}

    def model(self, kind: ModelKind) -> dict[str, Any]:
        properties = {name: self._field(field) for name, field in kind.fields.items()}
        required = [name for name in kind.fields if kind.is_required(name)]
        if kind.tag is not None:
            properties = {kind.tag[0]: {"const": kind.tag[1]}, **properties}
            required = [kind.tag[0], *required]
        schema: dict[str, Any] = {"title": kind.said, "type": "object", "properties": properties}
        return {**schema, "required": required} if required else schema

    def _field(self, field: Any) -> dict[str, Any]:
        schema = self.of(field.kind)
        default = _default(field)
        return schema if default is ... else {**schema, "default": default}

    def of(self, kind: Kind) -> dict[str, Any]:
        if kind is ANY:
            return {}
        for known, write in self._writers().items():
            if isinstance(kind, known):
                return write(kind)
        return {"title": kind.said}

    def _writers(self) -> dict[type[Kind], Callable[[Any], dict[str, Any]]]:
        return {
            LeafKind: _leaf,
            LimitedKind: lambda kind: self.of(kind.inner),
            ChoiceKind: lambda kind: {"enum": list(kind.choices)},
            FlagKind: lambda kind: {"type": "integer"},
            ListKind: lambda kind: {"type": "array", "items": self.of(kind.item)},
            SetKind: lambda kind: {
                "type": "array",
                "items": self.of(kind.item),
                "uniqueItems": True,
            },
            DictKind: lambda kind: {"type": "object", "additionalProperties": self.of(kind.item)},
            TupleKind: self._tuple,
            UnionKind: lambda kind: {"anyOf": [self.of(option) for option in kind.options]},
            ModelKind: self._reference,
        }

    def _tuple(self, kind: TupleKind) -> dict[str, Any]:
        items = [self.of(each) for each in kind.kids()]
        if kind.rest is not None:
            return {"type": "array", "items": items[0]}
        count = len(items)
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}

    def _reference(self, kind: ModelKind) -> dict[str, Any]:
        name = self._names.get(id(kind))
        if name is None:
            name, number = kind.said, 2
            while name in self._definitions:
                name, number = f"{kind.said}{number}", number + 1
            self._names[id(kind)] = name
            self._definitions[name] = {}
            self._definitions[name].update(self.model(kind))
        return {"$ref": f"#/$defs/{name}"}


def _leaf(kind: LeafKind) -> dict[str, Any]:
    if float in kind.atoms:
        return dict(LEAVES[float])
    (each,) = kind.atoms
    return dict(LEAVES[each])


def _default(field: Any) -> Any:
    """The default in its stored form, if JSON has it; else an Ellipsis."""
    if not field.has_default:
        return ...
    try:
        stored = admitted_at(field.kind, field.fresh(), (field.name,), 0)
    except PerdureError:
        return ...
    return stored if _is_json(stored) else ...


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return all(map(_is_json, value)) if isinstance(value, list) else isinstance(value, _JSON)
