"""Which of the objects in a channel hold something else than they did."""

import random
from collections import Counter, OrderedDict
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from perdure.adapters.langgraph.comparing import Known, same

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Thing:
    """An object of a class that nobody here knows."""

    def __init__(self) -> None:
        self.a, self.b = 1, [2]


class Slotted:
    __slots__ = ("a",)


class Named(Slotted):
    """Holds what is in its slots, and what is not."""

    def __init__(self) -> None:
        self.a, self.b = [1], 2


class Assigned(BaseModel, validate_assignment=True):
    """Gets another `__dict__` with each value."""

    n: int = 1


class Open(BaseModel, extra="allow"):
    n: int = 1


class Pairs(dict[str, int]):
    pass


class Odd:
    """What it is compared to is not told."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("odd")

    __hash__ = None  # type: ignore[assignment]


def answer() -> AIMessage:
    return AIMessage(
        [{"type": "text", "text": "x"}],
        id="a",
        additional_kwargs={"deep": [{"n": 1}]},
        tool_calls=[{"name": "f", "args": {"q": "x"}, "id": "c"}],
    )


def _renamed(holder: dict[str, Any], old: str, new: str) -> None:
    holder[new] = holder.pop(old)


EDITS: list[tuple[Any, Any]] = [
    (lambda: HumanMessage("x"), lambda it: setattr(it, "content", "y")),
    (lambda: HumanMessage("x"), lambda it: setattr(it, "id", "1")),
    (lambda: HumanMessage("x"), lambda it: it.__dict__.update(name="n")),
    (lambda: HumanMessage("x"), lambda it: it.additional_kwargs.update(n=1)),
    (lambda: HumanMessage("x", mine=[1]), lambda it: it.mine.append(2)),
    (lambda: HumanMessage("x"), lambda it: setattr(it, "mine", 1)),
    (Assigned, lambda it: setattr(it, "n", 2)),
    (Open, lambda it: setattr(it, "mine", 2)),
    (answer, lambda it: it.content[0].update(text="y")),
    (answer, lambda it: it.content.append("more")),
    (answer, lambda it: it.additional_kwargs["deep"][0].update(n=2)),
    (answer, lambda it: _renamed(it.additional_kwargs["deep"][0], "n", "m")),
    (answer, lambda it: it.tool_calls[0]["args"].clear()),
    (answer, lambda it: it.invalid_tool_calls.append({})),
    (answer, lambda it: it.tool_calls.clear()),
    (answer, lambda it: setattr(it, "usage_metadata", {"input_tokens": 1})),
    (lambda: ToolMessage("x", tool_call_id="c"), lambda it: setattr(it, "artifact", {"n": 1})),
    (lambda: {"a": 1}, lambda it: _renamed(it, "a", "b")),
    (lambda: [1, [2]], lambda it: it[1].append(3)),
    (lambda: {1}, lambda it: it.add(2)),
    (Thing, lambda it: it.b.append(3)),
    (Thing, lambda it: _renamed(it.__dict__, "b", "c")),
]


@pytest.mark.parametrize(("made", "edit"), EDITS, ids=map(str, range(len(EDITS))))
def test_an_edit_is_found_where_it_is_and_no_other(made: Any, edit: Any) -> None:
    items = [HumanMessage("first"), "atom", made(), None, answer(), made(), {}]
    known = Known(items)
    assert known.changed() == []
    edit(items[2])
    assert known.changed() == [2]
    known.again(2)
    assert known.changed() == []
    edit(items[5])
    assert known.changed() == [5]


def test_what_was_replaced_by_an_equal_value_is_looked_at_from_then_on() -> None:
    message = answer()
    known = Known([message])
    message.additional_kwargs = {"deep": [{"n": 1}]}
    assert known.changed() == []
    message.additional_kwargs["deep"][0]["n"] = 2
    assert known.changed() == [0]


def test_what_cannot_be_looked_into_or_compared_always_counts_as_changed() -> None:
    items = [HumanMessage("x"), Slotted(), HumanMessage("y", additional_kwargs={"odd": Odd()})]
    assert Known(items).changed() == [1, 2]
    items = [Named(), Thing(), Pairs(a=1), OrderedDict(a=1), Counter("a")]
    assert Known(items).changed() == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        (NOON, NOON.astimezone(timezone(timedelta(hours=1)))),
        (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None, fold=1)),
        (time(12), time(12, fold=1)),
        ({1}, {True}),
        ({1}, frozenset({1})),
        ((1,), (True,)),
    ],
)
def test_what_is_equal_and_reads_otherwise_is_not_the_same(one: Any, other: Any) -> None:
    assert one == other
    assert same(one, one) and same([one], [one]) and same({"a": other}, {"a": other})
    assert not same(one, other) and not same([other], [one]) and not same({"a": one}, {"a": other})


@pytest.mark.parametrize("seed", range(20))
def test_positions_stay_right_whatever_is_put_in_and_taken_out(seed: int) -> None:
    choose = random.Random(seed)
    known = Known()
    for _ in range(80):
        size = len(known.items)
        start = size if choose.random() < 0.4 else choose.randint(0, size)
        stop = min(size, start + choose.randint(0, 2))
        new = [choose.choice(EDITS)[0]() for _ in range(choose.randint(0, 3))]
        known.splice(start, stop, new)
        assert known.changed() == []
    edited = sorted(choose.sample(range(len(known.items)), 3))
    for at in edited:
        item = known.items[at]
        next(
            edit
            for made, edit in EDITS
            if type(made()) is type(item) and (not isinstance(item, dict) or "a" in item)
        )(item)
    assert known.changed() == edited
