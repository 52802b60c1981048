"""Which item of one list is which of another, once it is known in what runs the two differ.

Items with an id of their own are matched by it, wherever in those runs they stand; others by place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from perdure import limits

Gap: TypeAlias = tuple[int, int, int, int]
"""Where two lists differ: `a[start:end]` against `b[start:end]`, as (start, end, start, end)."""

Id: TypeAlias = str | int
"""What tells an item of a list from all others."""

ID = "id"
"""The key under which an item has it."""

NOWHERE = -1
"""Where an item is in the list that lacks it."""

How: TypeAlias = Literal["place", "id", "moved"]
"""What says that an item is the other: where it stands, or its id; or its id, elsewhere."""


class Step(NamedTuple):
    """An item that differs: where it is in both lists, `NOWHERE` in one of them."""

    at: int
    to: int
    how: How = "place"
    id: Id | None = None
    """What it is known by, if that is not where it stands."""


def id_of(item: Any) -> Id | None:
    """The id of an item: that of a dict which has a short text or an int as its `"id"`.

    Example:
        >>> id_of({"id": 17, "text": "book a flight"}), id_of({"id": True}), id_of("text")
        (17, None, None)
    """
    return id_from(item[ID]) if isinstance(item, dict) and ID in item else None


def id_from(value: Any) -> Id | None:
    """What stands under `"id"`, if it can be one."""
    if type(value) is int or (type(value) is str and len(value) <= limits.item_id_chars_max):
        return value
    return None


def unique(ids: Mapping[int, Id | None]) -> dict[int, Id]:
    """Of the ids of items, by position, those that only one of the items has."""
    counts = Counter(ids.values())
    return {at: id_ for at, id_ in ids.items() if id_ is not None and counts[id_] == 1}


def steps(found: Iterable[Gap], a_ids: Mapping[int, Id], b_ids: Mapping[int, Id]) -> Iterator[Step]:
    """What became of the items in gaps, in the order in which it is told.

    Args:
        found: the gaps.
        a_ids: of the items in gaps, the unique ids, by position in the one list.
        b_ids: the same of the other.

    Example:
        >>> list(steps([(0, 2, 0, 2)], {0: "x", 1: "y"}, {0: "y", 1: "x"}))
        [Step(at=0, to=1, how='id', id='x'), Step(at=1, to=0, how='moved', id='y')]
    """
    places = {id_: to for to, id_ in b_ids.items()}
    went = {at: places[id_] for at, id_ in a_ids.items() if id_ in places}
    came = {to: at for at, to in went.items()}
    for gap in found:
        for inner, stays in staying(gap, went):
            yield from _within(inner, a_ids, b_ids, went, came)
            if stays is not None:
                yield stays._replace(id=a_ids[stays.at])


def staying(gap: Gap, went: Mapping[int, int]) -> Iterator[tuple[Gap, Step | None]]:
    """A gap, cut by those of its items with ids that keep their order; each cut's item after it.

    Args:
        gap: where two lists differ.
        went: of items with an id that both lists have, by position, where they are in the other.
    """
    a_start, a_end, b_start, b_end = gap
    pairs = [(at, went[at]) for at in range(a_start, a_end) if at in went]
    pairs = [(at, to) for at, to in pairs if b_start <= to < b_end]
    for index in longest_rise([to for _, to in pairs]):
        at, to = pairs[index]
        yield (a_start, at, b_start, to), Step(at, to, "id")
        a_start, b_start = at + 1, to + 1
    yield (a_start, a_end, b_start, b_end), None


def _within(
    gap: Gap,
    a_ids: Mapping[int, Id],
    b_ids: Mapping[int, Id],
    went: Mapping[int, int],
    came: Mapping[int, int],
) -> Iterator[Step]:
    """What became of the items of a gap in which none with an id stays."""
    a_start, a_end, b_start, b_end = gap
    if not has_any(gap, a_ids, b_ids):
        yield from paired(gap)
        return
    yield from (Step(at, NOWHERE) for at in range(a_start, a_end) if at not in went)
    for to in range(b_start, b_end):
        yield Step(came[to], to, "moved", b_ids[to]) if to in came else Step(NOWHERE, to)


def has_any(gap: Gap, a_ids: Mapping[int, Id], b_ids: Mapping[int, Id]) -> bool:
    """Whether an item in a gap has an id."""
    a_start, a_end, b_start, b_end = gap
    return any(at in a_ids for at in range(a_start, a_end)) or any(
        to in b_ids for to in range(b_start, b_end)
    )


def paired(gap: Gap) -> Iterator[Step]:
    """Where the items in a gap are in both lists, those without ids.

    Example:
        >>> [(step.at, step.to) for step in paired((0, 2, 0, 1))]
        [(0, 0), (1, -1)]
    """
    a_start, a_end, b_start, b_end = gap
    pairs = min(a_end - a_start, b_end - b_start)
    yield from map(Step, range(a_start, a_start + pairs), range(b_start, b_start + pairs))
    yield from (Step(at, NOWHERE) for at in range(a_start + pairs, a_end))
    yield from (Step(NOWHERE, to) for to in range(b_start + pairs, b_end))


def longest_rise(numbers: list[int]) -> list[int]:
    """Indexes of a longest rising subsequence of distinct numbers, by patience sorting.

    Source: Schensted, "Longest increasing and decreasing subsequences", 1961.
    """
    tops: list[int] = []
    """The smallest number at which a rise of each length ends."""
    ends: list[int] = []
    """The index of that number."""
    before: list[int] = []
    """For each index, the one before it in its rise; -1 for none."""
    for index, number in enumerate(numbers):
        length = bisect_left(tops, number)
        before.append(ends[length - 1] if length else -1)
        tops[length : length + 1] = [number]
        ends[length : length + 1] = [index]
    rise = []
    index = ends[-1] if ends else -1
    while index >= 0:
        rise.append(index)
        index = before[index]
    return rise[::-1]
