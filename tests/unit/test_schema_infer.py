"""Inferring a schema from states."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.schema_validity import fits

from perdure import limits
from perdure.schemas.infer import infer

NAMES = st.sampled_from(["a", "b", "goal", "12", "x y", ""])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["open", "closed", "x" * 40]),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(st.integers() | st.text(), max_size=3),
        st.dictionaries(NAMES | st.text(), inner, max_size=9),
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=6))
def test_every_state_fits_what_was_inferred(states: list[dict[str, Any]]) -> None:
    schema = infer(states)
    assert all(fits(schema, state) for state in states)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=6))
def test_every_state_fits_under_narrow_limits(states: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "inferred_fields_max", 2)
        patch.setattr(limits, "inferred_places_max", 5)
        patch.setattr(limits, "inferred_keys_min", 2)
        patch.setattr(limits, "inferred_tuple_max", 1)
        patch.setattr(limits, "inferred_choices_max", 2)
        patch.setattr(limits, "inferred_choice_times_min", 1)
        patch.setattr(limits, "inferred_choice_states_min", 1)
        schema = infer(states)
    assert all(fits(schema, state) for state in states)


def test_fields_in_every_state_are_required_and_types_join() -> None:
    found = infer([{"a": 1, "b": ["x"], "perdure.x": 1}, {"a": None}])
    assert found["properties"] == {
        "a": {"type": ["integer", "null"]},
        "b": {"type": "array", "items": {"type": "string"}},
    }
    assert found["required"] == ["a"]


def test_fields_over_the_limit_are_described_together() -> None:
    found = infer([{"m": {f"k{n}": n for n in range(limits.inferred_fields_max + 1)}}])
    assert found["properties"]["m"]["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), {"type": "string", "format": "date-time"}),
        (date(2026, 1, 1), {"type": "string", "format": "date"}),
        (time(9), {"type": "string", "format": "time"}),
        (timedelta(1), {"type": "string", "format": "duration"}),
        (UUID(int=1), {"type": "string", "format": "uuid"}),
        (Decimal(1), {"type": "string", "format": "decimal"}),
        (b"x", {"type": "string", "contentEncoding": "base64"}),
        ({1, 2}, {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (
            (1, "x"),
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            {"kept": 1, "perdure.kept": 2},
            {"type": "object", "properties": {"kept": {"type": "integer"}}, "required": ["kept"]},
        ),
    ],
)
def test_values_have_the_forms_of_schema_classes(value: Any, schema: dict[str, Any]) -> None:
    assert infer([{"a": value}])["properties"]["a"] == schema


def test_tuples_of_several_lengths_have_items() -> None:
    found = infer([{"a": (1,)}, {"a": (1, "x")}])["properties"]["a"]
    assert found == {"type": "array", "items": {"type": ["integer", "string"]}}


def test_forms_that_are_no_bare_types_are_alternatives() -> None:
    found = infer([{"a": None}, {"a": date(2026, 1, 1)}])["properties"]["a"]
    assert found == {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}
    assert infer([{"a": 1}, {"a": 0.5}])["properties"]["a"] == {"type": "number"}


def test_texts_that_come_again_and_again_are_an_enum() -> None:
    times = limits.inferred_choice_times_min
    states = [{"a": word} for word in ("open", "closed") * times]
    assert infer(states)["properties"]["a"] == {"enum": ["closed", "open"]}
    assert infer(states[1:])["properties"]["a"] == {"type": "string"}


@pytest.mark.parametrize(
    "texts",
    [
        ("Ann", "Bo"),
        ("ann lee", "bo lee"),
        ("ann@example.org", "bo@example.org"),
        ("555-1234", "555-4321"),
        ("open", "Ann"),
        ("open", ""),
        ("a" * 33, "open"),
        tuple(f"word{at}" for at in range(limits.inferred_choices_max + 1)),
    ],
    ids=str,
)
def test_what_users_write_is_no_enum_however_often_it_comes(texts: tuple[str, ...]) -> None:
    states = [{"a": text} for text in texts * 50]
    assert infer(states)["properties"]["a"] == {"type": "string"}


def test_what_few_states_hold_is_no_enum_however_often_they_do() -> None:
    many = limits.inferred_choice_times_min * 5
    often = [{"a": {"b": ["ann", "bo"] * many}}] * 2
    schema = infer(often)["properties"]["a"]["properties"]["b"]
    assert schema == {"type": "array", "items": {"type": "string"}}
    schema = infer([*often, often[0]])["properties"]["a"]["properties"]["b"]
    assert schema == {"type": "array", "items": {"enum": ["ann", "bo"]}}


def test_one_text_that_is_rare_makes_no_enum_of_the_others() -> None:
    states = [{"a": word} for word in ["open", "closed"] * 50 + ["anna"]]
    assert infer(states)["properties"]["a"] == {"type": "string"}


def test_texts_of_several_places_that_are_told_together_may_be_an_enum() -> None:
    times = limits.inferred_choice_times_min
    states = [{"a": {f"k {n}": "open", f"l {n}": "closed"}} for n in range(times)]
    together = infer(states * 3)["properties"]["a"]["additionalProperties"]
    assert together == {"enum": ["closed", "open"]}
    assert infer(states)["properties"]["a"]["additionalProperties"] == {"type": "string"}


def test_names_of_the_library_are_left_out_of_mappings_whose_keys_are_data() -> None:
    states = [{"a": {"2026-01": 1, "perdure.kept": "x"}}]
    schema = infer(states)
    assert schema["properties"]["a"]["additionalProperties"] == {"type": "integer"}
    assert fits(schema, states[0])
    assert not fits(schema, {"a": {"2026-01": "x"}})


def test_mappings_whose_keys_are_data_are_told_by_their_values() -> None:
    found = infer([{"a": {"2026-01": 1, "2026-02": None}}])["properties"]["a"]
    assert found == {"type": "object", "additionalProperties": {"type": ["integer", "null"]}}
    names = [f"k{n}" for n in range(limits.inferred_keys_min)]
    found = infer({"a": {name: 1}} for name in names)["properties"]["a"]
    assert found == {"type": "object", "additionalProperties": {"type": "integer"}}
