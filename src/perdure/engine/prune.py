"""Pruning: which checkpoints a policy keeps, and the one commit by which all others go (P7).

Nothing is removed before that commit, and what is removed after it is garbage that the head and the
receipt tell: a kill at any moment costs space, and the next maintenance goes on. See
`docs/design/0017-retention.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.head import MAIN, Branch, Cut, Head, Journal, Snapshot, seal_head
from perdure.core.journal import Move, bare, written
from perdure.core.lineage import bases_at
from perdure.core.receipt import Islands, Left, Receipt
from perdure.core.record import ID_BYTES, Sealed
from perdure.core.retention import Retention
from perdure.engine.around import Around
from perdure.engine.branches import NOBODY, bases_of
from perdure.engine.collecting import collect_pages
from perdure.engine.pages import put
from perdure.engine.parked import all_branches, parked_again
from perdure.engine.read import Site, is_replaced, read_head
from perdure.engine.requests import (
    Commit,
    Committed,
    HeadRow,
    Moved,
    Now,
    Random,
    RecordRow,
    Steps,
)
from perdure.engine.retain import Retained, Spot, Stay, retained
from perdure.engine.save import TOKEN_BYTES, secured, send, tail_of
from perdure.engine.snapshots import SECRET_BYTES, tree_at
from perdure.engine.sweeping import freed_by, sweep
from perdure.engine.twins import put_twins
from perdure.errors import Busy, Damaged
from perdure.types import Pruned, PrunedBranch


def prune(site: Site, policy: Retention, *, dry_run: bool) -> Steps[Pruned]:
    """Remove the checkpoints of a state that a policy does not keep, or tell which they are.

    Raises:
        StateNotFound: there is none.
        Damaged: a record cannot be read; nothing was removed.
        Busy: branches were moved, or the state maintained, again and again meanwhile.
    """
    site = site.stored()
    for _ in range(limits.commit_tries_max):
        head = yield from read_head(site)
        try:
            told = yield from _pruned(site, head, policy, dry_run)
        except Damaged:
            if not (yield from is_replaced(site, head)):
                raise
            continue
        if told is not None:
            if not dry_run:
                yield from finish(site)
            return told
    raise Busy(f"{site.key!r}: its branches were moved again and again; nothing was pruned")


def finish(site: Site) -> Steps[None]:
    """Remove the rows and pages that nothing needs since the newest pruning."""
    is_swept = False
    for _ in range(limits.commit_tries_max):
        head = yield from read_head(site)
        try:
            if is_swept:
                yield from collect_pages(site, head, Around())
                return
            is_swept = yield from sweep(site, head)
        except Damaged:
            if not (yield from is_replaced(site, head)):
                raise


def _pruned(site: Site, head: Head, policy: Retention, dry_run: bool) -> Steps[Pruned | None]:
    """What went by one plan, or would; None: the state went on in another way."""
    now = yield Now()
    plan = yield from retained(site, head, policy, now)
    told = yield from _told(site, head, plan, dry_run)
    if dry_run or not (plan.removed or plan.final):
        return told
    new = yield from _cut_off(site, head, plan, now)
    return replace(told, receipt=_journal(new).receipt) if new is not None else None


def _told(site: Site, head: Head, plan: Retained, dry_run: bool) -> Steps[Pruned]:
    """What a plan comes to, as users see it."""
    branches: list[PrunedBranch] = []
    on_branches: set[Spot] = set()
    for at, owner in enumerate(plan.owners):
        if owner.entry:
            continue
        every = {spot for spots in owner.spots() for spot in spots}
        on_branches |= every
        runs = tuple((stay.first[1], stay.last[1]) for stay in reversed(plan.stays[at]))
        kept = sum(last - first + 1 for first, last in runs)
        branches.append(PrunedBranch(owner.name, kept, len(every) - kept, runs))
    removed = sum(run.last - run.first + 1 for run in plan.removed)
    left = sum(
        (run.line, number) not in on_branches
        for run in plan.removed
        for number in range(run.first, run.last + 1)
    )
    size = (yield from freed_by(head, plan.removed)) if plan.removed else 0
    return Pruned(site.key, tuple(branches), removed, left, size, final=plan.final, dry_run=dry_run)


class _Kept(msgspec.Struct, frozen=True):
    """What a head is to say after a pruning."""

    branches: dict[str, Branch]
    receipt: Receipt
    lines: int
    secret: bytes
    bases: tuple[Snapshot, ...]


def _cut_off(site: Site, head: Head, plan: Retained, now_us: int) -> Steps[Head | None]:
    """Put what stands in for what goes, and commit; None: the state went on in another way."""
    secret = head.secret or (yield Random(SECRET_BYTES))
    kept = yield from _kept(site, replace(head, secret=secret), plan)
    yield from put_twins(site, head, [each.root for each in kept.bases])
    there = (yield from all_branches(site, head)).keys() - head.branches.keys()
    parked = {name: kept.branches[name] for name in there if kept.branches[name].cut is not None}
    root = head.parked
    if parked:
        root = yield from parked_again(site, replace(head, secret=secret), parked)
    id_ = yield Random(ID_BYTES + chain.SALT_BYTES)
    move = Move("prune", MAIN, receipt=kept.receipt)

    def after(now: Head) -> tuple[Sealed, Head]:
        branches = {name: _advanced(tip, kept.branches[name]) for name, tip in now.branches.items()}
        new = replace(now, branches=branches, parked=root, lines=kept.lines, secret=secret)
        new = replace(new, generation=now.generation + 1)
        return written(
            new,
            move,
            store=site.store,
            id_=id_[:ID_BYTES],
            salt=id_[ID_BYTES:],
            session=NOBODY,
            time_us=now_us,
        )

    now = head
    for _ in range(limits.commit_tries_max):
        sealed, new = after(now)
        new = replace(new, token=(yield Random(TOKEN_BYTES)))
        row = HeadRow(new.token, seal_head(new, store=site.store, key=site.key))
        record = RecordRow(sealed.line, sealed.number, sealed.blob)
        answer = yield from send(Commit(site.key, now.token, row, tail_of(new), (record,)))
        if isinstance(answer, Committed):
            return new
        assert isinstance(answer, Moved)
        current = site.head(answer.head) if answer.head is not None else None
        if current is None:
            return None
        if _journal(current).record == sealed.id:  # it had landed; the answer was lost
            return (yield from secured(site, current))
        if not _only_saved(current, head):
            return None
        now = current
    return None


def _journal(head: Head) -> Journal:
    return head.journal or Journal(0, b"", b"", 0)


def _only_saved(current: Head, made_from: Head) -> bool:
    """Whether nothing happened since but saves: what a plan was made from is still so."""
    return (
        current.incarnation == made_from.incarnation
        and current.deleted_us is None
        and current.fence == made_from.fence
        and current.generation == made_from.generation
        and current.parked == made_from.parked
        and _journal(current).number == _journal(made_from).number
    )


def _advanced(tip: Branch, planned: Branch) -> Branch:
    """A branch cut off as was planned, wherever saves have brought it since."""
    return replace(tip, cut=planned.cut, snapshots=planned.snapshots)


def _kept(site: Site, head: Head, plan: Retained) -> Steps[_Kept]:
    """The branches and runs that stay, each with what stands in for what went before it."""
    trees = yield from _trees(site, head, plan)
    lines = head.lines
    branches: dict[str, Branch] = {}
    left: list[Left] = []
    islands: dict[bytes, tuple[Branch, ...]] = {}
    made: dict[tuple[Spot, Spot], Branch] = {}
    for at, owner in enumerate(plan.owners):
        runs: list[Branch] = []
        for stay in plan.stays[at]:
            key = stay.last, stay.first
            if not runs:  # the branch itself
                run = _cut(stay.of, stay, plan, trees)
            elif key in made:
                run = made[key]
            else:
                run = made[key] = yield from _island(site, head, stay, plan, trees, lines)
                lines += 1
            runs.append(run)
        if owner.entry:
            standing = bare(runs[0])
            assert standing is not None
            left.append(Left(owner.entry, standing))
        else:
            branches[owner.name] = runs[0]
        if runs[0].cut is not None and len(runs) > 1:
            islands.setdefault(runs[0].cut.hash, tuple(runs[1:]))
    told = tuple(Islands(cut, tips) for cut, tips in islands.items())
    removed = tuple((run.line, run.first, run.last) for run in plan.removed)
    bases = dict.fromkeys(trees.values())
    return _Kept(branches, Receipt(told, tuple(left), removed), lines, head.secret, tuple(bases))


def _cut_of(stay: Stay, plan: Retained) -> Cut | None:
    """Where a run is cut off; None: it begins with checkpoint 1."""
    number = stay.first[1]
    if number == stay.of.first:
        return stay.of.cut
    return Cut(number - 1, plan.known[stay.first].parent)


def _cut(tip: Branch, stay: Stay, plan: Retained, trees: Mapping[bytes, Snapshot]) -> Branch:
    """A run with what stands in for what went before it, and its own snapshots."""
    cut = _cut_of(stay, plan)
    if cut is None:
        return tip
    last = stay.last[1]
    own = tuple(each for each in tip.snapshots or () if stay.first[1] <= each.number <= last)
    return replace(tip, cut=cut, snapshots=(*own, trees[cut.hash]))


def _island(
    site: Site,
    head: Head,
    stay: Stay,
    plan: Retained,
    trees: Mapping[bytes, Snapshot],
    line: int,
) -> Steps[Branch]:
    """A run below a cut: as a branch that stands on its newest checkpoint, on a line of its own."""
    number, known = stay.last[1], plan.known[stay.last]
    bases = bases_at(stay.of, number)
    if bases is None:
        bases = yield from bases_of(site, head, stay.of, number)
    tip = Branch(line, number, known.id, known.hash, known.time_us, None, bases, stay.of.cut)
    found = bare(_cut(tip, stay, plan, trees))
    assert found is not None
    return found


def _trees(site: Site, head: Head, plan: Retained) -> Steps[dict[bytes, Snapshot]]:
    """What stands in for what goes below each run, by the hash of its cut; put, but for twins."""
    found: dict[bytes, Snapshot] = {}
    newest: dict[Spot, Snapshot] = {}
    stays = [stay for some in plan.stays for stay in some]
    # From the oldest up: each is made from the one before it, and each record is read once.
    for stay in sorted(stays, key=lambda stay: stay.first[1]):
        cut, old = _cut_of(stay, plan), stay.of
        if cut is None:
            continue
        at = old.line, old.number
        if cut.hash not in found:
            made = old.base_tree if cut == old.cut else None
            if made is None:
                snapshots = [*(old.snapshots or ()), *filter(None, [newest.get(at)])]
                snapshots.sort(key=lambda each: each.number, reverse=True)
                tip = replace(old, snapshots=tuple(snapshots))
                built = yield from tree_at(site, head, tip, cut.number, head.secret)
                yield from put(site, head.incarnation, built.pages)
                made = Snapshot(cut.number, built.root)
            found[cut.hash] = made
        newest[at] = found[cut.hash]
    return found
