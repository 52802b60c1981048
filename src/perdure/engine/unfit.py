"""What is told of records that are not there, or do not fit: where, and in which form (P5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perdure.core.head import Branch
from perdure.core.record import Record
from perdure.core.seal import Place, damaged
from perdure.errors import CheckpointPruned, Damaged

if TYPE_CHECKING:
    from perdure.engine.read import Site


def pruned_below(site: Site, tip: Branch) -> CheckpointPruned:
    """What is told of records that a branch does not have any more."""
    return CheckpointPruned(
        f"what {site.key!r} did up to checkpoint {tip.first - 1} was pruned: it is not there any "
        "more, one by one"
    )


def newer_than_head(site: Site, line: int, number: int) -> Damaged:
    """What is told of records that a state's head has not come to."""
    what = (
        f"records newer than the head of {site.key!r} exist, up to {number} on line {line}: an "
        "older head was put back in place of a newer one. Restore the store from a backup"
    )
    return damaged(site.store, what, "older", Place(site.store, site.key.encode()))


def missing(site: Site, line: int, number: int, *, is_end: bool = False) -> Damaged:
    """What is told of a record that should be there; `is_end`: and of all after it."""
    what = f"record {number} on line {line} of {site.key!r} is missing"
    if is_end:
        what += ", and with it the end of what was saved"
    place = f"record {number} on line {line} of {site.key!r}"
    return damaged(site.store, what, "truncated" if is_end else "missing", place)


def unlinked(site: Site, record: Record) -> Damaged:
    """What is told of a record that does not follow the one before it."""
    place = f"record {record.number} on line {record.line} of {site.key!r}"
    what = f"{place} is not the one that its chain names; it, or one before it, was replaced"
    return damaged(site.store, what, "replaced", place)
