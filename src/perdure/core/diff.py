"""What differs between two states, to be shown, and to be made again.

Lists are aligned by what both sides have in common: equal heads and tails first, then items that
occur once on each side ("patience"), in ever smaller runs. That takes n log n steps for n items,
however they differ. Of the items that differ, those with an id are matched by it (`matching.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import msgspec

from perdure.core.abbreviate import abbreviate
from perdure.core.changes import Change, Delete, Members, Set, Splice, text_splice
from perdure.core.codec import pack
from perdure.core.matching import (
    NOWHERE,
    Gap,
    Id,
    Step,
    has_any,
    id_of,
    longest_rise,
    staying,
    steps,
    unique,
)
from perdure.core.members import by_bytes
from perdure.core.paths import Path, format_path
from perdure.core.values import same, take

Kind: TypeAlias = Literal["added", "removed", "changed", "moved"]

ROUNDS_MAX = 8
"""How many times a run of a list is looked at again for items that have become unique in it."""


class Difference(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One place where two states differ.

    Example:
        >>> [each.summary() for each in diff({"step": 1}, {"step": 2, "done": [3]})]
        ['changed step: 1 → 2', 'added done: [3]']
    """

    path: Path
    """Positions in lists are those in `after`, except of what was removed."""
    kind: Kind
    """`"moved"`: the mapping at `path` has its keys in another order, or the item at `path`, known
    by its id, has another place in its list; what else changed in it is told beside that."""
    before: Any
    """The value that was there, not a copy; None if there was none. Of "moved": the list of keys
    that both have, in their order then; or the item's position in the list then."""
    after: Any
    """The same for what is there now."""
    ids: tuple[tuple[int, Id], ...] = ()
    """Which items of lists on the way are known by an id: the place of each in `path`, and its id.
    An item that was added or removed as a whole has it in its value."""

    @property
    def is_move(self) -> bool:
        """Whether an item moved in its list."""
        return self.kind == "moved" and isinstance(self.after, int)

    def summary(self) -> str:
        """One line: the path, and what was and is there, cut short; of long texts, the part."""
        where, before, after = format_path(self.path), self.before, self.after
        if self.kind == "added":
            return f"added {where}: {abbreviate(after)}"
        if self.kind == "removed":
            return f"removed {where}: {abbreviate(before)}"
        if type(before) is type(after) and isinstance(before, str | bytes):
            splice = text_splice(self.path, before, after)
            if splice:
                start, end = splice.start, splice.start + splice.removed
                where, before, after = f"{where} at {start}", before[start:end], splice.items
        return f"{self.kind} {where}: {abbreviate(before)} → {abbreviate(after)}"


