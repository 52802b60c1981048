"""What each side of a merge did since the checkpoint from which both went on.

Its cost follows what was done. It is told by the records since, where that checkpoint is in the
branch's own history. If it came by a merge, what both branches did since they were forked tells it;
and where that is much, or pruned, the trees of both points are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from perdure import limits
from perdure.core.catch_up import CatchUp, catch_up
from perdure.core.changes import Change
from perdure.core.diff import Difference, to_changes
from perdure.core.diff_changes import changes_told
from perdure.core.head import Branch, Head
from perdure.core.record import Record, changes_of
from perdure.engine.compare import compare_points
from perdure.engine.load import state_at
from perdure.engine.merge_base import MergeBase
from perdure.engine.read import Site, read_run, spans
from perdure.engine.refs import Point
from perdure.engine.requests import Steps


class Side(msgspec.Struct, frozen=True):
    """A branch that is merged, or merged into."""

    tip: Branch
    records: Sequence[Record]
    """Those since the newest checkpoint that both have in their histories, as far as kept."""


def did_since(
    site: Site, head: Head, base: Point, common: int, side: Side, other: Side
) -> Steps[Sequence[Change]]:
    """What leads from a checkpoint to where a branch stands, but for the order of keys.

    Args:
        site: where the state is.
        head: its head.
        base: the checkpoint; its number 0: before the first.
        common: number of the newest one that the histories of both branches have.
        side: the branch.
        other: the other one.
    """
    if (yield from _went_on(site, head, base, side.tip)):
        first = base.number + 1
        return changes_of((yield from read_run(site, head, side.tip, first, side.tip.number)))
    is_kept = max(side.tip.first, other.tip.first) <= max(common, 1)
    is_little = len(side.records) + len(other.records) <= limits.merge_records_max
    if is_kept and is_little and (yield from _went_on(site, head, base, other.tip)):
        here = changes_of(each for each in other.records if each.number <= base.number)
        known = MergeBase(site, head, side.tip, common)
        found: CatchUp = yield from known.answering(catch_up(here, changes_of(side.records)))
        return found.changes
    return (yield from _compared(site, head, base, Point("", side.tip, side.tip.number)))


def _went_on(site: Site, head: Head, base: Point, tip: Branch) -> Steps[bool]:
    """Whether a checkpoint is in the history of a branch, as far as that is kept one by one."""
    if not base.number:
        return tip.first == 1
    where = yield from spans(site, head, base.tip, base.number, base.number)
    there = yield from spans(site, head, tip, base.number, base.number)
    return bool(where) and where == there


def _compared(site: Site, head: Head, base: Point, now: Point) -> Steps[list[Change]]:
    """What differs between two points, as changes."""
    if not base.number:
        whole, _ = yield from state_at(site, head, now.tip, now.number)
        return to_changes({}, whole)
    found: list[Difference] = yield from compare_points(site, head, base, now)
    # What moved is told without its value. It is rare, and then both are read.
    moved = {str(each.path[0]) for each in found if each.kind == "moved" and each.path}
    changes = changes_told(each for each in found if each.path and each.path[0] not in moved)
    if moved:
        before, _ = yield from state_at(site, head, base.tip, base.number, moved.__contains__)
        after, _ = yield from state_at(site, head, now.tip, now.number, moved.__contains__)
        for name in sorted(moved):  # one by one, as their own order is not looked at
            changes += to_changes(_only(name, before), _only(name, after))
    return changes


def _only(name: str, sections: dict[str, Any]) -> dict[str, Any]:
    return {name: sections[name]} if name in sections else {}
