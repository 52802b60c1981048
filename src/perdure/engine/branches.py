"""Moving branches: fork, rollback, promote, rename, delete, and taking any of it back (P7, P11).

A movement is one commit of a record of the journal and the head that it leads to. No record of a
checkpoint is touched, whatever is moved. See `docs/design/0012-branches.md`.
"""

from __future__ import annotations

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Base, Branch, Head, Snapshot, renamed
from perdure.core.journal import Entry, Move, bare
from perdure.core.lineage import bases_at, moved_to, shared_number, snapshots_to
from perdure.core.refs import check_branch
from perdure.engine.journal import left_of, read_entry, read_receipt
from perdure.engine.moving import Plan, Planned
from perdure.engine.parked import (
    find_branch,
    find_parked,
    parked_away,
    without,
)
from perdure.engine.past import every_run
from perdure.engine.read import (
    Site,
    read_line,
    spans,
)
from perdure.engine.refs import Point, find, find_point
from perdure.engine.requests import (
    Run,
    Steps,
)
from perdure.engine.unfit import pruned_below
from perdure.errors import (
    BranchExists,
    CheckpointPruned,
    NotAncestor,
    UsageError,
)

# ---- movements ------------------------------------------------------------------------------


def forking(site: Site, name: str, at: object, branch: str) -> Plan:
    """A new branch that stands on a checkpoint."""
    check_branch(name)

    def plan(head: Head) -> Steps[Planned]:
        if (yield from exists(site, head, name)):
            raise BranchExists(f"{site.key!r} has a branch {name!r} already; nothing was changed")
        new = yield from standing(site, head, (yield from find_point(site, head, branch, at)))
        return placed(head, Move("fork", name, None, new))

    return plan


def forking_from(site: Site, name: str, old: str, tip: Branch) -> Plan:
    """A new branch that stands where another one stood, wherever that is now.

    Should there be a branch of this name, a number is added to it.
    """

    def plan(head: Head) -> Steps[Planned]:
        free, count = name, 1
        while (yield from exists(site, head, free)):
            count += 1
            free = f"{name}-{count}"
        left = yield from _still_kept(site, head, tip)
        new = yield from standing(site, head, Point(old, left, tip.number))
        return placed(head, Move("fork", free, None, new))

    return plan


def rolling_back(site: Site, to: object, branch: str) -> Plan:
    """A branch that stands on another checkpoint than it does."""

    def plan(head: Head) -> Steps[Planned | None]:
        old = yield from find_branch(site, head, branch)
        point = yield from find(site, head, branch, to)
        new = yield from standing(site, head, point)
        if new.record == old.record:
            return None
        return placed(head, Move("rollback", branch, old, new))

    return plan


def promoting(site: Site, branch: str, into: str) -> Plan:
    """A branch that stands where another does which went on from it, or took all of it in."""
    from perdure.engine.ancestors import took_in  # few promote

    def plan(head: Head) -> Steps[Planned | None]:
        old = yield from find_branch(site, head, into)
        source = yield from find_branch(site, head, branch)
        if source.record == old.record:
            return None
        common = yield from common_number(site, head, old, source)
        lacks = old.number - common
        if lacks and not (yield from took_in(site, head, source, common, old)):
            raise NotAncestor(
                f"{into!r} has {lacks} checkpoint(s) that {branch!r} lacks, so it cannot simply "
                f"go on there; merge {branch!r} into it, or roll it back first. Nothing was changed"
            )
        new = yield from standing(site, head, Point(branch, source, source.number))
        return placed(head, Move("promote", into, old, new, source=branch))

    return plan


def renaming(site: Site, branch: str, name: str) -> Plan:
    """A branch under another name."""
    check_branch(name)
    _refuse_main(branch, "renamed")

    def plan(head: Head) -> Steps[Planned | None]:
        old = yield from find_branch(site, head, branch)
        if name == branch:
            return None
        if (yield from exists(site, head, name)):
            raise BranchExists(f"{site.key!r} has a branch {name!r} already; nothing was changed")
        move = Move("rename", branch, old, old, name=name)
        return (yield from _renamed(site, head, move))

    return plan


