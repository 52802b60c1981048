"""Merging one branch into another: what both did since they parted, as one more checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perdure import limits
from perdure.core import chain
from perdure.core.changes import Change, copies, pack_changes, sections_of
from perdure.core.head import Branch, Head
from perdure.core.lineage import bases_at, is_empty
from perdure.core.merge import merge
from perdure.core.merge_rules import Rules
from perdure.core.record import BASE, ID_BYTES, LABEL, MERGED, Draft, Sealed, changes_of, seal_draft
from perdure.core.versions import are_apart, came_apart
from perdure.engine.ancestors import newest_ancestor
from perdure.engine.bodies import too_much
from perdure.engine.branches import common_number
from perdure.engine.compare import compare_changed
from perdure.engine.leases import freed
from perdure.engine.merge_base import MergeBase
from perdure.engine.merge_sides import Side, did_since
from perdure.engine.moving import NOBODY
from perdure.engine.parked import find_branch
from perdure.engine.past import holding
from perdure.engine.read import Site, read_head, read_run
from perdure.engine.refs import Point, as_branch
from perdure.engine.requests import Now, Random, Steps
from perdure.engine.save import HeadMoved, Position, append
from perdure.engine.view import checkpoint_of_save
from perdure.errors import Busy, CheckpointPruned, MergeConflicts, SchemaChanged, UsageError
from perdure.types import Merge, Strategy


class _Parted(msgspec.Struct, frozen=True):
    """Where two branches were one, and what each did since."""

    tip: Branch
    """The branch on which that checkpoint is."""
    number: int
    ours: Sequence[Change]
    theirs: Sequence[Change]


def merge_branch(
    site: Site,
    source: str,
    into: str,
    strategies: Mapping[str, Strategy],
    label: str | None,
    *,
    dry_run: bool,
) -> Steps[Merge | None]:
    """Merge a branch into another; None: it did nothing that the other has not taken in.

    A merge that changes nothing, since a strategy was for ours or both did the same, is recorded
    as well: else what was decided would come up again with the next one.

    Raises:
        UsageError: there is no such strategy, whether it would be needed or not.
        MergeConflicts: both changed the same places, and no strategy says which is right.
        SchemaChanged: the branches are in different versions of a schema, or came to one by
            different ways.
        Busy: the branch is held exclusively, or others saved to it again and again.
        NotStorable: what the branch did since is more than one checkpoint can hold.
    """
    if source == into:
        raise UsageError(f"a branch cannot be merged into itself: {into!r}")
    Rules(strategies)  # refuses what is no strategy
    for _ in range(limits.commit_tries_max):
        head = yield from read_head(site)
        ours = yield from find_branch(site, head, into)
        theirs = yield from find_branch(site, head, source)
        head = as_branch(head, into, ours)
        parted = yield from _parted(site, head, ours, theirs)
        if parted is None or not parted.theirs:
            return None
        if parted.ours and are_apart(parted.ours, parted.theirs):
            raise SchemaChanged(_apart(site, source, into))
        base = MergeBase(site, head, parted.tip, parted.number)
        if (yield from base.answering(came_apart(parted.ours, parted.theirs))):
            raise SchemaChanged(_by_other_ways(site, source, into))
        merged = yield from base.answering(merge(parted.ours, parted.theirs, strategies))
        told = Merge(site.key, source, into, parted.number, tuple(merged.changes), merged.conflicts)
        if dry_run:
            found = yield from compare_changed(site, head, ours, merged.changes)
            return msgspec.structs.replace(told, dry_run=True, differences=tuple(found))
        if merged.conflicts:
            raise MergeConflicts(_conflicting(site, told), conflicts=merged.conflicts)
        try:
            return (yield from _saved(site, head, ours, theirs, told, label))
        except HeadMoved:
            continue  # others saved meanwhile: what they did is merged too
    raise Busy(f"{site.key!r}: others saved to {into!r} again and again; nothing was merged")


def _apart(site: Site, source: str, into: str) -> str:
    return (
        f"{source!r} cannot be merged into {into!r} of {site.key!r}: they are in different "
        "versions of a schema. Open the older one with the newer code, save, and merge then: "
        f"store.open({site.key!r}, branch=…, schema=…)"
    )


def _by_other_ways(site: Site, source: str, into: str) -> str:
    return (
        f"{source!r} cannot be merged into {into!r} of {site.key!r}: they came to one version of a "
        "schema by different migrations, and what each of these keeps for older code the other "
        "does not know. Roll one of them back to before its migration, and migrate it with the "
        f"code that migrated the other: store.rollback({site.key!r}, to=…, branch=…)"
    )


def _conflicting(site: Site, told: Merge) -> str:
    count = len(told.conflicts)
    places = "; ".join(each.summary() for each in told.conflicts[:3])
    return (
        f"{told.source!r} cannot be merged into {told.into!r} of {site.key!r} as it is: both "
        f"changed {count} place{'s'[: count != 1]} ({places}{'; …' if count > 3 else ''}). Nothing "
        "was changed. Say by strategies={path: …} which side is right, or edit one of them first"
    )


# ---- where they parted ----------------------------------------------------------------------


def _parted(site: Site, head: Head, ours: Branch, theirs: Branch) -> Steps[_Parted | None]:
    """Where two branches were one, merges between them included; None: `theirs` has nothing new."""
    common = yield from common_number(site, head, ours, theirs)
    mine = yield from read_run(site, head, ours, max(common + 1, ours.first), ours.number)
    others = yield from read_run(site, head, theirs, max(common + 1, theirs.first), theirs.number)
    sides = (ours, mine), (theirs, others)
    newest = yield from newest_ancestor(site, head, common, sides)
    if theirs.number in (common, newest[1] if newest and newest[0] is theirs else common):
        return None
    if newest is None and common + 1 >= max(ours.first, theirs.first):
        return _Parted(ours, common, changes_of(mine), changes_of(others))
    tip, number = newest or (ours, common)
    if 0 < number < tip.first:
        tip = yield from _holding(site, head, tip, number)
    left, right, base = Side(ours, mine), Side(theirs, others), Point("", tip, number)
    did = yield from did_since(site, head, base, common, left, right)
    return _Parted(tip, number, did, (yield from did_since(site, head, base, common, right, left)))


def _holding(site: Site, head: Head, tip: Branch, number: int) -> Steps[Branch]:
    """The run that has the checkpoint from which both went on."""
    try:
        return (yield from holding(site, head, "either", tip, number))
    except CheckpointPruned as error:
        raise CheckpointPruned(
            f"the branches were one at {number}, without which they cannot be merged: {error}"
        ) from error


# ---- saving ---------------------------------------------------------------------------------


def _saved(
    site: Site, head: Head, ours: Branch, theirs: Branch, told: Merge, label: str | None
) -> Steps[Merge]:
    """Append what was merged as one checkpoint, which names the one that it took in."""
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES)
    now = yield Now()
    bases = bases_at(theirs, theirs.number)
    line = bases[0].line if bases is not None else theirs.line
    extra: dict[str, Any] = {MERGED: [line, theirs.number, theirs.record]}
    if label is not None:
        extra[LABEL] = label
    if ours.bases and is_empty(ours):
        extra[BASE] = [ours.bases[0].line, ours.bases[0].number]
    packed = pack_changes(copies(told.changes))
    if len(packed) > limits.save_bytes_max:
        raise too_much(len(packed), told.changes)
    draft = Draft(drawn[:ID_BYTES], max(now, ours.time_us), NOBODY, packed, drawn[ID_BYTES:], extra)
    sealed: Sealed = seal_draft(
        draft,
        store=site.store,
        incarnation=head.incarnation,
        line=ours.line,
        number=ours.number + 1,
        parent=ours.hash,
    )
    free = yield from freed(site, head, told.into, NOBODY)
    position = Position(free, head.token)
    yield from append(site, position, told.into, sealed, lambda each: each, "power")
    names = sections_of(told.changes)
    checkpoint = checkpoint_of_save(site.key, told.into, sealed, NOBODY, names, extra)
    return msgspec.structs.replace(told, checkpoint=checkpoint)
