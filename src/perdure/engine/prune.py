"""Pruning: which checkpoints a policy keeps, and the one commit by which all others go (P7).

Nothing is removed before that commit, and what is removed after it is garbage that the head and the
receipt tell: a kill at any moment costs space, and the next maintenance goes on. See
`docs/design/0017-retention.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.head import MAIN, Branch, Head, Snapshot, succeeding
from perdure.core.journal import Move, bare, written
from perdure.core.lineage import bases_at
from perdure.core.receipt import Islands, Left, Receipt
from perdure.core.record import ID_BYTES, Sealed
from perdure.core.retention import Retention
from perdure.engine.around import Around
from perdure.engine.base_trees import cut_of, put_base_trees
from perdure.engine.branches import bases_of
from perdure.engine.collecting import collect_pages
from perdure.engine.moving import NOBODY, commit_entry
from perdure.engine.parked import all_branches, parked_again
from perdure.engine.read import Site, as_of_now, joined, read_head
from perdure.engine.requests import Now, Random, Run, Steps
from perdure.engine.retain import Retained, Spot, Stay, retained
from perdure.engine.save import TOKEN_BYTES
from perdure.engine.snapshots import SECRET_BYTES
from perdure.engine.sweeping import freed_by, sweep
from perdure.engine.twins import put_twins
from perdure.errors import Busy
from perdure.reports import Pruned, PrunedBranch


def prune(site: Site, policy: Retention, *, dry_run: bool) -> Steps[Pruned]:
    """Remove the checkpoints of a state that a policy does not keep, or tell which they are.

    Raises:
        StateNotFound: there is none.
        Damaged: a record cannot be read; nothing was removed.
        Busy: branches were moved, or the state maintained, again and again meanwhile.
        CommitUnknown: its fate could not be learned.
    """
    site = site.stored()
    for _ in range(limits.commit_tries_max):
        told = yield from as_of_now(site, partial(_pruned, site, policy, dry_run))
        if told is None:
            continue
        if not dry_run:
            yield from finish(site)
        return told
    raise Busy(f"{site.key!r}: its branches were moved again and again; nothing was pruned")


def _pruned(site: Site, policy: Retention, dry_run: bool, head: Head) -> Steps[Pruned | None]:
    """Plan, and commit to the plan; None: the state went on in another way."""
    now = yield Now()
    plan = yield from retained(site, head, policy, now)
    told = yield from _told(site, head, plan, policy, dry_run)
    if dry_run or not (plan.removed or plan.final):
        return told
    receipt = yield from _cut_off(site, head, plan, now)
    return replace(told, receipt=receipt) if receipt is not None else None


def finish(site: Site) -> Steps[None]:
    """Remove the rows and pages that nothing needs since the newest pruning."""
    for _ in range(limits.commit_tries_max):
        if (yield from as_of_now(site, partial(sweep, site))):
            break
    yield from as_of_now(site, lambda head: collect_pages(site, head, Around()))


def _told(
    site: Site, head: Head, plan: Retained, policy: Retention, dry_run: bool
) -> Steps[Pruned]:
    """What a plan comes to, as users see it."""
    branches: list[PrunedBranch] = []
    on_branches: list[Run] = []
    for at, owner in enumerate(plan.owners):
        if owner.entry:
            continue
        every = [run for spans in owner.spans for run in spans]
        on_branches += every
        runs = tuple((stay.first[1], stay.last[1]) for stay in reversed(plan.stays[at]))
        kept = sum(last - first + 1 for first, last in runs)
        branches.append(PrunedBranch(owner.name, kept, _count(every) - kept, runs))
    removed = _count(plan.removed)
    # What is counted twice, where both are put together, is on branches.
    left = _count(joined([*plan.removed, *on_branches])) - _count(joined(on_branches))
    size = (yield from freed_by(head, plan.removed)) if plan.removed else 0
    return Pruned(
        site.key,
        tuple(branches),
        removed,
        left,
        size,
        final=plan.final,
        dry_run=dry_run,
        unknown_labels=_unknown(policy, plan),
    )


def _unknown(policy: Retention, plan: Retained) -> tuple[str, ...]:
    """Labels that the policy keeps and nothing has."""
    if isinstance(policy.keep_labels, bool):
        return ()
    labels = {each.label for each in plan.known.values()}
    return tuple(each for each in dict.fromkeys(policy.keep_labels) if each not in labels)


def _count(runs: Iterable[Run]) -> int:
    return sum(run.last - run.first + 1 for run in runs)


class _Kept(msgspec.Struct, frozen=True):
    """What a head is to say after a pruning."""

    branches: dict[str, Branch]
    receipt: Receipt
    lines: int
    secret: bytes
    bases: tuple[Snapshot, ...]


def _cut_off(site: Site, head: Head, plan: Retained, now_us: int) -> Steps[int | None]:
    """Put what stands in for what goes, and commit; the receipt's number.

    None: the state went on in another way.
    """
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
        new = succeeding(new, now, (yield Random(TOKEN_BYTES)))
        if (yield from commit_entry(site, now, new, sealed)) is not None:
            return sealed.number
        now = yield from read_head(site)
        if not _only_saved(now, head):
            return None
    return None


def _only_saved(current: Head, made_from: Head) -> bool:
    """Whether nothing happened since but saves: what a plan was made from is still so."""
    return (
        current.incarnation == made_from.incarnation
        and current.fence == made_from.fence
        and current.generation == made_from.generation
        and current.parked == made_from.parked
        and current.journal == made_from.journal
    )


def _advanced(tip: Branch, planned: Branch) -> Branch:
    """A branch cut off as was planned, wherever saves have brought it since."""
    return replace(tip, cut=planned.cut, snapshots=planned.snapshots)


def _kept(site: Site, head: Head, plan: Retained) -> Steps[_Kept]:
    """The branches and runs that stay, each with what stands in for what went before it."""
    trees = yield from put_base_trees(site, head, plan)
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
    return _Kept(
        branches, Receipt(told, tuple(left), removed, plan.merges), lines, head.secret, tuple(bases)
    )


def _cut(tip: Branch, stay: Stay, plan: Retained, trees: Mapping[bytes, Snapshot]) -> Branch:
    """A run with what stands in for what went before it, and its own snapshots."""
    cut = cut_of(stay, plan)
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