def deleting(site: Site, branch: str) -> Plan:
    """No such branch any more."""
    _refuse_main(branch, "deleted")

    def plan(head: Head) -> Steps[Planned]:
        old = yield from find_branch(site, head, branch)
        return (yield from _removed(site, head, Move("delete", branch, old, None)))

    return plan


def undoing(site: Site) -> Plan:
    """The newest movement that was not taken back is taken back."""

    def plan(head: Head) -> Steps[Planned]:
        number = head.journal.undo if head.journal is not None else 0
        if not number:
            raise _nothing_to_undo(site.key, head)
        return (yield from _taken_back(site, head, number, "undo"))

    return plan


def _nothing_to_undo(key: str, head: Head) -> UsageError:
    if head.journal is not None and head.journal.redo:
        return UsageError(
            f"every movement of the branches of {key!r} was taken back: there is nothing left to "
            "undo; redo brings back what was undone last"
        )
    return UsageError(f"there is nothing to undo on {key!r}: no movement of a branch stands")


def redoing(site: Site) -> Plan:
    """The newest undo is taken back, if no branch was moved since."""

    def plan(head: Head) -> Steps[Planned]:
        number = head.journal.redo if head.journal is not None else 0
        if not number:
            raise UsageError(f"nothing was undone last on {site.key!r}: there is nothing to redo")
        return (yield from _taken_back(site, head, number, "redo"))

    return plan


def _taken_back(site: Site, head: Head, number: int, what: str) -> Steps[Planned]:
    entry = yield from read_entry(site, head, number)
    if entry.move.before is not None and entry.move.name is None:
        left = left_of(head, entry, (yield from read_receipt(site, head)))
        if left is None:
            raise CheckpointPruned(
                f"what {entry.move.branch!r} of {site.key!r} left when movement {number} was made "
                "was pruned: that cannot be taken back any more"
            )
        entry = replace(entry, move=replace(entry.move, before=left))
    planned = yield from _inverse(site, head, entry, what)
    return replace(planned, taken=entry.move)


def _inverse(site: Site, head: Head, entry: Entry, what: str) -> Steps[Planned]:
    """The movement that takes another one back."""
    move = Move(what, entry.move.branch, taken=entry.number)  # type: ignore[arg-type]  # "undo" or "redo"
    if entry.move.name is not None:
        tip = yield from find_branch(site, head, entry.move.name)
        move = replace(move, branch=entry.move.name, before=tip, after=tip, name=entry.move.branch)
        return (yield from _renamed(site, head, move))
    name = move.branch
    is_there = yield from exists(site, head, name)
    old = (yield from find_branch(site, head, name)) if is_there else None
    if entry.move.before is None:
        if old is None:
            raise UsageError(f"the branch {name!r} is not there any more: it was moved since")
        return (yield from _removed(site, head, replace(move, before=old)))
    if entry.move.after is None and old is not None:
        raise BranchExists(f"{site.key!r} has a branch {name!r} again; rename it first")
    left = _with_shared(head, entry.move.before)
    new = yield from standing(site, head, Point(name, left, left.number))
    return placed(head, replace(move, before=old, after=new))


def _still_kept(site: Site, head: Head, tip: Branch) -> Steps[Branch]:
    """What a session knows of a branch, as far as it was not pruned meanwhile."""
    if head.journal is None or not head.journal.receipt:
        return _with_shared(head, tip)
    for _, run in (yield from every_run(site, head)):
        if run.first <= tip.number <= run.number:
            there = yield from spans(site, head, run, tip.number, tip.number)
            if there[0].line == (bases_at(tip, tip.number) or (tip,))[0].line:
                return _with_shared(head, replace(tip, cut=run.cut, snapshots=run.snapshots))
    raise CheckpointPruned(
        f"checkpoint {tip.number} of {site.key!r}, which this goes on from, was pruned meanwhile"
    )


