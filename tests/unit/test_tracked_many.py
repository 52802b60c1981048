"""Many items at once: what is wrapped together is tracked as what is wrapped one by one."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.core.changes import Set, Splice
from perdure.errors import UntrackedEdit
from perdure.state.document import Document
from perdure.state.mapping import TrackedDict
from perdure.state.sequence import MANY, TrackedList

COUNT = 4 * MANY


def flat() -> list[Any]:
    return [{"role": "user", "turn": turn} for turn in range(COUNT)]


def nested() -> list[Any]:
    return [{"parts": [{"text": str(turn)}], "span": (turn, [turn])} for turn in range(COUNT)]


@pytest.mark.parametrize("make", [flat, nested])
def test_every_item_is_tracked_and_equal(make: Any) -> None:
    messages = Document({"messages": make()}).state["messages"]

    assert messages == make()
    assert {type(message) for message in messages} == {TrackedDict}
    assert messages.plain() == make()


def test_an_edit_of_each_item_is_found_in_its_place() -> None:
    messages = (document := Document({"messages": flat()})).state["messages"]
    for message in messages:
        message["turn"] += 1000

    assert document.capture() == [Set(("messages", at, "turn"), at + 1000) for at in range(COUNT)]


def test_containers_within_the_items_are_tracked() -> None:
    document = Document({"messages": nested()})
    messages = document.state["messages"]
    messages[3]["parts"].append("more")
    messages[5]["parts"][0]["text"] = "new"
    messages[7]["span"][1].append(8)

    assert document.capture() == [
        Splice(("messages", 3, "parts"), 1, 0, ["more"]),
        Set(("messages", 5, "parts", 0, "text"), "new"),
        Set(("messages", 7, "span"), (7, [7, 8])),
    ]


def test_what_is_inserted_together_is_detached_from_what_it_was() -> None:
    document = Document({"messages": []})
    mine = flat()
    document.state["messages"].extend(mine)
    mine[0]["turn"] = "changed"

    assert document.state["messages"][0]["turn"] == 0


@pytest.mark.parametrize("at", [0, COUNT - 1])
def test_the_check_at_the_end_reaches_lists_within_many_items(at: int) -> None:
    document = Document({"messages": nested()})
    list.append(document.state["messages"][at]["parts"], "behind its back")

    with pytest.raises(UntrackedEdit, match=f"messages/{at}/parts"):
        document.check_lists()


def test_the_check_reaches_a_list_that_came_from_another_document() -> None:
    document, other = Document({"plan": {}, "last": []}), Document({"loose": {"steps": [1]}})
    moved = other.state.pop("loose")
    document.state["plan"]["moved"] = moved
    assert document.state["plan"]["moved"] is moved
    list.append(moved["steps"], 2)

    with pytest.raises(UntrackedEdit, match="steps"):
        document.check_lists()


def test_the_check_goes_no_deeper_than_there_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document({"messages": flat()})
    messages: TrackedList = document.state["messages"]
    asked: list[Any] = []

    def items(self: TrackedDict) -> Any:
        asked.append(self)
        return dict.values(self)

    monkeypatch.setattr(TrackedDict, "_items", items)
    document.check_lists()

    assert not any(one is message for one in asked for message in messages)
