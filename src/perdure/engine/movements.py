"""Branches and their movements as users see them, and what a movement would do before it does."""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from perdure.core.abbreviate import count
from perdure.core.head import Branch, Head
from perdure.core.journal import Entry, Move
from perdure.core.lineage import shared_number
from perdure.engine.branches import forking
from perdure.engine.compare import compare_points
from perdure.engine.journal import read_journal
from perdure.engine.leases import infos_of
from perdure.engine.marks import judge
from perdure.engine.moving import Done, Plan, move
from perdure.engine.parked import all_branches, find_branch
from perdure.engine.read import Site, as_of_now, read_head
from perdure.engine.refs import Point, find_point
from perdure.engine.requests import Now, ReadHead, Steps, Tell
from perdure.engine.view import when
from perdure.errors import BranchExists, BranchNotFound, CheckpointPruned, Damaged
from perdure.types import BranchInfo, EffectInfo, Movement, Tip


def branches(site: Site) -> Steps[list[BranchInfo]]:
    """Every branch of a state, `main` first."""

    def told(head: Head) -> Steps[list[BranchInfo]]:
        every = yield from all_branches(site, head)
        return [_info(site, name, tip) for name, tip in every.items()]

    return (yield from as_of_now(site, told))


def branch_info(site: Site, name: str) -> Steps[BranchInfo]:
    """One of them."""
    head = yield from read_head(site)
    return _info(site, name, (yield from find_branch(site, head, name)))


def movements(site: Site) -> Steps[list[Movement]]:
    """Everything that was done to branches, newest first."""
    head = yield from read_head(site)
    entries = yield from read_journal(site, head)
    return [_movement(site, entry) for entry in reversed(entries)]


def fork(site: Site, name: str, at: object, branch: str, *, exist_ok: bool) -> Steps[BranchInfo]:
    """Make a branch, and tell of it; if it may be there already, of the one that is there."""
    try:
        done = yield from move(site, forking(site, name, at, branch))
    except BranchExists:
        if not exist_ok:
            raise
        return (yield from branch_info(site, name))
    assert done is not None
    new = done.entry.move.after
    assert new is not None
    source = yield from _source(site, done.head, at, branch)
    effects = yield from _undone(site, done.now, source, new)
    return replace(_info(site, name, new), effects=effects)


def _source(site: Site, head: Head, at: object, branch: str) -> Steps[Branch | None]:
    """The branch that another was forked from; None: of what has effects, there is none."""
    if head.claims is UNSET and head.claimed is UNSET:
        return None
    point = yield from find_point(site, head, branch, at)
    try:
        return (yield from find_branch(site, head, point.branch))
    except BranchNotFound:
        return point.tip  # of what every branch left


def _undone(
    site: Site, head: Head, left: Branch | None, standing: Branch | None
) -> Steps[tuple[EffectInfo, ...]]:
    """The effects that are in the history of one and not in that of the other.

    The branch has moved by now: what cannot be read is told of, and is no failure of that.
    """
    if head.claims is UNSET and head.claimed is UNSET:
        return ()
    from perdure.engine.undone import told_undone  # few states have effects

    while True:
        try:
            return (yield from told_undone(site, head, left, standing))
        except (Damaged, CheckpointPruned) as error:
            now = yield from _replacing(site, head)
            if now is None:
                yield Tell(
                    f"{site.key!r}: the effects that a movement leaves cannot be told: {error}; "
                    f"look at all of them: perdure effects {site.key}"
                )
                return ()
            head = now


def _replacing(site: Site, head: Head) -> Steps[Head | None]:
    """The head of the same state by now, if what another leads to may have been replaced."""
    row = yield ReadHead(site.key)
    now = site.head(row) if row is not None else None
    if now is None or now.incarnation != head.incarnation or now.generation == head.generation:
        return None
    return now


