"""Changes that make again what a diff tells: for who has the differences, and not both states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from perdure.core.changes import Change, Delete, Set, Splice
from perdure.core.delta import changes_of
from perdure.core.delta_between import between
from perdure.core.diff import Difference
from perdure.core.list_edits import Hunk
from perdure.core.paths import Path


class _Place(msgspec.Struct):
    """What differs at one place and below it."""

    children: dict[str | int, _Place] = {}
    gone: list[str | int] = []
    """Keys, or positions in the earlier list."""
    come: dict[str | int, Any] = {}
    """What is new, by key or position in the later list."""
    changed: dict[str | int, tuple[Any, Any]] = {}
    """What is another value now, by key or position in the later list: before and after."""

    def take(self, difference: Difference) -> None:
        """Note a difference, seen from the state as a whole."""
        *way, last = difference.path
        place = self
        for part in way:
            place = place.children.setdefault(part, _Place())
        match difference.kind:
            case "removed":
                place.gone.append(last)
            case "added":
                place.come[last] = difference.after
            case "changed":
                place.changed[last] = difference.before, difference.after

    def changes(self, path: Path) -> Iterator[Change]:
        """What makes the later value of the earlier one, which stand at a path."""
        # From the end on, so that positions before a change stay as they are in the earlier list.
        for hunk in reversed(self._hunks()):
            yield Splice(path, hunk.start, hunk.removed, hunk.items)
        for part in self.gone:
            if isinstance(part, str):
                yield Delete((*path, part))
        for part, (before, after) in self.changed.items():
            if isinstance(part, str):
                yield from _replaced((*path, part), before, after)
        for part, value in self.come.items():
            if isinstance(part, str):
                yield Set((*path, part), value)
        for part, place in self.children.items():
            yield from place.changes((*path, part))

    def _hunks(self) -> list[Hunk]:
        """Which items of a list gave way to others, in positions of the earlier one.

        All is counted by the items that stay: what is before the first of them, the second, …
        """
        gone: dict[int, int] = {}
        for index, at in enumerate(sorted(_positions(self.gone))):
            gone[at - index] = gone.get(at - index, 0) + 1
        come: dict[int, list[Any]] = {}
        added = sorted(_positions(self.come))
        for index, to in enumerate(added):
            come.setdefault(to - index, []).append(self.come[to])
        others = _among(added, sorted(_positions(self.changed)))
        hunks: list[Hunk] = []
        went = 0
        for stay in sorted({*gone, *come, *others}):
            removed, items = gone.get(stay, 0), come.get(stay, [])
            start, went = stay + went, went + removed
            if stay in others:
                removed, items = removed + 1, [*items, self.changed[others[stay]][1]]
            if hunks and hunks[-1].end == start:
                hunks[-1].removed += removed
                hunks[-1].items += items
            else:
                hunks.append(Hunk(start, removed, items))
        return hunks


def _positions(parts: Iterable[str | int]) -> list[int]:
    return [part for part in parts if isinstance(part, int)]


def _among(added: list[int], positions: list[int]) -> dict[int, int]:
    """Positions of items that stay, by how many that stay are before each."""
    found: dict[int, int] = {}
    before = 0
    for position in positions:
        while before < len(added) and added[before] < position:
            before += 1
        found[position - before] = position
    return found


def _replaced(path: Path, before: Any, after: Any) -> Iterator[Change]:
    is_edit = type(before) is type(after) and isinstance(after, set | str | bytes)
    node = between(before, after) if is_edit else None
    if node is None:
        yield Set(path, after)
    else:
        yield from changes_of(node, path)


def changes_told(differences: Iterable[Difference]) -> list[Change]:
    """Changes that make the later of two states of the earlier one, but for the order of keys.

    Keys that are new go last. Values are those of the differences, not copies. Where items of a
    list moved cannot be told by changes: their values are not there.

    Args:
        differences: all between two states; none of them of an item that moved.

    Example:
        >>> from perdure.core.diff import diff
        >>> changes_told(diff({"plan": ["a", "b"]}, {"plan": ["b"], "done": True}))
        [Set(path=('done',), value=True), Splice(path=('plan',), start=0, removed=1, items=[])]
    """
    root = _Place()
    for difference in differences:
        if difference.path:  # else it is the order of the sections
            root.take(difference)
    return list(root.changes(()))
