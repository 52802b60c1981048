"""Which of a thread's branches it goes on from: that with the newest checkpoint, merges included.

A merge leaves both branches at checkpoints of their own, and LangGraph takes the greatest id. So a
branch counts as if it were at the newest checkpoint that it took in, and one that another has all
of counts no more. Only records since the newest put matter: what is put after a merge has an id
that is greater than all that was merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from perdure.adapters.langgraph.places import is_put
from perdure.types import Checkpoint

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Standing(msgspec.Struct, frozen=True):
    """Where a branch stands, or stood at a record."""

    id: str = ""
    """The checkpoint that it is at; empty: at none."""
    newest: tuple[str, ...] = ()
    """Ids of its newest records, back to the first that is more than writes of tasks."""
    moved: datetime = _NEVER
    """When that one was saved."""
    merged: tuple[str, ...] = ()
    """Ids of the records that it took in by merges since the checkpoint was put."""


def standing(records: Iterable[tuple[Checkpoint, str | None]]) -> Standing:
    """Where a branch stands, by its records, newest first; no more are read than it takes.

    Args:
        records: each with the id of the checkpoint that it says it is of.
    """
    at, moved = "", None
    newest, merged = list[str](), list[str]()
    for each, id_ in records:
        at = at or id_ or ""
        if moved is None:
            newest.append(each.id)
            if id_ is None or each.merged is not None or is_put(each):
                moved = each.time
        if each.merged is not None:
            merged.append(each.merged)
        elif is_put(each):
            break
    return Standing(at, tuple(newest), moved or _NEVER, tuple(merged))


def goes_on(branches: Mapping[str, Standing], stood: Callable[[str], Standing]) -> str:
    """The branch that the thread goes on from.

    Args:
        branches: where each stands; at least one.
        stood: where the branch of a record stood at that.

    Example:
        >>> main, fork = Standing("1", ("b", "a"), merged=("c",)), Standing("2", ("c",))
        >>> goes_on({"main": main, "fork-2": fork}, {"c": fork}.__getitem__)
        'main'
    """
    if not any(each.merged for each in branches.values()):
        return max(branches, key=lambda name: branches[name].id)
    has = _merges(branches, stood)
    taken = {other for name in branches for other in _among(branches, has, name)}

    def order(name: str) -> tuple[bool, str, datetime]:
        newest = max([branches[name].id, *(each.id for each in has[name].values())])
        return name not in taken, newest, branches[name].moved

    return max(branches, key=order)


def taken_in(
    branches: Mapping[str, Standing], stood: Callable[[str], Standing], name: str
) -> list[str]:
    """The branches of which one has all by merges; for the arguments see `goes_on`."""
    return _among(branches, _merges(branches, stood), name)


def _among(
    branches: Mapping[str, Standing], has: Mapping[str, Mapping[str, Standing]], name: str
) -> list[str]:
    others = [other for other in branches if other != name]
    return [other for other in others if any(id_ in has[name] for id_ in branches[other].newest)]


def _merges(
    branches: Mapping[str, Standing], stood: Callable[[str], Standing]
) -> dict[str, dict[str, Standing]]:
    """What each branch took in by merges since its newest put."""
    known = {id_: each for each in branches.values() for id_ in each.newest}

    def at(id_: str) -> Standing:
        return known.get(id_) or stood(id_)

    return {name: _taken_in(each, at) for name, each in branches.items()}


def _taken_in(at: Standing, stood: Callable[[str], Standing]) -> dict[str, Standing]:
    """What merges took into a branch, by id of the record, whichever way it came."""
    found: dict[str, Standing] = {}
    left = list(at.merged)
    while left:
        id_ = left.pop()
        if id_ not in found:
            found[id_] = stood(id_)
            left += found[id_].merged
    return found
