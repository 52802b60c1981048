"""For random schemas: a draft runs, and makes documents of the newer one from older ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.schema_validity import fits
from tests.unit.test_schema_draft import drafted

from perdure.core.lens_run import forward, get
from perdure.core.values import same, take
from perdure.errors import MigrationFailed
from perdure.schemas.compare import compare
from perdure.schemas.infer import infer

NAMES = ("name", "names", "title", "titles", "state", "x/y")
WORDS = ("1", "open", "opened", "closed")
LEAVES: tuple[tuple[dict[str, Any], st.SearchStrategy[Any]], ...] = (
    ({"type": "string"}, st.sampled_from(WORDS)),
    ({"type": "integer"}, st.integers(0, 2)),
    ({"type": "number"}, st.sampled_from([0.0, 1.5])),
    ({"type": "boolean"}, st.booleans()),
    ({"type": "string", "contentEncoding": "base64"}, st.binary(max_size=2)),
    ({"type": "string", "format": "date-time"}, st.just(datetime(2026, 1, 1, tzinfo=UTC))),
    ({"type": "string", "format": "decimal"}, st.decimals(0, 9, places=1)),
    ({"enum": ["open", "closed"]}, st.sampled_from(["open", "closed"])),
    ({"enum": ["opened", "1", "new"]}, st.sampled_from(["opened", "1", "new"])),
    ({}, st.integers() | st.none()),
)


def record(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def tuples(places: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "array",
        "prefixItems": places,
        "minItems": len(places),
        "maxItems": len(places),
    }


SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.sampled_from([schema for schema, _ in LEAVES]),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=4).map(record),
        inner.map(lambda item: {"type": "array", "items": item}),
        inner.map(lambda item: {"type": "object", "additionalProperties": item}),
        st.lists(inner, min_size=1, max_size=2).map(tuples),
    ),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.sampled_from(NAMES), SCHEMAS, max_size=4).map(record)


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What fits a schema of those above; lists hold something, as their first item may be taken."""
    for known, values in LEAVES:
        if schema == known:
            return values
    if "properties" in schema:
        fields = schema["properties"]
        return st.fixed_dictionaries({name: documents(each) for name, each in fields.items()})
    if "prefixItems" in schema:
        return st.tuples(*map(documents, schema["prefixItems"]))
    if "items" in schema:
        return st.lists(documents(schema["items"]), min_size=1, max_size=2)
    return st.dictionaries(
        st.sampled_from(WORDS), documents(schema["additionalProperties"]), max_size=2
    )


@given(RECORDS, RECORDS, st.data())
def test_what_was_drafted_makes_documents_of_the_new_schema(
    old: dict[str, Any], new: dict[str, Any], data: st.DataObject
) -> None:
    document = take(data.draw(documents(old)))
    lenses = drafted(old, new)
    migrated = dict(document)
    try:
        forward(migrated, lenses)
    except MigrationFailed:
        assume(False)  # "open" is no number: a dry run says so
    assert fits(new, migrated), (lenses, migrated)
    if not any("lossy=True" in repr(lens) for lens in lenses):
        assert get(migrated, lenses) == document


@given(RECORDS, st.data())
def test_schema_is_like_itself(schema: dict[str, Any], data: st.DataObject) -> None:
    assert compare(schema, schema) == []
    document = take(data.draw(documents(schema)))
    migrated = dict(document)
    forward(migrated, drafted(schema, schema))
    assert same(migrated, document)
    inferred = infer([document])
    assert compare(inferred, infer([document, document])) == []
