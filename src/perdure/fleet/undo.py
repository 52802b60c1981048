"""Taking a run back: each branch whose newest checkpoint is that run's migration of it."""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from msgspec.structs import replace

from perdure.core.head import Branch, Head
from perdure.core.record import METADATA, Record
from perdure.engine.branches import rolling_back
from perdure.engine.moving import Plan, Planned, move
from perdure.engine.parked import all_branches, find_branch
from perdure.engine.read import Site, read_head, read_run
from perdure.engine.refs import as_branch
from perdure.engine.requests import HeadRow, Steps
from perdure.errors import (
    BranchNotFound,
    CheckpointPruned,
    CommitUnknown,
    PerdureError,
    ReadOnlyStore,
    Retryable,
    StateNotFound,
    StorageFull,
    StoreClosed,
    UsageError,
)
from perdure.evolving import MIGRATED

CLOCK_DIGITS = 14
"""Of a run's id: when it began, in microseconds since 1970 UTC, as hex."""

RUN_BYTES = 4
"""Random bytes in a run's id."""

_RUN = re.compile(rf"([0-9a-f]{{{CLOCK_DIGITS}}})-[0-9a-f]{{{2 * RUN_BYTES}}}")

AT_ONCE = 64
"""Checkpoints that are looked through at once, from the newest back (checkpoints)."""


OF_THE_STORE = (StorageFull, CommitUnknown, ReadOnlyStore, StoreClosed)
"""What ends a run: it is nothing of the one state, and would meet all others, too."""


class Undone(msgspec.Struct, frozen=True):
    """What became of one branch of a state."""

    key: str
    branch: str
    fate: Literal["rolled back", "left", "busy", "failed"]
    problem: str = ""


def run_id(now_us: int, drawn: bytes) -> str:
    """The id of a run that begins now."""
    return f"{now_us:0{CLOCK_DIGITS}x}-{drawn.hex()}"


def began_us(run: str) -> int:
    """When a run began (microseconds since 1970 UTC).

    Raises:
        UsageError: this is no run's id.
    """
    found = _RUN.fullmatch(run)
    if found is None:  # one that was cut short would find nothing, as if all were rolled back
        raise UsageError(
            f"{run!r} names no run: the report of migrate has its id, and so has the metadata of "
            "each checkpoint that it made"
        )
    return int(found[1], 16)


def state(run: str, site: Site, row: HeadRow, *, dry_run: bool) -> Steps[list[Undone]]:
    """Roll back each branch of a state that nobody saved to since the run migrated it."""
    outcomes: list[Undone] = []
    try:
        head = site.head(row)
        if head.deleted_us is not None:
            return []
        names = yield from all_branches(site, head)
    except PerdureError as error:
        return [Undone(site.key, "", "failed", f"{error.kind}: {error}")]
    since = began_us(run)
    for name, tip in names.items():
        if tip.time_us < since:  # times only grow along a branch; a head's may be an earlier one
            continue
        try:
            found = yield from _branch(run, site, head, name, tip, dry_run)
        except OF_THE_STORE:
            raise
        except Retryable as error:
            found = Undone(site.key, name, "busy", f"{error.kind}: {error}")
        except PerdureError as error:
            found = Undone(site.key, name, "failed", f"{error.kind}: {error}")
        outcomes += [found] if found is not None else []
    return outcomes


def _branch(
    run: str, site: Site, head: Head, branch: str, tip: Branch, dry_run: bool
) -> Steps[Undone | None]:
    record = yield from _migration(run, site, as_branch(head, branch, tip), tip)
    if record is None:
        return None
    if record.id != tip.record:
        return Undone(site.key, branch, "left")
    plan = _rolling_back(site, branch, record)
    if dry_run:
        yield from plan(head)
        return Undone(site.key, branch, "rolled back")
    if (yield from move(site, plan)) is not None:
        return Undone(site.key, branch, "rolled back")
    is_left = yield from _has_migration(run, site, branch)
    return Undone(site.key, branch, "left") if is_left else None


def _has_migration(run: str, site: Site, branch: str) -> Steps[bool]:
    """Whether the run's migration is still there, after others moved the branch meanwhile.

    They saved to it; or took the run back themselves, deleted it: then there is nothing to tell.
    """
    try:
        head = yield from read_head(site)
        tip = yield from find_branch(site, head, branch)
    except (StateNotFound, BranchNotFound):
        return False
    return (yield from _migration(run, site, as_branch(head, branch, tip), tip)) is not None


def _migration(run: str, site: Site, head: Head, tip: Branch) -> Steps[Record | None]:
    """The checkpoint in which the run migrated a branch, if it is in its history."""
    last, since = tip.number, began_us(run)
    while last >= tip.first:
        first = max(tip.first, last - AT_ONCE + 1) if last < tip.number else last
        try:
            records = yield from read_run(site, head, tip, first, last)
        except CheckpointPruned:
            return None
        for record in reversed(records):
            if record.time_us < since:
                return None
            if run_of(record) == run:
                return record
        last = first - 1
    return None


def run_of(record: Record) -> str | None:
    """The run that made a checkpoint, if one did."""
    metadata = record.extra.get(METADATA)
    said = metadata.get(MIGRATED) if isinstance(metadata, dict) else None
    return said.get("run") if isinstance(said, dict) else None


def _rolling_back(site: Site, branch: str, record: Record) -> Plan:
    """To before a checkpoint, as long as that is the newest."""

    def plan(head: Head) -> Steps[Planned | None]:
        tip = yield from find_branch(site, head, branch)
        if tip.record != record.id:
            return None
        here = replace(head, branches={**head.branches, branch: tip})
        return (yield from rolling_back(site, record.number - 1, branch)(here))

    return plan
