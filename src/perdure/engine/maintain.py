"""Maintenance: snapshots, packs, and the collection of pages that nothing refers to.

A plan is data, made from the head and the sizes of rows. Its steps are bounded; each is one commit
that builds on the generation of the head it was made from, and comes to nothing if another step
came first. So it may run anywhere, in any number of processes, and be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from perdure import limits
from perdure.core.head import MAIN, Head
from perdure.core.pack import sealing
from perdure.core.record import Record
from perdure.core.seal import damaged
from perdure.engine.around import UNREADABLE, Around
from perdure.engine.collecting import collect_pages
from perdure.engine.generations import commit_step
from perdure.engine.mend import mend
from perdure.engine.packing import RowSize, next_run, sizes_of
from perdure.engine.pages import in_pieces
from perdure.engine.parking import is_crowded, make_room
from perdure.engine.read import Site, check_links, read_line, read_run, spans
from perdure.engine.requests import (
    Discard,
    HeadRow,
    ListStaged,
    Now,
    ReadHead,
    RecordRow,
    Run,
    Steps,
)
from perdure.engine.snapshots import make_snapshot, snapshot_due
from perdure.engine.sweeping import is_due, sweep
from perdure.engine.unreferenced import named_in
from perdure.reports import MaintenanceStep as Step


class Plan(msgspec.Struct, frozen=True):
    """What is due for one state, in order; later steps follow from what the first ones leave."""

    key: str
    steps: tuple[Step, ...] = ()
    checkpoints: int = 0
    """How many the state has."""


def plan(site: Site, *, full: bool = False) -> Steps[Plan]:
    """What is due now; nothing is changed.

    `full`: pack the tail too, though it is within its limits, and collect pages in any case.
    """
    head = yield from _living_head(site)
    if head is None:
        return Plan(site.key)
    steps = [Step("prune")] if is_due(head) else []
    steps += [Step("park")] if is_crowded(head) else []
    for branch in head.branches:
        snapshot = yield from snapshot_due(site, head, branch)
        packing = yield from _pack_due(site, head, branch, set(), full=full)
        steps += [step for step in (snapshot, packing) if step is not None]
    if full and any(tip.snapshots for tip in head.branches.values()):
        steps.append(Step("collect"))
    return Plan(site.key, tuple(steps), head.branches[MAIN].number)


def maintain(
    site: Site,
    *,
    full: bool = False,
    done: Callable[[Step], None] | None = None,
    around: Around | None = None,
) -> Steps[int]:
    """Do what is due, step by step, until nothing is; how many steps that were.

    `done` is told each step. What others' maintenance does meanwhile is left to them. What cannot
    be read is gone around, and told of when everything else is done. With `full`, every page of the
    snapshots is read first, and made anew if it cannot be used; and what is saved meanwhile is left
    for another time: it ends, however fast others save.

    Raises:
        Damaged: something that would be rewritten cannot be read; it was left as it is.
    """
    site = site.stored()  # a page that is damaged there is made anew
    around = around or Around()
    count, loose, last, until = 0, int(full), "", dict[str, int]()
    step = Step("mend") if full else None
    for _ in range(limits.upkeep_steps_max):
        head = yield from _living_head(site)
        if head is None:
            break
        if not (full and until):
            until = {name: tip.number for name, tip in head.branches.items()}
        # Turn by turn: where saves come so fast that a snapshot is always due, packs are made too.
        pack_first = last == "snapshot"
        if step is None and is_due(head) and not around.no_prune:
            step = Step("prune")
        if step is None and is_crowded(head) and not around.no_park:
            step, around.no_park = Step("park"), True
        if step is None:
            step = yield from _due(site, head, until, around, full=full, pack_first=pack_first)
        if loose and (step is None or loose > limits.snapshots_loose_max):
            loose, step = 0, Step("collect")
        if step is None:
            break
        last = step.work
        if (yield from _tried(site, head, step, around, full=full)):
            loose += _lets_go(head, step)
            count += 1
            if done is not None:
                done(step)
        step = None
    if around.problems:
        raise damaged(site.store, "; ".join(around.problems), "", f"state {site.key!r}")
    return count


def collect(site: Site) -> Steps[bool]:
    """Remove the pages that no kept snapshot leads to, whatever else is due; whether any were."""
    site = site.stored()
    head = yield from _living_head(site)
    return head is not None and (yield from collect_pages(site, head, Around()))


def discard_abandoned(store: bytes) -> Steps[int]:
    """Remove what killed copies and imports left a day ago or longer; how many there were.

    Nothing that a head names, whatever the store says of it; nor anything while a head cannot be
    read, which may name it.
    """
    now = yield Now()
    staged: tuple[tuple[bytes, int], ...] = yield ListStaged()
    old = [each for each, at_us in staged if at_us < now - limits.staging_us_max]
    named = (yield from named_in(store)) if old else set()
    if named is None:
        return 0
    old = [each for each in old if each not in named]
    for incarnation in old:
        yield Discard(incarnation)
    return len(old)


# ---- planning -------------------------------------------------------------------------------


def _due(
    site: Site,
    head: Head,
    until: Mapping[str, int],
    around: Around,
    *,
    full: bool,
    pack_first: bool,
) -> Steps[Step | None]:
    """The first step that is due and not only for what is newer than `until`, of any branch."""
    for work in ("pack", "snapshot") if pack_first else ("snapshot", "pack"):
        for branch in head.branches:
            step: Step | None = None
            if work == "pack":
                step = yield from _pack_due(site, head, branch, around.rows, full=full)
            elif branch not in around.no_snapshot:
                step = yield from snapshot_due(site, head, branch)
            if step is not None and step.first <= until.get(branch, 0):
                return step
    return None


def _living_head(site: Site) -> Steps[Head | None]:
    row: HeadRow | None = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    return head if head is not None and head.deleted_us is None else None


def _pack_due(
    site: Site, head: Head, branch: str, settled: Collection[tuple[int, int]], *, full: bool
) -> Steps[Step | None]:
    """The oldest rows that should become one; those in `settled` stay as they are."""
    tip = head.branches[branch]
    after = tip.newest.number if tip.newest is not None else 0
    runs = yield from spans(site, head, tip, 1, after)
    if full:
        runs += yield from spans(site, head, tip, after + 1, tip.number)
    for run in runs:
        first = run.first
        while first <= run.last:
            rest = Run(run.line, first, run.last)
            sizes = yield from sizes_of(head, rest, limits.upkeep_rows_max)
            rows = next_run([row for row in sizes if _may_pack(row, run, settled)])
            if rows:
                stored = sum(row.stored_bytes for row in rows)
                oldest = rows[0].number - rows[0].count + 1
                return Step("pack", oldest, rows[-1].number, len(rows), stored, branch)
            if len(sizes) < limits.upkeep_rows_max:
                break
            first = sizes[-1].number + 1
    return None


def _may_pack(row: RowSize, run: Run, settled: Collection[tuple[int, int]]) -> bool:
    # What pruning left in one row with what went is for it to rewrite.
    is_within = row.number - row.count >= run.first - 1 and row.number <= run.last
    return is_within and (run.line, row.number) not in settled


def _lets_go(head: Head, made: Step) -> bool:
    """Whether a step let an older snapshot go, whose pages may now be garbage."""
    tip = head.branches.get(made.branch)
    kept = (tip.snapshots if tip is not None else None) or ()
    return made.work == "snapshot" and len(kept) >= limits.snapshots_kept_max


# ---- steps ----------------------------------------------------------------------------------


def _tried(site: Site, head: Head, step: Step, around: Around, *, full: bool) -> Steps[bool]:
    """Make a step; whether it came to something. What cannot be read is noted in `around`."""
    try:
        return (yield from _make(site, head, step, around, full=full))
    except UNREADABLE as error:
        current = yield from _living_head(site)
        if current is None or current.generation != head.generation:
            return False  # others' maintenance came between: it is planned again
        if step.work == "prune":
            around.no_prune = True
        elif step.work == "snapshot":
            around.no_snapshot.add(step.branch)
        elif step.work == "pack":
            around.rows |= yield from _unreadable(site, head, step)
        around.problems.append(str(error))
        return False


def _unreadable(site: Site, head: Head, step: Step) -> Steps[set[tuple[int, int]]]:
    """The rows among those of a step that cannot be read; all, if each of them can."""
    tip = head.branches[step.branch]
    (run,) = yield from spans(site, head, tip, step.first, step.last)
    rows = yield from sizes_of(head, run, step.rows)
    found: set[tuple[int, int]] = set()
    before: list[Record] = []
    for row in rows:
        try:
            first = row.number - row.count + 1
            records = yield from read_line(site, head, Run(run.line, first, row.number))
            check_links(site, [*before, *records])
            before = records[-1:]
        except UNREADABLE:
            found.add((run.line, row.number))
            before = []
    return found or {(run.line, row.number) for row in rows}


def _make(site: Site, head: Head, step: Step, around: Around, *, full: bool) -> Steps[bool]:
    """Make a step; whether it came to something."""
    match step.work:
        case "prune":
            return (yield from sweep(site, head))
        case "park":
            return (yield from make_room(site, head))
        case "mend":
            return (yield from mend(site, head)) > 0
        case "snapshot":
            return (yield from make_snapshot(site, head, step, None if full else around))
        case "pack":
            return (yield from _pack(site, head, step))
        case "collect":
            return (yield from collect_pages(site, head, around))


def _pack(site: Site, head: Head, step: Step) -> Steps[bool]:
    """Let the rows of a run give way to one that holds their records."""
    tip = head.branches[step.branch]
    records = yield from read_run(site, head, tip, step.first, step.last)
    parent = records[0].parent
    packing = sealing(records, store=site.store, incarnation=head.incarnation, parent=parent)
    sealed = yield from in_pieces(packing)
    row = RecordRow(sealed.line, sealed.number, sealed.blob, len(records))
    removed = (Run(sealed.line, step.first, step.last),)
    found = yield from commit_step(site, head, lambda now: now, records=(row,), removed=removed)
    return found is not None
