"""A text or bytes that no save could write is refused where it is inserted, with its path."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure import limits
from perdure.core.values import take
from perdure.errors import NotStorable
from perdure.state import Document

MAX = 1000
LONG: list[Any] = ["x" * 1001, b"x" * 1001, "\u20ac" * 334, bytearray(1001), "\ud800" * 334]


@pytest.fixture(autouse=True)
def _low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "save_bytes_max", MAX)
    monkeypatch.setattr(limits, "measured_units_min", MAX // 4)


INSERTIONS: dict[str, Callable[[Any, Any], object]] = {
    "new": lambda state, value: state.__setitem__("new", value),
    "plan/text": lambda state, value: state["plan"].__setitem__("text", value),
    "plan/note": lambda state, value: state["plan"].__setitem__("note", value),
    "plan/a": lambda state, value: state["plan"].update({"a": value}),
    "plan/b": lambda state, value: state["plan"].setdefault("b", value),
    "plan/c/d/1": lambda state, value: state["plan"].__setitem__("c", {"d": [1, value]}),
    "list/2": lambda state, value: state["list"].append(value),
    "list/3": lambda state, value: state["list"].extend([3, value]),
    "list/0": lambda state, value: state["list"].insert(0, value),
    "list/1": lambda state, value: state["list"].__setitem__(1, value),
    "list/2/content": lambda state, value: state["list"].append({"content": value}),
    "list/2/1": lambda state, value: state["list"].append((1, value)),
}


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("where", INSERTIONS)
def test_it_is_refused_with_its_path_and_nothing_is_changed(where: str, value: Any) -> None:
    content = {"plan": {"note": "short"}, "list": [1, "two"]}
    document = Document(copy.deepcopy(content))
    with pytest.raises(NotStorable, match=r"longer than one save can write \(1,000\)") as caught:
        INSERTIONS[where](document.state, value)
    assert str(caught.value).startswith(f"{where}: ")
    assert "/".join(map(str, caught.value.path)) == where
    assert document.state.plain() == content
    assert document.pending() == []


@pytest.mark.parametrize("value", ["x" * 1000, b"x" * 1000, "\u20ac" * 333])
def test_what_a_save_can_write_is_taken(value: Any) -> None:
    assert take({"a": [value]}) == {"a": [value]}
    document = Document({"list": []})
    document.state["list"].append(value)
    document.state["new"] = value


def test_an_edit_of_a_long_text_counts_as_what_it_writes() -> None:
    document = Document({"log": "x" * 5000, "all": ["y" * 5000]})
    document.state["log"] += "more"
    document.state["log"] = "x" * 2000 + "in the middle" + "x" * 3000 + "more"
    document.state["log"] = str(document.state["log"])
    document.state["all"][0] += "more"
    assert len(document.capture()) == 2
    with pytest.raises(NotStorable, match=r"^log: "):
        document.state["log"] += "z" * 1001
    with pytest.raises(NotStorable, match=r"^all/0: "):
        document.state["all"][0] = "z" * 1001


def test_what_somebody_else_saved_is_taken_in_however_long() -> None:
    document = Document({"log": "x" * 900})
    document.apply([perdure.Set(("log",), "y" * 5000), perdure.Set(("new",), "z" * 5000)])
    assert len(document.state["log"]) == len(document.state["new"]) == 5000


def test_a_save_of_too_much_names_where_the_most_of_it_is() -> None:
    with perdure.Store("memory:too-much") as store:
        session = store.open("a")
        session.state["small"] = "x"
        session.state["plan"] = {"steps": {}}
        session.save()
        session.state["small"] = "y"
        session.state["plan"]["steps"]["all"] = ["x" * 200] * 6
        with pytest.raises(NotStorable, match="of them at plan/steps/all; at most") as caught:
            session.save()
        assert caught.value.path == ("plan", "steps", "all")
        session.state["plan"]["steps"]["all"] = ["x" * 200]
        session.close()
        assert store.open("a").state["small"] == "y"