def make(site: Site, plan: Plan, *, dry_run: bool = False) -> Steps[Movement | None]:
    """Make a movement, or tell what it would do; None: there is nothing to move."""
    done = yield from move(site, plan, dry_run=dry_run)
    if done is None:
        return None
    told = _movement(site, done.entry)
    if done.entry.move.what != "rename":
        before, after = done.entry.move.before, done.entry.move.after
        told = replace(told, effects=(yield from _undone(site, done.now, before, after)))
    return (yield from _previewed(site, done, told)) if dry_run else told


def _previewed(site: Site, done: Done, told: Movement) -> Steps[Movement]:
    """A movement that was not made, with all that it would change."""
    before, after = done.entry.move.before, done.entry.move.after
    if before is not None and after is not None:
        name = done.entry.move.branch
        points = Point(name, before, before.number), Point(name, after, after.number)
        differences = tuple((yield from compare_points(site, done.head, *points)))
    else:
        differences = ()
    warnings = (*_of_left(told), *(yield from _warnings(done.head, done.entry)))
    return replace(told, dry_run=True, differences=differences, warnings=warnings)


def _of_left(told: Movement) -> tuple[str, ...]:
    """What to know of a promotion that leaves checkpoints, which the other branch merged."""
    if told.what != "promote" or not told.left:
        return ()
    warning = (
        f"{told.other!r} took in {told.branch!r} by a merge, so {count(told.left, 'checkpoint')} "
        f"will be no more in the history of {told.branch!r}, only in that of every branch"
    )
    return (warning,)


def _warnings(head: Head, entry: Entry) -> Steps[tuple[str, ...]]:
    """What to know before a branch is moved."""
    if entry.move.before is None:
        return ()
    now, found = (yield Now()), list[str]()
    for lease in (yield from infos_of(head, now)):
        if lease.branch == entry.move.branch and lease.alive:
            found.append(
                f"process {lease.holder.pid} on {lease.holder.host} holds {lease.branch!r} "
                "exclusively: it cannot be moved before that ends"
            )
    for mark in head.marks:
        if mark.end is not None or mark.branch != entry.move.branch:
            continue
        if (yield from judge(mark, now)) == "maybe running":
            found.append(
                f"a session of process {mark.holder[1]} on {mark.holder[0]} may be at work on "
                f"{mark.branch!r}: its next save will be refused"
            )
    if entry.move.what != "rename":
        found.append(
            "what was done to the outside world since is not undone: files, messages, payments"
        )
    return tuple(found)


def _info(site: Site, name: str, tip: Branch) -> BranchInfo:
    base = tip.bases[0].number if tip.bases else None
    return BranchInfo(site.key, name, _tip(tip), base, tip.first)


def _tip(branch: Branch) -> Tip:
    return Tip(branch.number, branch.record.hex(), when(branch.time_us), branch.hash.hex())


def _movement(site: Site, entry: Entry) -> Movement:
    moved, before, after = entry.move, entry.move.before, entry.move.after
    shared: int | None = 0
    if before is not None and after is not None:
        shared = shared_number(before, after)
    return Movement(
        key=site.key,
        number=entry.number,
        what=moved.what,
        branch=moved.branch,
        time=when(entry.time_us),
        before=_tip(before) if before is not None else None,
        after=_tip(after) if after is not None else None,
        other=moved.name or moved.source,
        taken=moved.taken or None,
        left=None if before is None or shared is None else before.number - shared,
        gained=None if after is None or shared is None else after.number - shared,
        pruned=_pruned(moved),
        damage=None if moved.damage is UNSET else moved.damage,
        redacted=None if moved.redaction is UNSET else moved.redaction.checkpoints,
        reason=None if moved.redaction is UNSET else moved.redaction.reason,
    )


def _pruned(move: Move) -> int | None:
    """How many checkpoints went with a pruning."""
    if move.receipt is None:
        return None
    return sum(last - first + 1 for _, first, last in move.receipt.removed)
