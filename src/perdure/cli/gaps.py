"""Where checkpoints were pruned, for the listings of `perdure log`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from perdure.core.abbreviate import count

if TYPE_CHECKING:
    from perdure.store import Store
    from perdure.types import Checkpoint


def told(pruned: int) -> str:
    """What stands between two checkpoints where so many were pruned."""
    return f"… {count(pruned, 'checkpoint')} pruned …"


def along(page: Sequence[Checkpoint], *, whole: bool) -> dict[str, int]:
    """By hash of the one above it, how many checkpoints of one branch each gap has.

    Args:
        page: neighbours among those that are kept, newest first.
        whole: nothing older is kept.
    """
    gaps = {newer.hash: newer.number - older.number - 1 for newer, older in pairwise(page)}
    if page and whole:
        gaps[page[-1].hash] = page[-1].number - 1
    return {hash_: pruned for hash_, pruned in gaps.items() if pruned}


def kept_before(
    store: Store, key: str, every: Sequence[Checkpoint]
) -> dict[str, Checkpoint | None]:
    """By hash of each checkpoint whose parent was pruned, the newest kept before it; None: none.

    Args:
        store: where the state is.
        key: the state's key.
        every: all its checkpoints, of all branches and what they left.
    """
    known = {each.hash for each in every}
    orphans = [each for each in every if each.parent is not None and each.parent not in known]
    found: dict[str, Checkpoint | None] = {}
    branches = {info.name for info in store.branches(key)} if orphans else set[str]()
    # A branch is read once for all its gaps; what no branch has any more is asked for by its id.
    for name in {each.branch for each in orphans} & branches:
        chain = store.history(key, branch=name)
        found.update((newer.hash, older) for newer, older in pairwise(chain))
        found[chain[-1].hash] = None
    for each in orphans:
        if each.hash not in found:
            older = store.history(key, before=each.id, limit=1)
            found[each.hash] = older[0] if older else None
    return {each.hash: found[each.hash] for each in orphans}


def between(every: Sequence[Checkpoint], before: Mapping[str, Checkpoint | None]) -> dict[str, int]:
    """By hash of the one above it, how many checkpoints each gap has."""
    older = {hash_: each.number if each is not None else 0 for hash_, each in before.items()}
    return {each.hash: each.number - older[each.hash] - 1 for each in every if each.hash in older}


def bridged(
    every: Sequence[Checkpoint], before: Mapping[str, Checkpoint | None]
) -> list[Checkpoint]:
    """The checkpoints as if each had come from the newest that is kept before it."""
    from msgspec.structs import replace

    return [
        replace(each, parent=older.hash if (older := before[each.hash]) is not None else None)
        if each.hash in before
        else each
        for each in every
    ]
