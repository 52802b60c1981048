"""A JSON Patch of the differences makes the later state's JSON of the earlier one's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.property.plain_patch import patched

from perdure.core.changes import apply
from perdure.core.diff import diff
from perdure.core.json_forms import encode
from perdure.core.json_patch import json_patch
from perdure.core.values import take
from perdure.testing.strategies import changes_for
from perdure.testing.strategies import sections as states


def written(document: Any) -> str:
    """A document as text that is equal exactly if it says the same in JSON."""
    return json.dumps(document, sort_keys=True)


def assert_patched(before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = json_patch(diff(before, after))
    assert written(patched(in_json(before), patch)) == written(in_json(after))


def in_json(document: dict[str, Any]) -> Any:
    """A document as who reads its JSON has it: two surrogates become the character they make."""
    return json.loads(json.dumps(encode(document)))


def each_dict(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from each_dict(item)
    elif isinstance(value, list):
        for item in value:
            yield from each_dict(item)


def has_odd_map(*values: Any) -> bool:
    """Whether one of the maps is written as `$map`, which a patch goes through as an object."""
    return any(
        len(each) == 1 and next(iter(each)).startswith("$")
        for value in values
        for each in each_dict(value)
    )


@given(states(), states())
@example({"a/b": {"~x": 1}, "": [1]}, {"a/b": {"~x": 2, "~1": 3}, "": [1, 2]})
@example({"l": [1, 2, 3, 2, 1]}, {"l": [2, 1, 3, 1, 2]})
def test_of_any_two_states(before: dict[str, Any], after: dict[str, Any]) -> None:
    assume(not has_odd_map(before, after))
    assert_patched(before, after)


@given(states(), st.data())
def test_of_a_state_and_what_edits_made_of_it(before: dict[str, Any], data: st.DataObject) -> None:
    after = take(before)
    for _ in range(data.draw(st.integers(1, 4))):
        apply(after, deepcopy(data.draw(changes_for(after))))
    assume(not has_odd_map(before, after))
    assert_patched(before, after)
    assert_patched(after, before)


ids = st.integers(0, 12) | st.sampled_from("abc")
inner = st.lists(st.builds(lambda id_, n: {"id": id_, "n": n}, ids, st.integers(0, 2)), max_size=4)
items = st.one_of(
    st.builds(lambda id_, n: {"id": id_, "n": n}, ids, st.integers(0, 2)),
    st.builds(lambda id_, of: {"id": id_, "of": of}, ids, inner),
    st.integers(0, 3),
)


@given(st.lists(items, max_size=12), st.lists(items, max_size=12))
@example([{"id": n} for n in "abcd"], [{"id": n} for n in "dbca"])
@example([{"id": "a"}, 1, {"id": "b"}], [{"id": "b"}, 2, {"id": "a"}])
def test_of_lists_whose_items_have_ids(before: list[Any], after: list[Any]) -> None:
    assert_patched({"l": before}, {"l": after})


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 24)))
def test_of_a_list_whose_items_move_come_and_go(
    order: list[int], gone: set[int], new: set[int]
) -> None:
    before = [{"id": n, "n": n} for n in range(12)]
    after: list[dict[str, object]] = [{"id": n, "n": n} for n in order if n not in gone]
    for n in sorted(new):
        after.insert(min(n, len(after)), {"id": f"new {n}", "n": n})
    assert_patched({"l": before}, {"l": after})
    assert_patched({"l": after}, {"l": before})


def test_an_item_that_moved_is_one_operation() -> None:
    before: dict[str, Any] = {"l": [{"id": n} for n in "abcd"]}
    for to, at in ((0, 3), (3, 0), (1, 2)):
        after = take(before)
        after["l"].insert(to, after["l"].pop(at))
        (operation,) = json_patch(diff(before, after))
        assert operation["op"] == "move"
        assert_patched(before, after)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": b"ok"}, [{"op": "replace", "path": "/a", "value": {"$bytes": "b2s="}}]),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, []),
        ({"a/~": 1}, {}, [{"op": "remove", "path": "/a~1~0"}]),
        (
            {"m": {"$x": 1}},
            {"m": {"$x": 2}},
            [{"op": "replace", "path": "/m/$x", "value": 2}],
        ),
    ],
)
def test_what_it_says(
    before: dict[str, Any], after: dict[str, Any], patch: list[dict[str, Any]]
) -> None:
    assert json_patch(diff(before, after)) == patch
