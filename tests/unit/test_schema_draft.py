"""Drafting migrations: the source runs, and makes documents of the new schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal

import pytest
from tests.unit.schema_validity import fits

import perdure
from perdure.core.lens import Lens
from perdure.core.lens_run import forward, get
from perdure.errors import UsageError
from perdure.schemas.declare import declared_of
from perdure.schemas.draft import draft
from perdure.schemas.infer import infer
from perdure.schemas.json_schema import json_schema_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class OldMessage:
    role: str
    text: str
    state: Literal["open", "closed"] = "open"


@dataclass
class OldPlan:
    goal: str
    budget: int = 0


@dataclass
class Old:
    topic_name: str
    notes: str
    author: str
    links: list[str]
    due: str | None
    size: str
    plan: OldPlan | None
    shape: list[int]
    status: Literal["open", "closed", "stuck"] = "open"
    messages: list[OldMessage] = field(default_factory=list)
    tasks: dict[str, OldPlan] = field(default_factory=dict)


@dataclass
class NewMessage:
    role: str
    texts: list[str]
    tokens: int
    state: Literal["OPEN", "CLOSED"] = "OPEN"


@dataclass
class NewPlan:
    goals: str
    colour: Colour
    budget: float = 0.0


@dataclass
class New:
    topic: str
    author: list[str]
    links: str | None
    due: datetime | None
    size: int
    started: datetime
    plan: NewPlan | None
    shape: dict[str, int]
    status: Literal["open", "done"] = "open"
    messages: list[NewMessage] = field(default_factory=list)
    tasks: dict[str, NewPlan] = field(default_factory=dict)
    limit: int = 5
    note: str | None = None


FULL: dict[str, Any] = {
    "topic_name": "owls",
    "notes": "n",
    "author": "ann",
    "links": ["a", "b"],
    "due": "2026-01-01T09:00:00+00:00",
    "size": "7",
    "plan": {"goal": "g", "budget": 3},
    "shape": [1, 2],
    "status": "closed",
    "messages": [{"role": "user", "text": "hi", "state": "closed"}, {"role": "x", "text": ""}],
    "tasks": {"t": {"goal": "g"}},
}
EMPTY: dict[str, Any] = {
    "topic_name": "",
    "notes": "",
    "author": "",
    "links": [],
    "due": None,
    "size": "0",
    "plan": {"goal": ""},
    "shape": [],
    "status": "open",
}


def lenses_of(source: str) -> tuple[Lens, ...]:
    """Those that a draft declares, when it is run."""

    class Research:
        pass

    perdure.schema("Research", version=2)(Research)
    exec(source, {"Research": Research})
    lenses = declared_of(Research).migrations[1, 2].lenses
    assert lenses is not None
    return lenses


def drafted(old: dict[str, Any], new: dict[str, Any]) -> tuple[Lens, ...]:
    return lenses_of(draft(old, new, "Research", 1, 2))


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


@pytest.mark.parametrize("document", [FULL, EMPTY])
def test_drafted_migration_makes_documents_of_the_new_schema(document: dict[str, Any]) -> None:
    old, new = json_schema_of(Old), json_schema_of(New)
    assert fits(old, document)
    lenses = drafted(old, new)
    migrated = dict(document)
    forward(migrated, lenses)
    assert fits(new, migrated), migrated
    assert get(migrated, lenses) == document


def test_guesses_are_those_of_the_names_and_types() -> None:
    migrated = dict(FULL)
    forward(migrated, drafted(json_schema_of(Old), json_schema_of(New)))
    assert (migrated["topic"], migrated["author"], migrated["links"]) == ("owls", ["ann"], "a")
    assert (migrated["due"], migrated["size"]) == (datetime(2026, 1, 1, 9, tzinfo=UTC), 7)
    assert migrated["plan"] == {"goals": "g", "budget": 3, "colour": "red"}
    assert migrated["tasks"] == {"t": {"goals": "g", "colour": "red"}}
    assert migrated["messages"][0] == {
        "role": "user",
        "texts": ["hi"],
        "state": "CLOSED",
        "tokens": 0,
    }
    assert migrated["limit"] == 5


def test_each_lens_has_a_comment_before_it() -> None:
    lines = draft(json_schema_of(Old), json_schema_of(New), "Research", 1, 2).splitlines()
    calls = (
        "rename(",
        "add(",
        "remove(",
        "convert(",
        "wrap(",
        "unwrap(",
        "in_items(",
        "map_values(",
    )
    at = [n for n, line in enumerate(lines) if line.strip().startswith(calls)]
    assert len(at) > 10
    assert all(lines[n - 1].strip().startswith("# ") for n in at)


def test_migration_between_inferred_schemas_runs() -> None:
    before = [{"name": "a", "when": "2026-01-01T00:00:00+00:00", "rows": {"1-a": {"n": 1}}}]
    after = [{"name": "a", "when": datetime(2026, 1, 1, tzinfo=UTC), "rows": {"1-a": {"n": "1"}}}]
    new = infer(after)
    (document,) = before
    forward(document, drafted(infer(before), new))
    assert fits(new, document)


def test_field_that_is_like_no_other_is_removed_and_added() -> None:
    document: dict[str, Any] = {"abc": [1]}
    new = record(xyz={"type": "integer"}, abc={"type": "object"})
    forward(document, drafted(record(abc={"type": "array"}), new))
    assert document["xyz"] == 0
    assert fits(new, document)


def test_field_without_a_name_is_left_to_a_function() -> None:
    one, other = infer([{"abc": 1}]), infer([{"": [1], "abc": 1}])
    for pair in ((one, other), (other, one)):
        assert "whose name is empty" in draft(*pair, "Research", 1, 2)
        assert drafted(*pair) == ()


TEXT: dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (
            {"type": "array", "prefixItems": [TEXT], "minItems": 1, "maxItems": 1},
            {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1, "maxItems": 1},
            ("x",),
            (0,),
        ),
        (TEXT, {"enum": ["x", "y"]}, "x", "x"),
        ({"enum": [["x"]]}, {"enum": [["y"]]}, ["x"], ["y"]),
        ({"enum": ["x"]}, TEXT, "x", "x"),
        (TEXT, True, "x", "x"),
        ({"type": ["string", "integer"]}, {"type": ["integer", "null"]}, "x", None),
        ({"type": "array", "items": TEXT}, {"type": "array", "items": {}}, ["x"], ["x"]),
    ],
)
def test_value_of_a_field_becomes_one_of_the_new_schema(
    old: Any, new: Any, before: Any, after: Any
) -> None:
    document = {"a": before}
    forward(document, drafted(record(a=old), record(a=new)))
    assert document["a"] == after


def test_names_cannot_break_out_of_the_source() -> None:
    name = 'x\nraise SystemExit("no")  # "'
    source = draft(record(a={"type": "string"}), record(**{name: {"type": "string"}}), "R", 1, 2)
    assert "\nraise" not in source
    with pytest.raises(UsageError):
        draft(record(), record(), "R; import os", 1, 2)


def test_alike_schemas_need_no_lens() -> None:
    schema = json_schema_of(Old)
    assert drafted(schema, schema) == ()


def test_schema_that_always_holds_itself_has_no_value() -> None:
    loop = {"Loop": record(again={"$ref": "#/$defs/Loop"})}
    with pytest.raises(UsageError, match="holds itself"):
        draft(record(), {**record(a={"$ref": "#/$defs/Loop"}), "$defs": loop}, "R", 1, 2)


# ---- texts that become models ---------------------------------------------------------------


@dataclass
class Tag:
    name: str
    weight: int = 0


@dataclass
class Pinned:
    name: str
    at: int


@dataclass
class Pair:
    first: str
    second: str


def of(**fields: Any) -> dict[str, Any]:
    made: Any = type("Case", (), {"__annotations__": fields})
    return json_schema_of(dataclass(made))


@pytest.mark.parametrize(
    ("old", "new", "value", "made"),
    [
        (str, Tag, "owls", {"name": "owls"}),
        (str, Pinned, "owls", {"name": "owls", "at": 0}),
        (str, list[Tag], "owls", [{"name": "owls"}]),
        (Tag, list[Tag], {"name": "owls"}, [{"name": "owls"}]),
        (str, Tag | None, "owls", {"name": "owls"}),
    ],
)
def test_a_value_that_became_a_model_is_carried_over(
    old: Any, new: Any, value: Any, made: Any
) -> None:
    lenses = drafted(of(tag=old), of(tag=new))
    sections = {"tag": value}
    forward(sections, lenses)
    assert sections["tag"] == made
    assert get(sections, lenses) == {"tag": value}
    nothing: dict[str, Any] = {}
    forward(nothing, lenses)
    assert nothing == {}


@pytest.mark.parametrize(
    ("old", "new"), [(str, Pair), (str | None, Tag), (int, Pair), (dict[str, int], Tag)]
)
def test_what_it_became_is_not_guessed_where_that_is_not_clear(old: Any, new: Any) -> None:
    source = draft(of(tag=old), of(tag=new), "Case", 1, 2)
    assert "remove('tag'" in source
    assert "move(" not in source.replace("remove(", "")


def test_a_list_of_texts_that_became_models_says_what_a_function_would_make() -> None:
    source = draft(of(tags=list[str]), of(tags=list[Pinned]), "Case", 1, 2)
    assert "write a function that makes {'name': each, 'at': 0} of each" in source
    source = draft(of(tags=dict[str, str]), of(tags=dict[str, Tag]), "Case", 1, 2)
    assert "write a function that makes {'name': each} of each" in source
    source = draft(of(tags=list[str]), of(tags=list[Pair]), "Case", 1, 2)
    assert "write a function\n" in source


# ---- what only a comment says ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "lens"),
    [
        (of(plan=OldPlan), of(plan=Tag, goal=str), "move('plan/goal', 'goal')"),
        (of(name=str), of(first=str, last=str | None), "split('name', into=['first', 'last'])"),
        (of(first=str, last=str), of(name=str), "merge(['first', 'last'], into='name')"),
    ],
)
def test_what_looks_moved_split_or_merged_is_said(old: Any, new: Any, lens: str) -> None:
    (said,) = [line for line in draft(old, new, "Case", 1, 2).splitlines() if lens in line]
    assert said.lstrip().startswith("# ")
    assert "came: if it was " in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (of(name=str), of(first=str, count=int)),
        (of(plan=OldPlan), of(plan=Tag, goal=int)),
        (of(name=str), of(title=str)),
        (of(name=str), of(**dict.fromkeys("abcde", str))),
        (of(items=list[OldPlan]), of(items=list[Tag], goal=str)),
    ],
)
def test_what_does_not_look_so_is_not_said(old: Any, new: Any) -> None:
    assert "came: if it was " not in draft(old, new, "Case", 1, 2)
