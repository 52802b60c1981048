"""Comparing two JSON Schemas."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.errors import UsageError
from perdure.schemas.compare import SchemaDifference, compare
from perdure.schemas.draft import draft
from perdure.schemas.infer import infer
from perdure.schemas.json_schema import json_schema_of


def record(required: list[str], **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": required}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


@dataclass
class Node:
    at: datetime | None
    name: str = ""
    below: list[Node] = field(default_factory=list)


def test_alike_schemas_have_no_differences() -> None:
    assert compare(record(["a"], a=TEXT), record(["a"], a=TEXT)) == []


def test_fields_added_removed_and_changed_are_listed_by_path() -> None:
    old = record(["a", "c"], a=TEXT, b=TEXT, c={"type": "array", "items": TEXT})
    new = record(["a", "b", "e"], a=WHOLE, b=TEXT, d=TEXT, e=TEXT)
    assert compare(old, new) == [
        SchemaDifference(("a",), "type changed", "string", "integer"),
        SchemaDifference(("b",), "required changed", False, True),
        SchemaDifference(("c",), "removed", {"type": "array", "items": TEXT}, None),
        SchemaDifference(("d",), "added", None, TEXT, needs_version=False),
        SchemaDifference(("e",), "added", None, TEXT),
    ]


def test_field_added_with_a_default_needs_no_version() -> None:
    found = compare(record([]), record(["a"], a={**WHOLE, "default": 1}))
    assert [each.needs_version for each in found] == [False]


def test_items_and_values_are_compared_too() -> None:
    old = {"type": "array", "items": {"type": "object", "additionalProperties": {"enum": ["x"]}}}
    new = {"type": "array", "items": {"type": "object", "additionalProperties": {"enum": ["y"]}}}
    assert compare(old, new) == [SchemaDifference(("[]", "{}"), "values changed", ["x"], ["y"])]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"anyOf": [TEXT, {"type": "null"}]}, {"type": ["null", "string"]}),
        ({"oneOf": [TEXT, WHOLE]}, {"anyOf": [WHOLE, TEXT]}),
        ({"const": "x"}, {"enum": ["x"]}),
        ({"enum": ["x", None]}, {"anyOf": [{"type": "null"}, {"const": "x"}]}),
        ({"enum": ["x", "y"]}, {"enum": ["y", "x"]}),
        ({**TEXT, "title": "Name"}, {**TEXT, "default": ""}),
        ({}, {"title": "Anything"}),
    ],
)
def test_what_is_written_in_two_ways_is_alike(old: Any, new: Any) -> None:
    assert compare(record([], a=old), record([], a=new)) == []


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (TEXT, {**TEXT, "format": "date"}, "string", "date"),
        (TEXT, {**TEXT, "contentEncoding": "base64"}, "string", "bytes"),
        (TEXT, {"type": ["string", "null"]}, "string", "null or string"),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, "array", "set"),
        (
            {"type": "array", "prefixItems": [TEXT]},
            {"type": "array", "items": TEXT},
            "tuple",
            "array",
        ),
    ],
)
def test_other_forms_are_other_types(old: Any, new: Any, before: str, after: str) -> None:
    (found,) = compare(old, new)
    assert found == SchemaDifference((), "type changed", before, after)


def test_references_are_followed_and_may_come_back() -> None:
    old = json_schema_of(Node)
    assert compare(old, old) == []
    new = json_schema_of(Node)
    new["$defs"]["Node"] = record(
        ["at"], at=WHOLE, below=new["$defs"]["Node"]["properties"]["below"]
    )
    assert [each.path for each in compare(old, new)] == [
        ("below", "[]", "at"),
        ("below", "[]", "name"),
    ]


def test_places_of_tuples_are_compared() -> None:
    old = {"type": "array", "prefixItems": [TEXT, TEXT]}
    new = {"type": "array", "prefixItems": [WHOLE]}
    assert [(each.path, each.kind) for each in compare(old, new)] == [
        (("0",), "type changed"),
        (("1",), "removed"),
    ]


def test_inferred_schema_is_like_that_of_the_class() -> None:
    states: list[dict[str, Any]] = [
        {"at": datetime(2026, 1, 1, tzinfo=UTC), "name": "a", "below": []},
        {"at": None},
    ]
    found = compare(infer(states), json_schema_of(Node))
    assert [each.path for each in found] == [("below", "[]")]


@pytest.mark.parametrize("reference", ["#/$defs/None", "other.json", "#/$defs/Loop"])
def test_references_that_lead_nowhere_are_refused(reference: str) -> None:
    schema = {"$ref": reference, "$defs": {"Loop": {"$ref": "#/$defs/Loop"}}}
    with pytest.raises(UsageError):
        compare(schema, schema)


@pytest.mark.parametrize(
    "schema", [{"properties": []}, {"properties": {"a": 1}}, {"type": 1}, {"type": ["string", 1]}]
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no JSON Schema"):
        compare(schema, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": 5},
        {"oneOf": {"type": "string"}},
        {"enum": 5},
        {"required": 5, "properties": {"a": {}}},
        {"$ref": 5},
        {"type": "string", "format": 5},
        {"properties": {"a": {"type": "string", "format": ["x"]}}},
        {"properties": {"a": {"type": "array", "prefixItems": 5}}},
    ],
)
def test_keywords_that_hold_something_else_are_refused(schema: dict[str, Any]) -> None:
    other = infer([{"a": ("x",)}])
    for pair in ((schema, other), (other, schema)):
        for what in (compare, lambda old, new: draft(old, new, "Research", 1, 2)):
            with pytest.raises(UsageError, match="no JSON Schema that can be compared"):
                what(*pair)
