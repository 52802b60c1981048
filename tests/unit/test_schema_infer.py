"""Inferring a schema from states."""

from __future__ import annotations

from perdure import limits
from perdure.schemas.infer import infer


def test_fields_in_every_state_are_required_and_types_join() -> None:
    found = infer([{"a": 1, "b": ["x"], "perdure.x": 1}, {"a": None}])
    assert found["properties"] == {
        "a": {"type": ["integer", "null"]},
        "b": {"type": "array", "items": {"type": "string"}},
    }
    assert found["required"] == ["a"]


def test_fields_over_the_limit_are_described_together() -> None:
    found = infer([{"m": {f"k{n}": n for n in range(limits.INFERRED_FIELDS + 1)}}])
    assert found["properties"]["m"]["additionalProperties"] == {"type": "integer"}
