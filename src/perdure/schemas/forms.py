"""JSON Schemas in one form, so that two of them can be compared: a list of alternatives.

References are followed, `anyOf`, `oneOf` and lists of types become alternatives, a `const` is an
enum of one. What only tells people something (titles, descriptions) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from perdure.core.abbreviate import abbreviate
from perdure.errors import UsageError

Schema = Mapping[str, Any]
_TYPED_BY = {"properties": "object", "additionalProperties": "object", "items": "array"}
_ARE: dict[str, type] = {
    **dict.fromkeys(("anyOf", "oneOf", "enum", "required", "prefixItems"), list),
    **dict.fromkeys(("$ref", "format"), str),
}
"""What the values of some keywords are, where they are there."""


class Form(msgspec.Struct, frozen=True):
    """One alternative: what kind of value, and what the schema says of it."""

    kind: str
    """A type of JSON, the format of a text, or `bytes`, `enum`, `map`, `set`, `tuple`, `any`."""
    schema: Schema
    name: str = ""
    """What it is a reference to; empty if it is none."""

    @property
    def choices(self) -> list[Any]:
        """The values of an enum."""
        return list(self.schema.get("enum", ()))

    @property
    def fields(self) -> Schema:
        """The schemas of an object's fields."""
        found = self.schema.get("properties", {})
        if not isinstance(found, Mapping):
            raise _none(found)
        return {name: _checked(each) for name, each in found.items()}

    def requires(self, name: str) -> bool:
        """Whether a field must be there."""
        return name in self.schema.get("required", ())

    @property
    def item(self) -> Schema:
        """The schema of the items of a list or set, or of the values of a map."""
        found = self.schema.get("additionalProperties" if self.kind == "map" else "items", {})
        return found if isinstance(found, Mapping) else {}


def forms(schema: Schema, root: Schema) -> list[Form]:
    """The alternatives of a schema, each once.

    Args:
        schema: what is looked at.
        root: the whole schema, in which references are looked up.

    Raises:
        UsageError: a reference leads nowhere, or only to itself.
    """
    found: list[Form] = []
    for form in _forms(schema, root, ()):
        if form not in found:
            found.append(form)
    return found


def words(found: list[Form]) -> str:
    """Alternatives in words.

    Example:
        >>> words(forms({"type": ["string", "null"]}, {}))
        'null or string'
    """
    return " or ".join(sorted({form.kind for form in found}))


def _forms(schema: Schema, root: Schema, seen: tuple[str, ...]) -> Iterator[Form]:
    schema = _checked(schema)
    reference = schema.get("$ref")
    if reference is not None:
        if reference in seen:
            raise UsageError(f"{reference} leads only to itself")
        for form in _forms(_referred(reference, root), root, (*seen, reference)):
            yield Form(form.kind, form.schema, form.name or reference)
        return
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        for each in alternatives:
            yield from _forms(each, root, seen)
    elif "enum" in schema or "const" in schema:
        yield from _choices([*schema.get("enum", [schema.get("const")])])
    else:
        for name in _types(schema):
            yield Form(_kind(name, schema), schema if name in ("object", "array") else {})


def _checked(schema: Any) -> Schema:
    """A schema; `true` allows anything, as an empty one does.

    Raises:
        UsageError: it is none.
    """
    if schema is True:
        return {}
    if not isinstance(schema, Mapping):
        raise _none(schema)
    for word, kind in _ARE.items():
        if word in schema and not isinstance(schema[word], kind | tuple):
            raise _none(schema)
    return schema


def _none(found: Any) -> UsageError:
    return UsageError(f"{abbreviate(found)} is no JSON Schema that can be compared: right it first")


def _choices(values: list[Any]) -> Iterator[Form]:
    """An enum; None in it is an alternative of its own."""
    if None in values:
        yield Form("null", {})
    held = [each for each in values if each is not None]
    if held:
        yield Form("enum", {"enum": held})


def _types(schema: Schema) -> list[str]:
    named = schema.get("type")
    if named is None:
        return [next((kind for word, kind in _TYPED_BY.items() if word in schema), "any")]
    if isinstance(named, list) and all(isinstance(each, str) for each in named):
        return named
    if not isinstance(named, str):
        raise _none(schema)
    return [named]


def _kind(name: str, schema: Schema) -> str:
    if name == "string":
        return "bytes" if "contentEncoding" in schema else schema.get("format", "string")
    if name == "object":
        is_map = isinstance(schema.get("additionalProperties"), Mapping)
        return "map" if is_map and not schema.get("properties") else "object"
    if name == "array":
        if schema.get("prefixItems"):
            return "tuple"
        return "set" if schema.get("uniqueItems") else "array"
    return name


def _referred(reference: str, root: Schema) -> Schema:
    found: Any = root
    if reference.partition("#")[0] or not reference.startswith("#"):
        raise UsageError(f"{reference} is in another document: put it under $defs")
    for part in reference.removeprefix("#").split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise UsageError(f"{reference} leads nowhere")
    return found
