"""Edits of typed states: what they write, and what is refused where."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.research import Colour, Research, Span, Step, opened, research

from perdure.core.changes import Set, Splice
from perdure.errors import BadStored, WrongType
from perdure.state import Document

EDITS: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (lambda s: setattr(s, "topic", "cha"), [Set(("topic",), "cha")]),
    (lambda s: s.plan.steps[0].finish(), [Set(("plan", "steps", 0, "done"), True)]),
    (lambda s: s.plan.tags.append("b"), [Splice(("plan", "tags"), 1, 0, ["b"])]),
    (
        lambda s: setattr(s.plan.steps[0], "colour", Colour.BLUE),
        [Set(("plan", "steps", 0, "colour"), "blue")],
    ),
    (lambda s: setattr(s.plan, "span", Span(2)), [Set(("plan", "span"), (2, "red"))]),
    (
        lambda s: s.plan.steps[0].steps.append(Step("in")),
        [
            Set(
                ("plan", "steps", 0, "steps"),
                [{"title": "in", "done": False, "colour": "red", "steps": []}],
            )
        ],
    ),
    (lambda s: s["plan"]["steps"].pop(), [Splice(("plan", "steps"), 0, 1, [])]),
    (lambda s: s.plan.by.update(k={"title": "t"}), [Set(("plan", "by", "k"), {"title": "t"})]),
]


@pytest.mark.parametrize(("edit", "changes"), EDITS, ids=map(str, range(len(EDITS))))
def test_an_edit_writes_only_what_changed(edit: Callable[[Any], Any], changes: list[Any]) -> None:
    document, state = research()
    edit(state)
    assert document.capture() == changes


@pytest.mark.parametrize(("edit", "changes"), EDITS, ids=map(str, range(len(EDITS))))
def test_an_edit_is_undone_with_its_block(edit: Callable[[Any], Any], changes: list[Any]) -> None:
    document, state = research()
    before = document.plain()
    with pytest.raises(KeyError), document.block():
        edit(state)
        raise KeyError
    assert document.plain() == before
    assert document.capture() == []


REFUSED: list[tuple[Callable[[Any], Any], tuple[str | int, ...], str]] = [
    (lambda s: setattr(s, "topic", 1), ("topic",), "expected str, got int (1)"),
    (
        lambda s: setattr(s.plan.steps[0], "done", "yes"),
        ("plan", "steps", 0, "done"),
        "plan/steps/0/done: expected bool, got str ('yes')",
    ),
    (lambda s: s.plan.tags.append(1), ("plan", "tags", 1), "expected str"),
    (lambda s: s.plan.tags.extend(["x", 1]), ("plan", "tags", 2), "expected str"),
    (lambda s: s.plan.tags.insert(0, None), ("plan", "tags", 0), "expected str, got None"),
    (lambda s: s.plan.tags.__setitem__(slice(0, 1), [2]), ("plan", "tags", 0), "expected str"),
    (lambda s: s.plan.steps.append({}), ("plan", "steps", 1, "title"), "got nothing"),
    (lambda s: s.plan.by.setdefault("k", 3), ("plan", "by", "k"), "expected Step, got int"),
    (lambda s: s.plan.by.update(a=Step("a"), k=3), ("plan", "by", "k"), "expected Step"),
    (lambda s: delattr(s, "topic"), ("topic",), "cannot be deleted"),
    (lambda s: delattr(s.plan.steps[0], "title"), ("plan", "steps", 0, "title"), "Step needs"),
    (lambda s: setattr(s.plan, "span", (1, "green")), ("plan", "span"), "'green'"),
    (lambda s: setattr(s, "plan", [1]), ("plan",), "expected Plan, got list"),
]


@pytest.mark.parametrize(("edit", "path", "said"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_a_bad_value_is_refused_with_its_path_and_nothing_changes(
    edit: Callable[[Any], Any], path: Any, said: str
) -> None:
    document, state = research()
    before = document.plain()
    with pytest.raises(WrongType) as refused:
        edit(state)
    assert refused.value.path == path
    assert said in str(refused.value)
    assert document.plain() == before
    assert document.capture() == []


def test_raw_edits_pass_the_door_too() -> None:
    document, _ = research()
    with pytest.raises(WrongType):
        document.state["plan"]["steps"][0]["done"] = 1
    with pytest.raises(WrongType):
        document.state["plan"]["steps"][0].clear()
    document.state["plan"]["newer"]["k"] = "anything"
    with pytest.raises(WrongType):
        document.state.clear()
    assert "unknown" in document.state


def test_unknown_fields_survive_at_every_depth() -> None:
    document, state = research()
    state.plan.steps[0].finish()
    state.plan.steps.insert(0, Step("first"))
    assert document.plain()["plan"]["newer"] == {"k": 1}
    assert document.plain()["plan"]["steps"][1]["new"] == 1
    assert state["unknown"] == [1]


class Locked(Exception):
    pass


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["plan"]["tags"].append("x"),
        lambda s: s["plan"].update(a=1),
        lambda s: s.__setitem__("plan", {}),
        lambda s: s.pop("plan"),
        lambda s: s.__delitem__("plan"),
        lambda s: s.update(topic="x", plan={}),
        lambda s: s.clear(),
    ],
    ids=["append", "update within", "assign", "pop", "delete", "update", "clear"],
)
def test_a_locked_section_is_not_edited(edit: Callable[[Any], Any]) -> None:
    document = Document({"topic": "a", "plan": {"tags": []}})
    document._tracker.locked = {"plan": Locked}
    document._tracker.guard()
    with pytest.raises(Locked):
        edit(document.state)
    assert document.capture() == []
    document.state["topic"] = "b"
    document.apply([Set(("plan", "tags"), ["theirs"])])
    assert document.plain() == {"topic": "b", "plan": {"tags": ["theirs"]}}


def test_what_others_saved_comes_in_unchecked() -> None:
    document, state = research()
    document.apply([Set(("plan", "steps", 0, "done"), "theirs")])
    with pytest.raises(BadStored):
        _ = state.plan.steps[0].done


def test_a_default_that_an_undone_block_edited_can_still_be_edited() -> None:
    document, state = opened(Research, topic="tea")
    tags = state.plan.tags
    with pytest.raises(KeyError), document.block():
        tags.append("a")
        raise KeyError
    assert document.capture() == [] and state.plan.tags == []
    tags.append("b")
    assert document.plain()["plan"]["tags"] == ["b"] and state.plan.tags is tags


def test_an_item_that_was_taken_out_is_still_checked() -> None:
    _, state = research()
    step = state.plan.steps.pop()
    with pytest.raises(WrongType):
        step.title = 1
    step.title = "free"
    state.plan.steps.append(step)
    assert state.plan.steps[0] is step
