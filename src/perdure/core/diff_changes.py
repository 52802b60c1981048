"""Changes that make again what a diff tells: for who has the differences, and not both states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from perdure.core.changes import Change, Delete, Set, Splice
from perdure.core.delta import changes_of
from perdure.core.delta_between import between
from perdure.core.diff import Difference
from perdure.core.difference_tree import Place, tree_of
from perdure.core.list_edits import Hunk
from perdure.core.paths import Path


def _changes(place: Place, path: Path) -> Iterator[Change]:
    """What makes the later value of the earlier one, which stand at a path."""
    # From the end on, so that positions before a change stay as they are in the earlier list.
    for hunk in reversed(_hunks(place)):
        yield Splice(path, hunk.start, hunk.removed, hunk.items)
    for part in place.gone:
        if isinstance(part, str):
            yield Delete((*path, part))
    for part, child in place.children.items():
        if child.changed is not None and isinstance(part, str):
            yield from _replaced((*path, part), *child.changed)
    for part, value in place.come.items():
        if isinstance(part, str):
            yield Set((*path, part), value)
    for part, child in place.children.items():
        if child.changed is None:
            yield from _changes(child, (*path, part))


def _hunks(place: Place) -> list[Hunk]:
    """Which items of a list gave way to others, in positions of the earlier one.

    All is counted by the items that stay: what is before the first of them, the second, …
    """
    gone: dict[int, int] = {}
    for index, at in enumerate(sorted(_positions(place.gone))):
        gone[at - index] = gone.get(at - index, 0) + 1
    come: dict[int, list[Any]] = {}
    added = sorted(_positions(place.come))
    for index, to in enumerate(added):
        come.setdefault(to - index, []).append(place.come[to])
    changed = {part: child.changed[1] for part, child in place.children.items() if child.changed}
    others = _among(added, sorted(_positions(changed)))
    hunks: list[Hunk] = []
    went = 0
    for stay in sorted({*gone, *come, *others}):
        removed, items = gone.get(stay, 0), come.get(stay, [])
        start, went = stay + went, went + removed
        if stay in others:
            removed, items = removed + 1, [*items, changed[others[stay]]]
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
    # A path that is empty tells of the order of the sections.
    return list(_changes(tree_of(each for each in differences if each.path), ()))
