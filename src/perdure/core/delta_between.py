"""The delta between two values, both of which are known."""

from __future__ import annotations

from typing import Any, cast

from perdure.core.changes import text_splice
from perdure.core.delta import ABSENT, Keys, Membership, Node, Put, Text
from perdure.core.diff import akin, gaps
from perdure.core.list_edits import Hunk, Items
from perdure.core.members import by_bytes
from perdure.core.values import same


def between(a: Any, b: Any) -> Node | None:
    """What makes `b` of `a`; None if they are the same. Its values are those of `b`, not copies.

    Items of lists that have ids are told as edited only if they have the same.

    Example:
        >>> between({"step": 1}, {"step": 2})
        Keys(keys={'step': Put(value=2, gone=False, had=True, own=False)})
    """
    if same(a, b):
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        return _keys_between(a, b)
    if isinstance(a, list) and isinstance(b, list):
        return _items_between(a, b)
    if isinstance(a, set) and isinstance(b, set):
        return _membership_between(a, b)
    if type(a) is type(b) and isinstance(a, str | bytes):
        splice = text_splice((), cast("Any", a), cast("Any", b))
        if splice:
            return Text([(splice.start, splice.removed, cast("str | bytes", splice.items))])
    return Put(b, had=True)


def id_of(item: Any) -> str | int | None:
    """The id by which an item of a list is the same on two sides; None if it has none."""
    if not isinstance(item, dict):
        return None
    found = item.get("id")
    return found if type(found) is str or type(found) is int else None


def _keys_between(a: dict[str, Any], b: dict[str, Any]) -> Keys:
    keys: dict[str, Node] = {key: Put(ABSENT, gone=True, had=True) for key in a if key not in b}
    in_order = [key for key in a if key in b]
    places = {key: at for at, key in enumerate(in_order)}
    next_place = 0
    for key, value in b.items():
        # The first that is new or out of turn goes last, and so does all that follows it.
        if places.get(key, -1) == next_place:
            next_place += 1
            inner = between(a[key], value)
            if inner is not None:
                keys[key] = inner
        else:
            next_place = -2
            keys[key] = Put(value, gone=key in a, had=key in a)
    return Keys(keys)


def _items_between(a: list[Any], b: list[Any]) -> Items:
    hunks: list[Hunk] = []
    edits: dict[int, Node] = {}
    for a_start, a_end, b_start, b_end in gaps(a, b):
        pairs = 0
        while pairs < min(a_end - a_start, b_end - b_start):
            was, now = a[a_start + pairs], b[b_start + pairs]
            if id_of(was) != id_of(now) or not akin(was, now):
                break
            inner = between(was, now)
            if inner is not None:
                edits[a_start + pairs] = inner
            pairs += 1
        rest, items = a_start + pairs, b[b_start + pairs : b_end]
        if rest < a_end or items:
            hunks.append(Hunk(rest, a_end - rest, items))
    return Items(hunks, edits)


def _membership_between(a: set[Any], b: set[Any]) -> Membership:
    were, are = by_bytes(a), by_bytes(b)
    return Membership(beyond(were, are), beyond(are, were))


def beyond(
    members: dict[bytes, list[Any]], others: dict[bytes, list[Any]]
) -> dict[bytes, list[Any]]:
    """Those members that the others have not, or not as often."""
    left = {packed: some[len(others.get(packed, ())) :] for packed, some in members.items()}
    return {packed: some for packed, some in left.items() if some}
