"""A JSON Schema for states that have none, from what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perdure import limits

_PLAIN = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}


class _Shape:
    """What the values seen at one place have in common."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.fields: dict[str, tuple[_Shape, int]] = {}
        self.records = 0
        self.rest: _Shape | None = None
        self.items: _Shape | None = None

    def see(self, value: Any) -> None:
        if isinstance(value, dict):
            self.types.add("object")
            self.records += 1
            for name, held in value.items():
                self._see_field(name, held)
        elif isinstance(value, list | tuple | set | frozenset):
            self.types.add("array")
            self.items = self.items or _Shape()
            for held in value:
                self.items.see(held)
        else:
            self.types.add(_PLAIN.get(type(value), "string"))

    def _see_field(self, name: str, value: Any) -> None:
        if name not in self.fields and len(self.fields) >= limits.INFERRED_FIELDS:
            self.rest = self.rest or _Shape()
            self.rest.see(value)
            return
        shape, times = self.fields.get(name) or (_Shape(), 0)
        shape.see(value)
        self.fields[name] = (shape, times + 1)

    def schema(self) -> dict[str, Any]:
        types = sorted(self.types)
        found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types} if types else {}
        if "object" in self.types:
            found["properties"] = {name: held.schema() for name, (held, _) in self.fields.items()}
            found["required"] = [n for n, (_, seen) in self.fields.items() if seen == self.records]
            if self.rest is not None:
                found["additionalProperties"] = self.rest.schema()
        if self.items is not None:
            found["items"] = self.items.schema()
        return found


def infer(sections: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON Schema 2020-12 that every one of `sections` fits; reserved sections are left out."""
    shape = _Shape()
    for held in sections:
        shape.see({name: v for name, v in held.items() if not name.startswith("perdure.")})
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **shape.schema()}
