"""Who last wrote a path is what a model says that replays every change on marked values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure.core.blame import before_changes
from perdure.core.changes import Change, Delete, Members, Set, Splice, apply, copies
from perdure.core.paths import Path
from perdure.core.values import take
from perdure.testing.strategies import changes_for, sections


class Marked:
    """A value, and the number of the last change that wrote it, something in it, or around it."""

    def __init__(self, value: Any, number: int) -> None:
        self.number = number
        self.parts: Any = None
        if isinstance(value, dict):
            self.parts = {key: Marked(item, number) for key, item in value.items()}
        elif isinstance(value, list):
            self.parts = [Marked(item, number) for item in value]

    def change(self, path: Path, change: Change, number: int) -> None:
        """Make a change below this value."""
        self.number = number
        if len(path) > 1:
            self.parts[path[0]].change(path[1:], change, number)
            return
        match change:
            case Set():
                self.parts[path[0]] = Marked(change.value, number)
            case Delete():
                del self.parts[path[0]]
            case Splice():
                target = self.parts[path[0]]
                target.number = number
                if isinstance(change.items, list):
                    items = [Marked(item, number) for item in change.items]
                    target.parts[change.start : change.start + change.removed] = items
            case Members():
                self.parts[path[0]].number = number

    def all(self, path: Path = ()) -> Iterator[tuple[Path, int]]:
        """Every path there is, and its number."""
        if path:
            yield path, self.number
        parts = self.parts
        pairs = parts.items() if isinstance(parts, dict) else enumerate(parts or ())
        for part, inner in pairs:
            yield from inner.all((*path, part))


def writer(history: list[list[Change]], path: Path) -> int:
    """The number of the changes that wrote a path, as it is followed back; 0: none of them."""
    then: Path | None = path
    for number in range(len(history), 0, -1):
        then = before_changes(history[number - 1], then) if then is not None else None
        if then is None:
            return number
    return 0


@given(sections(20), st.data())
def test_paths_are_followed_back_to_what_wrote_them(
    start: dict[str, Any], data: st.DataObject
) -> None:
    marked, state, history = Marked(start, 0), take(start), list[list[Change]]()
    for number in range(1, data.draw(st.integers(1, 5)) + 1):
        changes = data.draw(changes_for(state, max_size=4))
        history.append(changes)
        for change in changes:
            marked.change(change.path, change, number)
        apply(state, copies(changes))
    for path, number in marked.all():
        assert writer(history, path) == number


edits = st.lists(
    st.tuples(
        st.sampled_from(["append", "first", "remove", "edit", "inside", "replace", "other"]),
        st.integers(0, 9),
    ),
    max_size=6,
)


@given(st.lists(edits, min_size=1, max_size=12), st.integers(0, 12))
def test_a_store_says_what_a_model_of_its_history_says(
    saves: list[list[tuple[str, int]]], maintained: int
) -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        with store.open("a") as session:
            session.state.update(plan=[{"n": n, "of": [n]} for n in range(3)], other={})
            session.save()
            for number, some in enumerate(saves):
                for edit in some:
                    edited(session.state, *edit)
                session.save()
                if number == maintained:
                    store.maintain("a")
        marked = Marked({}, 0)
        for checkpoint in reversed(store.history("a", changes=True)):
            for change in checkpoint.changes or ():
                marked.change(change.path, change, checkpoint.number)
        for path, number in marked.all():
            assert store.blame("a", path).number == number


def edited(state: Any, what: str, where: int) -> None:
    """One edit of the plan, or of what is beside it."""
    plan = state["plan"]
    at = where % len(plan) if plan else None
    if what == "append":
        plan.append({"n": where, "of": [where]})
    elif what == "first":
        plan.insert(0, {"n": where, "of": [where]})
    elif what == "other":
        state["other"][str(where)] = where
    elif at is not None:
        match what:
            case "remove":
                del plan[at]
            case "edit":
                plan[at]["n"] += 1
            case "inside":
                plan[at]["of"].insert(0, where)
            case "replace":
                plan[at] = {"n": where, "of": [1, 2]}