def _with_shared(head: Head, tip: Branch) -> Branch:
    """A branch that was left, with the snapshots that others keep of it."""
    base = bare(tip)
    assert base is not None
    shared = _shared_snapshots(head, tip) or ()
    above = tuple(each for each in shared if each.number >= tip.first)
    return replace(tip, snapshots=(*above, *(base.snapshots or ())) or None)


def _shared_snapshots(head: Head, tip: Branch) -> tuple[Snapshot, ...] | None:
    """Snapshots that branches keep of what they have in common with one that was left."""
    best: tuple[Snapshot, ...] | None = None
    for each in head.branches.values():
        if not each.snapshots or (best and each.snapshots[0].number <= best[0].number):
            continue  # as those of most branches are
        number = shared_number(each, tip)
        kept = snapshots_to(each, number) if number else None
        if kept and (best is None or kept[0].number > best[0].number):
            best = kept
    return best


# ---- what they are made of ------------------------------------------------------------------


def exists(site: Site, head: Head, name: str) -> Steps[bool]:
    """Whether a state has a branch of this name."""
    if name in head.branches:
        return True
    return (yield from find_parked(site, head, name)) is not None


def common_number(site: Site, head: Head, one: Branch, other: Branch) -> Steps[int]:
    """Number of the newest record that two branches have in common; 0: there is none."""
    number = shared_number(one, other)
    if number is not None:
        return number
    ends = {run.line: run.last for run in (yield from spans(site, head, one, 1, one.number))}
    for run in reversed((yield from spans(site, head, other, 1, other.number))):
        if run.line in ends:
            return min(run.last, ends[run.line])
    for tip in (one, other):
        if tip.cut is not None:
            raise pruned_below(site, tip)
    return 0


def standing(site: Site, head: Head, point: Point) -> Steps[Branch]:
    """A branch on a new line that stands on a checkpoint."""
    tip = point.tip
    bases = bases_at(tip, point.number)
    if bases is None:
        bases = yield from bases_of(site, head, tip, point.number)
    if point.number != tip.number:  # its line is known now, and need not be looked for again
        run = Run(bases[0].line, point.number, point.number)
        (record,) = yield from read_line(site, head, run)
        tip = point.then(record)
    tip = replace(tip, snapshots=snapshots_to(tip, point.number))
    return moved_to(head, tip, bases)


def bases_of(site: Site, head: Head, tip: Branch, number: int) -> Steps[tuple[Base, ...]]:
    """The bases of a new line on an old checkpoint, where the head does not have them all."""
    runs = yield from spans(site, head, tip, 1, number, limits.lineage_inline_max)
    return tuple(Base(run.line, run.last) for run in reversed(runs))


def placed(head: Head, move: Move) -> Planned:
    """The head in which the branch of a movement stands where it is to."""
    assert move.after is not None
    branches = {**head.branches, move.branch: move.after}
    return Planned(replace(head, branches=branches, lines=head.lines + 1), move)


def _removed(site: Site, head: Head, move: Move) -> Steps[Planned]:
    """The head without the branch of a movement."""
    root, secret = yield from without(site, head, move.branch)
    new = parked_away(head, root, secret, {move.branch})
    return Planned(new, move, puts_pages=root != head.parked)


def _renamed(site: Site, head: Head, move: Move) -> Steps[Planned]:
    """The head in which the branch of a movement has another name."""
    assert move.before is not None
    assert move.name is not None
    planned = yield from _removed(site, head, move)
    placed = replace(head, branches={**head.branches, move.branch: move.before})
    new = replace(renamed(placed, move.branch, move.name), parked=planned.head.parked)
    return replace(planned, head=replace(new, secret=planned.head.secret))


def _refuse_main(branch: str, how: str) -> None:
    if branch == MAIN:
        raise UsageError(f"{MAIN!r} cannot be {how}: it is what `open` gives when none is named")
