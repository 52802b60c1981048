"""Old code that moves much, or edits behind the containers' backs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.evolution import Newer, newest

import perdure
from perdure.core.changes import Splice
from perdure.core.lens import with_slots
from perdure.core.lens_changes import translate
from perdure.errors import UntrackedEdit
from perdure.lenses import add, in_items


def test_edits_behind_the_back_of_a_view_are_found_where_they_are_looked_for(
    v1: type[Any], v2: type[Any]
) -> None:
    store = perdure.Store("memory:", check_edits=True)
    with store.open("a", schema=v2) as session:
        session.state.messages = [Newer("user", "owls")]
    with store.open("a", schema=v1, on_error="discard") as session:
        dict.__setitem__(session.raw["messages"][0], "content", "bees")
        with pytest.raises(UntrackedEdit, match="messages/0/content"):
            session.save()
        session.refresh()
        assert session.state.messages[0].content == "owls"
    assert newest(store)["messages"][0]["content"] == "owls"


def test_very_many_items_put_in_again_keep_what_is_theirs_each_once() -> None:
    lenses = with_slots([in_items("items", [add("hidden", 0)])], 2)
    items = [{"n": at // 2, "hidden": at} for at in range(4_000)]
    view = [{"n": item["n"]} for item in items]
    moved = [Splice(("items",), 0, 4_000, view[::-1])]
    [made] = translate(moved, {"items": items}, lenses)
    assert isinstance(made, Splice)
    found = list(made.items)
    assert [item["n"] for item in found] == [item["n"] for item in view[::-1]]
    assert sorted(item["hidden"] for item in found) == list(range(4_000))
    assert all(item["hidden"] // 2 == item["n"] for item in found)
