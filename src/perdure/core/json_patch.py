"""Differences as a JSON Patch (RFC 6902), for what speaks that.

Of a list, what was removed goes first, from the end on; then what came and what moved is put in
its place, from the front on; then what changed inside the items. So every position is that of the
moment at which its operation is applied, and below a list that was dealt with it is the final one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from perdure.core.diff import Difference
from perdure.core.difference_tree import Place, tree_of
from perdure.core.json_forms import encode

Operation: TypeAlias = dict[str, Any]
"""One operation of a JSON Patch: `op`, `path`, and `value` or `from`."""


def json_patch(differences: Iterable[Difference]) -> list[Operation]:
    """The differences between two states as a JSON Patch (RFC 6902).

    Applied to the earlier state as JSON, it gives the later one. A value that JSON has no form for
    is given as `perdure show --json` gives it (`{"$bytes": "b2s="}`). The order of keys is not
    told, as JSON has none. Maps on the way to a difference are plain objects in its path, also
    those with one key that begins with `$`, for which `perdure show --json` has the form `$map`.

    Args:
        differences: all that `Store.diff` gave.

    Example:
        >>> from perdure.core.diff import diff
        >>> json_patch(diff({"plan": ["a", "b"]}, {"plan": ["b"], "done": True}))
        [{'op': 'remove', 'path': '/plan/0'}, {'op': 'add', 'path': '/done', 'value': True}]
    """
    return list(_operations(tree_of(differences), ""))


def _operations(place: Place, pointer: str) -> Iterator[Operation]:
    """What makes the later value of the earlier one at a JSON Pointer."""
    if place.changed is not None:
        yield {"op": "replace", "path": pointer, "value": encode(place.changed[1])}
        return
    positions = [part for part in place.gone if isinstance(part, int)]
    for part in place.gone:
        if isinstance(part, str):
            yield {"op": "remove", "path": _below(pointer, part)}
    for part in sorted(positions, reverse=True):
        yield {"op": "remove", "path": _below(pointer, part)}
    yield from _put_in(place, pointer, sorted(positions))
    for part, value in place.come.items():
        if isinstance(part, str):
            yield {"op": "add", "path": _below(pointer, part), "value": encode(value)}
    for part, child in place.children.items():
        yield from _operations(child, _below(pointer, part))


def _put_in(place: Place, pointer: str, gone: list[int]) -> Iterator[Operation]:
    """Add and move items of a list, the first first."""
    waiting = _Waiting(place.moved.values(), gone)
    added = [part for part in place.come if isinstance(part, int)]
    for to in sorted((*added, *place.moved)):
        if to in place.moved:
            start, end = waiting.move(place.moved[to], to)
            if start != end:
                paths = _below(pointer, start), _below(pointer, end)
                yield {"op": "move", "from": paths[0], "path": paths[1]}
        else:
            path = _below(pointer, waiting.add(to))
            yield {"op": "add", "path": path, "value": encode(place.come[to])}


class _Waiting:
    """Items of a list that still have to move, among those that stay and those put in so far.

    What counts is how many of the items that *stay* come before each of them.
    """

    def __init__(self, moving: Iterable[int], gone: list[int]) -> None:
        self.at = sorted(moving)
        """Where those that wait were in the earlier list."""
        self.stay = [at - index - bisect_left(gone, at) for index, at in enumerate(self.at)]
        """How many that stay come before each of them."""
        self.put: list[int] = []
        """The same of those put in, in order."""

    def add(self, to: int) -> int:
        """Put in the item that comes to stand at `to`; where it goes now."""
        stay = to - len(self.put)
        self.put.append(stay)
        return to + bisect_left(self.stay, stay)

    def move(self, at: int, to: int) -> tuple[int, int]:
        """The same of one that waits: where it is now, and where it goes once taken out there."""
        index = bisect_left(self.at, at)
        stay = self.stay[index]
        start = stay + bisect_right(self.put, stay) + index
        del self.at[index], self.stay[index]
        return start, self.add(to)


def _below(pointer: str, part: str | int) -> str:
    """A JSON Pointer (RFC 6901) one step further."""
    return f"{pointer}/{part}" if isinstance(part, int) else f"{pointer}/{_escaped(part)}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
