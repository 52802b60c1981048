"""The receipt of a pruning: what is kept of a state's history below where branches were cut off.

Each pruning writes all of it anew, as part of its movement in the journal: so the newest tells all
that there is. See `docs/design/0017-retention.md`.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from perdure.core.head import Branch, Hash


class Islands(msgspec.Struct, frozen=True, array_like=True):
    """What is kept below one cut."""

    cut: Hash
    """The chain's hash there: whatever stands above it has the same past."""
    tips: tuple[Branch, ...]
    """Runs of checkpoints, newest first, each as a branch that stands on the newest of them."""


class Left(msgspec.Struct, frozen=True, array_like=True):
    """What a branch left, as far as it is kept."""

    entry: int
    """The movement, by its number in the journal."""
    tip: Branch
    """Where the branch stood."""


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """What a pruning kept and removed."""

    islands: tuple[Islands, ...] = ()
    left: tuple[Left, ...] = ()
    """Of the movements before it that can be taken back, oldest first: where the branch stood."""
    removed: tuple[tuple[int, int, int], ...] = ()
    """The records that went with it: line, first and last number."""


def kept_of(receipt: Receipt, entry: int) -> Branch | None:
    """Where a branch stood before a movement, by its number; None: that is not kept."""
    at = bisect_left(receipt.left, entry, key=lambda each: each.entry)
    found = receipt.left[at] if at < len(receipt.left) else None
    return found.tip if found is not None and found.entry == entry else None


def islands_below(receipt: Receipt, tip: Branch) -> tuple[Branch, ...]:
    """The runs that are kept below where a branch, or a run, was cut off; newest first."""
    if tip.cut is None:
        return ()
    for each in receipt.islands:
        if each.cut == tip.cut.hash:
            return each.tips
        for at, island in enumerate(each.tips, 1):
            if island.cut is not None and island.cut.hash == tip.cut.hash:
                return each.tips[at:]
    return ()
