"""The marks of a list: which of its present items replaced how many of the last capture's.

An edit is `(start, count, removed, base)`: the `count` items from position `start` on stand where
`removed` items were. Edits are in present positions, sorted and apart from one another, so that
applied from left to right each leads from the base to the present list:

    base     a b c d e f            [B, d, e, f, g, h] = base after
    present  B d e f g h                                   list[0:3] = [B]; list += [g, h]
    edits    [(0, 1, 3, CHANGED), (4, 2, 0, CHANGED)]

`base` is the scalar an item replaced, where one scalar was assigned to one position;
CHANGED otherwise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, TypeAlias

from perdure import limits
from perdure.core.values import same
from perdure.state.marks import CHANGED
from perdure.state.place import place_of

Edit: TypeAlias = tuple[int, int, int, Any]

_get = list.__getitem__
_PAST_ALL = float("inf")


def covers(edits: list[Edit], position: int) -> bool:
    """Whether the item at `position` is new since the last capture."""
    before = bisect_right(edits, (position, _PAST_ALL)) - 1
    return before >= 0 and position < edits[before][0] + edits[before][1]


def assigned(edits: list[Edit], position: int, base: Any) -> None:
    """Note that the item at `position`, formerly `base`, was replaced by another."""
    after = bisect_right(edits, (position, _PAST_ALL))
    if after == 0 or position >= edits[after - 1][0] + edits[after - 1][1]:
        edits.insert(after, (position, 1, 1, base))
        _bound(edits)


def spliced(edits: list[Edit], start: int, removed: int, added: int) -> None:
    """Note that `added` items from `start` on have replaced `removed` that were there."""
    first, last = _touching(edits, start, start + removed)
    new_start, end, base_removed = start, start + removed, removed
    if first < last:
        new_start = min(start, edits[first][0])
        end = max(end, edits[last - 1][0] + edits[last - 1][1])
        base_removed = end - new_start
        for _, count, gone, _ in edits[first:last]:
            base_removed += gone - count
    growth = added - removed
    count = end - new_start + growth
    edits[first:last] = [(new_start, count, base_removed, CHANGED)] if count or base_removed else []
    if growth:
        for index in range(first + bool(count or base_removed), len(edits)):
            at, number, gone, base = edits[index]
            edits[index] = at + growth, number, gone, base
    _bound(edits)


def kept_ends(before: list[Any], after: list[Any]) -> tuple[int, int]:
    """How many items at the head and at the tail can stay when `after` takes `before`'s place."""
    head = tail = 0
    most = min(len(before), len(after))
    while head < most and _stays(_get(before, head), after[head]):
        head += 1
    while tail < most - head and _stays(_get(before, -1 - tail), after[-1 - tail]):
        tail += 1
    return head, tail


def _stays(before: Any, after: Any) -> bool:
    """Whether assigning `after` over `before` can leave `before` there."""
    return before is after or (place_of(after) is None and same(before, after))


def _touching(edits: list[Edit], start: int, end: int) -> tuple[int, int]:
    """The run of edits to be joined with one of `start` to `end`: those that overlap or border it.

    One that knows its base is left apart if it only borders, to stay a change of its item alone.
    """
    first = bisect_left(edits, (start,))
    if first and edits[first - 1][0] + edits[first - 1][1] >= start:
        at, count, _, base = edits[first - 1]
        if base is CHANGED or at + count > start:
            first -= 1
    last = first
    while last < len(edits) and edits[last][0] <= end:
        at, _, _, base = edits[last]
        if base is not CHANGED and at == end:
            break
        last += 1
    return first, last


def _bound(edits: list[Edit]) -> None:
    """Join the nearest edits when they become too many to shift at every insertion.

    An eighth at once: the next edits are then free of it.
    """
    most = limits.list_edits_max
    if len(edits) > most:
        by_gap = sorted(
            range(1, len(edits)), key=lambda after: _gap(edits[after - 1], edits[after])
        )
        joining = set(by_gap[: len(edits) - max(most - most // 8, 1)])
        joined: list[Edit] = []
        for index, edit in enumerate(edits):
            if index in joining:
                joined[-1] = _joined(joined[-1], edit)
            else:
                joined.append(edit)
        edits[:] = joined


def _gap(first: Edit, second: Edit) -> int:
    """How many items between two edits stand where they stood."""
    return second[0] - first[0] - first[1]


def _joined(first: Edit, second: Edit) -> Edit:
    """One edit in the place of two neighbours and of what is between them."""
    gap = _gap(first, second)
    return first[0], first[1] + gap + second[1], first[2] + gap + second[2], CHANGED
