"""Keys that somebody else's changes put in another order: what they hold stays where it is."""

import pytest

from perdure.core.changes import Set
from perdure.core.windows import Window
from perdure.errors import ReplayMismatch
from perdure.state.document import Document


def test_keys_go_last_and_what_they_hold_stays_attached() -> None:
    document = Document({"d": {"a": {"n": 1}, "b": 2, "c": 3}})
    held = document.state["d"]["a"]
    assert document.apply([Set(("d", "z"), 0)], last=[(("d",), ("z", "a"))]) == []
    assert list(document.state["d"]) == ["b", "c", "z", "a"]
    assert document.capture() == []
    held["n"] = 2
    assert document.capture() == [Set(("d", "a", "n"), 2)]


def test_in_a_window_positions_are_the_true_ones() -> None:
    document = Document({"l": Window([{"a": 1, "b": 2}], offset=5)})
    document.apply([], last=[(("l", 5), ("a",)), (("l", 4), ("a",))])
    assert list(document.state["l"][0]) == ["b", "a"]


@pytest.mark.parametrize("last", [(("d",), ("a", "no such key")), (("d", "a"), ("n",))])
def test_an_order_that_does_not_fit_changes_nothing(
    last: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    document = Document({"d": {"a": 1, "b": 2}})
    with pytest.raises(ReplayMismatch):
        document.apply([Set(("d", "b"), 3)], last=[(("d",), ("a",)), last])
    assert document.plain() == {"d": {"a": 1, "b": 2}}
    assert list(document.state["d"]) == ["a", "b"]


def test_a_copy_that_checks_edits_follows() -> None:
    document = Document({"d": {"a": 1, "b": 2}}, check_edits=True)
    document.apply([], last=[(("d",), ("a",))])
    assert document.capture() == []


def test_a_closed_document_takes_in_what_its_last_save_needs() -> None:
    document = Document({"d": {"a": 1}})
    document.close()
    document.apply([Set(("d", "b"), 2)], last=[(("d",), ("a",))])
    assert list(document.state["d"]) == ["b", "a"]
    assert document.capture() == []
