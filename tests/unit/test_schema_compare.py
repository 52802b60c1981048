"""Comparing two JSON Schemas."""

from __future__ import annotations

from typing import Any

from perdure.schemas.compare import Difference, compare


def record(required: list[str], **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": required}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def test_alike_schemas_have_no_differences() -> None:
    assert compare(record(["a"], a=TEXT), record(["a"], a=TEXT)) == []


def test_fields_added_removed_and_changed_are_listed_by_path() -> None:
    old = record(["a", "c"], a=TEXT, b=TEXT, c={"type": "array", "items": TEXT})
    new = record(["a", "b"], a=WHOLE, b=TEXT, d=TEXT)
    assert compare(old, new) == [
        Difference(("a",), "type changed", "string", "integer"),
        Difference(("b",), "required changed", False, True),
        Difference(("c",), "removed", {"type": "array", "items": TEXT}, None),
        Difference(("d",), "added", None, TEXT),
    ]


def test_items_and_values_are_compared_too() -> None:
    old = {"type": "array", "items": {"type": "object", "additionalProperties": {"enum": ["x"]}}}
    new = {"type": "array", "items": {"type": "object", "additionalProperties": {"enum": ["y"]}}}
    assert compare(old, new) == [Difference(("[]", "{}"), "values changed", ["x"], ["y"])]
