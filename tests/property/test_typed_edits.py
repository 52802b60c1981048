"""Random edits through views are the same edits on real objects."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure.core.changes import apply, pack_changes, unpack_changes
from perdure.state import Document
from perdure.state.typed import install, typed_state


@dataclass
class Item:
    name: str
    size: float = 0
    tags: list[str] = field(default_factory=list)
    items: "list[Item]" = field(default_factory=list)
    best: "Item | None" = None
    by: "dict[str, Item]" = field(default_factory=dict)


class StructItem(msgspec.Struct):
    name: str
    size: float = 0
    tags: list[str] = []
    items: "list[StructItem]" = []
    best: "StructItem | None" = None
    by: "dict[str, StructItem]" = {}


class ModelItem(pydantic.BaseModel):
    name: str
    size: float | int = 0
    tags: list[str] = []
    items: "list[ModelItem]" = []
    best: "ModelItem | None" = None
    by: "dict[str, ModelItem]" = {}


TEXTS = st.text("abc", max_size=3)
EDITS = st.tuples(
    st.sampled_from(
        ["name", "size", "tag", "append", "insert", "pop", "best", "none", "key", "del", "reverse"]
    ),
    st.lists(st.sampled_from(["first", "last", "best", "key"]), max_size=4),
    TEXTS,
    st.integers(0, 3),
)


def reached(item: Any, way: list[str]) -> Any:
    """The item at the end of a way, or where the way ends."""
    for step in way:
        if step in ("first", "last") and item.items:
            item = item.items[0 if step == "first" else -1]
        elif step == "best" and item.best is not None:
            item = item.best
        elif step == "key" and item.by:
            item = next(iter(item.by.values()))
    return item


def edit(make: Any, top: Any, what: str, way: list[str], text: str, number: int) -> None:
    item = reached(top, way)
    if what == "name":
        item.name = text
    elif what == "size":
        item.size = number
    elif what == "tag":
        item.tags.append(text)
    elif what == "append":
        item.items.append(make(name=text))
    elif what == "insert":
        new = make(name=text, size=number, tags=["t"], items=[make(name="in")])
        item.items.insert(number, new)
    elif what == "pop" and item.items:
        item.items.pop(number % len(item.items))
    elif what in ("best", "none"):
        item.best = make(name=text) if what == "best" else None
    elif what == "key":
        item.by[text] = make(name=text, size=number)
    elif what == "del":
        item.by.pop(text, None)
    else:
        item.items.reverse()


@pytest.mark.parametrize("make", [Item, StructItem, ModelItem])
@given(edits=st.lists(st.tuples(EDITS, st.booleans()), max_size=12))
def test_edits_through_views_are_edits_of_real_objects(make: Any, edits: list[Any]) -> None:
    document = Document({"name": "top", "unknown": {"a": 1}})
    install(make, document)
    view, model = typed_state(make, document.state), make(name="top")
    stored: dict[str, Any] = document.plain()
    for (what, way, text, number), is_captured in edits:
        edit(make, view, what, way, text, number)
        edit(make, model, what, way, text, number)
        assert view == model
        if is_captured:
            apply(stored, unpack_changes(pack_changes(document.capture())))
    apply(stored, unpack_changes(pack_changes(document.capture())))
    assert stored == document.plain()
    assert stored["unknown"] == {"a": 1}
    assert perdure.materialize(view) == model
    again = Document(stored)
    install(make, again)
    assert typed_state(make, again.state) == model