def diff(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """Every difference between two states; empty exactly if they are `values.same`.

    Example:
        >>> diff({"tags": ["a", "b"]}, {"tags": ["b"]})
        [Difference(path=('tags', 0), kind='removed', before='a', after=None)]
    """
    return list(differences((), before, after))


def to_changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Changes that make `after` of `before`, order of keys included; their values are copies.

    Example:
        >>> to_changes({"tags": ["a", "b"]}, {"tags": ["b"]})
        [Splice(path=('tags',), start=0, removed=1, items=[])]
    """
    return list(_changes((), before, after))


# ---- to be shown ----------------------------------------------------------------------------


def differences(path: Path, a: Any, b: Any) -> Iterator[Difference]:
    """Every difference between two values, both of which stand at `path`.

    Example:
        >>> [each.summary() for each in differences(("plan",), [1, 2], [1])]
        ['removed plan/1: 2']
    """
    if isinstance(a, dict) and isinstance(b, dict):
        yield from _dict_differences(path, a, b)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _list_differences(path, a, b)
    elif not same(a, b):
        yield Difference(path, "changed", a, b)


def _dict_differences(path: Path, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for key, value in a.items():
        if key in b:
            yield from differences((*path, key), value, b[key])
        else:
            yield Difference((*path, key), "removed", value, None)
    for key, value in b.items():
        if key not in a:
            yield Difference((*path, key), "added", None, value)
    were, are = [key for key in a if key in b], [key for key in b if key in a]
    if were != are:
        yield Difference(path, "moved", were, are)


def _list_differences(path: Path, a: list[Any], b: list[Any]) -> Iterator[Difference]:
    found = gaps(a, b)
    for step in steps(found, *_ids_in(found, a, b)):
        at, to = step.at, step.to
        if at == NOWHERE:
            yield Difference((*path, to), "added", None, b[to])
        elif to == NOWHERE:
            yield Difference((*path, at), "removed", a[at], None)
        else:
            yield from paired_differences((*path, to), step, a[at], b[to])


def paired_differences(path: Path, step: Step, a: Any, b: Any) -> Iterator[Difference]:
    """What differs between an item at `path` and what it was, which `step` says."""
    if step.how == "place" and not akin(a, b):
        yield Difference(path, "changed", a, b)
    else:
        yield from told_of_item(path, step, differences(path, a, b))


def told_of_item(path: Path, step: Step, found: Iterable[Difference]) -> Iterator[Difference]:
    """What became of an item at `path`: that it moved, and what was found in it, with its id."""
    known: tuple[tuple[int, Id], ...] = ()
    if step.id is not None:
        known = ((len(path) - 1, step.id),)
    if step.how == "moved":
        yield Difference(path, "moved", step.at, step.to, known)
    for each in found:
        yield msgspec.structs.replace(each, ids=known + each.ids) if known else each


def _ids_in(
    found: Iterable[Gap], a: list[Any], b: list[Any]
) -> tuple[dict[int, Id], dict[int, Id]]:
    """The unique ids of the items in gaps, by position in either list."""
    a_ids = {at: id_of(a[at]) for start, end, _, _ in found for at in range(start, end)}
    b_ids = {to: id_of(b[to]) for _, _, start, end in found for to in range(start, end)}
    return unique(a_ids), unique(b_ids)


# ---- to be made again -----------------------------------------------------------------------


def _changes(path: Path, a: Any, b: Any) -> Iterator[Change]:
    if isinstance(a, dict) and isinstance(b, dict):
        yield from _dict_changes(path, a, b)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _list_changes(path, a, b)
    elif same(a, b):
        return
    elif isinstance(a, set) and isinstance(b, set):
        were, are = by_bytes(a), by_bytes(b)
        yield Members(path, _beyond(were, are), _beyond(are, were))
    elif type(a) is type(b) and isinstance(a, str | bytes):
        yield text_splice(path, a, b) or Set(path, b)
    else:
        yield Set(path, take(b))


def _beyond(members: dict[bytes, list[Any]], others: dict[bytes, list[Any]]) -> list[Any]:
    """Those that the others have not, or not as often."""
    return [
        each for packed, some in members.items() for each in some[len(others.get(packed, ())) :]
    ]


def _dict_changes(path: Path, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Change]:
    stay = _keys_that_stay(a, b)
    for key in a:
        if key not in stay:
            yield Delete((*path, key))
    for key, value in b.items():
        if key in stay:
            yield from _changes((*path, key), a[key], value)
        else:
            yield Set((*path, key), take(value))


def _keys_that_stay(a: dict[str, Any], b: dict[str, Any]) -> set[str]:
    """The first keys of `b` that `a` has in the same order: new keys can only go last."""
    places = {key: place for place, key in enumerate(a)}
    stay: set[str] = set()
    last = -1
    for key in b:
        place = places.get(key, -1)
        if place <= last:
            break
        last = place
        stay.add(key)
    return stay


def _list_changes(path: Path, a: list[Any], b: list[Any]) -> Iterator[Change]:
    found = gaps(a, b)
    ids = _ids_in(found, a, b)
    places = {id_: to for to, id_ in ids[1].items()}
    went = {at: places[id_] for at, id_ in ids[0].items() if id_ in places}
    # From the end on, so that positions before a change stay as they are in `a`.
    for gap in reversed(found):
        for inner, stays in reversed(list(staying(gap, went))):
            if stays is not None:
                yield from _changes((*path, stays.at), a[stays.at], b[stays.to])
            yield from _gap_changes(path, a, b, inner, ids)


def _gap_changes(
    path: Path,
    a: list[Any],
    b: list[Any],
    gap: Gap,
    ids: tuple[Mapping[int, Id], Mapping[int, Id]],
) -> Iterator[Change]:
    """Changes for a gap in which no item with an id stays."""
    a_start, a_end, b_start, b_end = gap
    pairs = list(zip(range(a_start, a_end), range(b_start, b_end)))
    if has_any(gap, *ids) or not any(akin(a[at], b[to]) for at, to in pairs):
        pairs = []
    rest, items = a_start + len(pairs), take(b[b_start + len(pairs) : b_end])
    if rest < a_end or items:
        yield Splice(path, rest, a_end - rest, items)
    for at, to in pairs:
        if akin(a[at], b[to]):
            yield from _changes((*path, at), a[at], b[to])
        else:
            yield Set((*path, at), take(b[to]))


# ---- aligning lists -------------------------------------------------------------------------


def akin(a: Any, b: Any) -> bool:
    """Whether one item of a list is better told as the other edited than as another one."""
    if isinstance(a, dict) and isinstance(b, dict):
        return any(key in b and same(value, b[key]) for key, value in a.items())
    return isinstance(a, list) and isinstance(b, list)


def name_of(value: Any) -> bytes:
    """A short name of a value, equal for values that are the same."""
    return blake2b(pack(value), digest_size=16).digest()


def gaps(
    a: Sequence[Any],
    b: Sequence[Any],
    equal: Callable[[Any, Any], bool] = same,
    name: Callable[[Any], Hashable] = name_of,
) -> list[Gap]:
    """The runs in which two lists differ, in order.

    Args:
        a: one list.
        b: the other.
        equal: whether two items are the same.
        name: equal for items that are.

    Example:
        >>> gaps(["a", "b", "c"], ["a", "x", "y", "c"])
        [(1, 2, 1, 3)]
    """
    head, shorter = 0, min(len(a), len(b))
    while head < shorter and equal(a[head], b[head]):
        head += 1
    tail = 0
    while tail < shorter - head and equal(a[-1 - tail], b[-1 - tail]):
        tail += 1
    middle = (head, len(a) - tail, head, len(b) - tail)
    if middle[0] == middle[1] or middle[2] == middle[3]:
        return [middle] if len(a) != len(b) else []
    a_names = {at: name(a[at]) for at in range(middle[0], middle[1])}
    b_names = {at: name(b[at]) for at in range(middle[2], middle[3])}
    return list(_split(a_names, b_names, middle, ROUNDS_MAX))


_Names: TypeAlias = dict[int, Hashable]
"""Of items, by position."""


def _split(a: _Names, b: _Names, gap: Gap, rounds: int) -> Iterator[Gap]:
    """The gaps within a gap, between the items that both sides of it have once."""
    a_start, a_end, b_start, b_end = gap
    while a_start < a_end and b_start < b_end and a[a_start] == b[b_start]:
        a_start, b_start = a_start + 1, b_start + 1
    while a_start < a_end and b_start < b_end and a[a_end - 1] == b[b_end - 1]:
        a_end, b_end = a_end - 1, b_end - 1
    anchors: list[tuple[int, int]] = []
    if rounds and a_start < a_end and b_start < b_end:
        anchors = _anchors(a, range(a_start, a_end), b, range(b_start, b_end))
    if not anchors:
        if a_start < a_end or b_start < b_end:
            yield a_start, a_end, b_start, b_end
        return
    for at, to in [*anchors, (a_end, b_end)]:
        yield from _split(a, b, (a_start, at, b_start, to), rounds - 1)
        a_start, b_start = at + 1, to + 1


def _anchors(a: _Names, a_range: range, b: _Names, b_range: range) -> list[tuple[int, int]]:
    """Pairs of equal items that are the only such on either side, in rising order on both."""
    counts = Counter(a[at] for at in a_range), Counter(b[to] for to in b_range)
    places = {b[to]: to for to in b_range if counts[1][b[to]] == 1}
    pairs = [(at, places[a[at]]) for at in a_range if counts[0][a[at]] == 1 and a[at] in places]
    return [pairs[each] for each in longest_rise([to for _, to in pairs])]
