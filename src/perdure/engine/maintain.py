"""Maintenance: snapshots, packs, and the collection of pages that nothing refers to.

A plan is data, made from the head and the sizes of rows. Its steps are bounded; each is one commit
that builds on the generation of the head it was made from, and comes to nothing if another step
came first. So it may run anywhere, in any number of processes, and be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Branch, Head, Snapshot, seal_head
from perdure.core.pack import seal_pack
from perdure.core.seal import payload_bytes
from perdure.core.tree import Built, build
from perdure.core.tree_edit import edit
from perdure.core.tree_read import reachable
from perdure.engine.load import state_at
from perdure.engine.packing import RowSize, next_run
from perdure.engine.pages import put, walk
from perdure.engine.read import Site, read_run
from perdure.engine.requests import (
    Commit,
    Committed,
    Discard,
    HeadRow,
    ListPages,
    ListRows,
    ListStaged,
    Moved,
    Now,
    Random,
    ReadHead,
    RecordRow,
    Run,
    Steps,
)
from perdure.engine.save import TOKEN_BYTES, send, tail_of
from perdure.errors import Damaged

SECRET_BYTES = 32

Work = Literal["snapshot", "pack", "collect"]


class Step(msgspec.Struct, frozen=True):
    """One step of a plan."""

    work: Work
    first: int = 0
    """Of a pack: the records it takes, by number; of a snapshot: those since the one before."""
    last: int = 0
    rows: int = 0
    """Rows that become one."""
    bytes: int = 0
    """What these rows take in the store (bytes)."""


class Plan(msgspec.Struct, frozen=True):
    """What is due for one state, in order; later steps follow from what the first ones leave."""

    key: str
    steps: tuple[Step, ...] = ()


def plan(site: Site, *, full: bool = False) -> Steps[Plan]:
    """What is due now; nothing is changed.

    `full`: pack the tail too, though it is within its limits, and collect pages in any case.
    """
    head = yield from _living_head(site)
    if head is None:
        return Plan(site.key)
    steps = [
        *((yield from _snapshot_due(site, head)) or ()),
        *((yield from _pack_due(head, full=full)) or ()),
    ]
    if full and head.branches[MAIN].snapshots:
        steps.append(Step("collect"))
    return Plan(site.key, tuple(steps))


def maintain(
    site: Site, *, full: bool = False, done: Callable[[Step], None] | None = None
) -> Steps[int]:
    """Do what is due, step by step, until nothing is; how many steps that were.

    `done` is told each step. What others' maintenance does meanwhile is left to them.

    Raises:
        Damaged: what would be rewritten cannot be read; nothing was changed by that step.
    """
    site = site.stored()  # a page that is damaged there is made anew
    count, collects = 0, full
    for _ in range(limits.upkeep_steps_max):
        head = yield from _living_head(site)
        if head is None:
            break
        step, made = yield from _one(site, head, full)
        if step is None and collects:
            collects, step = False, Step("collect")
            made = yield from _collect(site, head)
        if step is None:
            break
        if made:
            collects = collects or _lets_go(head, step)
            count += 1
            if done is not None:
                done(step)
    return count


def step(site: Site) -> Steps[bool]:
    """The one step that is most due, if any is."""
    site = site.stored()
    head = yield from _living_head(site)
    if head is None:
        return False
    return (yield from _one(site, head, False))[1]


def discard_abandoned() -> Steps[int]:
    """Remove what killed copies and imports left a day ago or longer; how many there were."""
    now = yield Now()
    staged: tuple[tuple[bytes, int], ...] = yield ListStaged()
    old = [each for each, at_us in staged if at_us < now - limits.staging_us_max]
    for incarnation in old:
        yield Discard(incarnation)
    return len(old)


# ---- planning -------------------------------------------------------------------------------


def _one(site: Site, head: Head, full: bool) -> Steps[tuple[Step | None, bool]]:
    """Make the first step that is due."""
    for step in (yield from _snapshot_due(site, head)) or ():
        return step, (yield from _snapshot(site, head))
    for step in (yield from _pack_due(head, full=full)) or ():
        return step, (yield from _pack(site, head, step))
    return None, False


def _living_head(site: Site) -> Steps[Head | None]:
    row: HeadRow | None = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    return head if head is not None and head.deleted_us is None else None


def _snapshot_due(site: Site, head: Head) -> Steps[list[Step] | None]:
    tip = head.branches[MAIN]
    after = tip.newest.number if tip.newest is not None else 0
    # One record stays in the tail, so that opening finds the newest checkpoint there.
    last = tip.number - 1
    if last <= after:
        return None
    sizes = yield from _sizes(head, tip, after + 1, tip.number, limits.tail_records_max + 2)
    stored = sum(row.stored_bytes for row in sizes)
    if tip.number - after <= limits.tail_records_max and stored <= limits.tail_bytes_max:
        return None
    return [Step("snapshot", after + 1, last, len(sizes), stored)]


def _pack_due(head: Head, *, full: bool) -> Steps[list[Step] | None]:
    tip = head.branches[MAIN]
    after = tip.newest.number if tip.newest is not None else 0
    spans = [(1, after), (after + 1, tip.number)] if full else [(1, after)]
    for first, last in spans:
        sizes = yield from _sizes(head, tip, first, last, limits.upkeep_rows_max)
        run = next_run([row for row in sizes if row.number <= last])
        if run:
            stored = sum(row.stored_bytes for row in run)
            oldest = run[0].number - run[0].count + 1
            return [Step("pack", oldest, run[-1].number, len(run), stored)]
    return None


def _sizes(head: Head, tip: Branch, first: int, last: int, count: int) -> Steps[list[RowSize]]:
    if first > last:
        return []
    rows = yield ListRows(head.incarnation, tip.line, first, last, count)
    return [
        RowSize(number, held, payload_bytes(start, stored), stored)
        for number, held, stored, start in rows
    ]


def _lets_go(head: Head, made: Step) -> bool:
    """Whether a step let an older snapshot go, whose pages may now be garbage."""
    kept = head.branches[MAIN].snapshots or ()
    return made.work == "snapshot" and len(kept) >= limits.snapshots_kept_max


# ---- steps ----------------------------------------------------------------------------------


def _snapshot(site: Site, head: Head) -> Steps[bool]:
    """Keep the state at the newest checkpoint but one as a tree; most of its pages are there."""
    tip = head.branches[MAIN]
    number = tip.number - 1
    secret = head.secret or (yield Random(SECRET_BYTES))
    built = yield from _tree_at(site, head, tip, number, secret)
    yield from put(site, head.incarnation, built.pages)
    kept = thinned((Snapshot(number, built.root), *(tip.snapshots or ())))

    def change(now: Head) -> Head:
        branch = replace(now.branches[MAIN], snapshots=kept)
        return replace(now, secret=secret, branches={**now.branches, MAIN: branch})

    return (yield from _commit(site, head, change)) is not None


def _tree_at(site: Site, head: Head, tip: Branch, number: int, secret: bytes) -> Steps[Built]:
    newest = tip.newest
    if newest is not None:
        records = yield from read_run(site, head, tip.line, newest.number + 1, number)
        changes = [change for record in records for change in record.changes()]
        try:
            return (yield from walk(site, head.incarnation, edit(newest.root, changes, secret)))
        except Damaged:
            pass  # a page is lost: all are made anew, from what is older or from the log
    below = newest.number if newest is not None else None
    sections, _ = yield from state_at(site, head, tip, number, below=below)
    return build(sections, secret)


def thinned(snapshots: Sequence[Snapshot]) -> tuple[Snapshot, ...]:
    """The snapshots to keep of these, newest first: the gaps between them grow towards the past.

    Example:
        >>> root = Ref(Shape.MAP, bytes(32), 0, 0, 0)
        >>> [each.number for each in thinned([Snapshot(n, root) for n in range(700, 0, -100)])]
        [700, 600, 500, 400, 200, 100]
    """
    kept = list(snapshots)
    while len(kept) > limits.snapshots_kept_max:

        def loss(at: int) -> float:
            gap = kept[at - 1].number - kept[at + 1].number
            return gap / (kept[0].number - kept[at].number + 1)

        del kept[min(range(1, len(kept) - 1), key=loss)]
    return tuple(kept)


def _pack(site: Site, head: Head, step: Step) -> Steps[bool]:
    """Let the rows of a run give way to one that holds their records."""
    tip = head.branches[MAIN]
    records = yield from read_run(site, head, tip.line, step.first, step.last)
    sealed = seal_pack(
        records, store=site.store, incarnation=head.incarnation, parent=records[0].parent
    )
    row = RecordRow(sealed.line, sealed.number, sealed.blob, len(records))
    removed = (Run(tip.line, step.first, step.last),)
    found = yield from _commit(site, head, lambda now: now, records=(row,), removed=removed)
    return found is not None


def _collect(site: Site, head: Head) -> Steps[bool]:
    """Remove the pages that no kept snapshot leads to."""
    roots = [each.root for branch in head.branches.values() for each in branch.snapshots or ()]
    try:
        needed = yield from walk(site, head.incarnation, reachable(roots))
    except Damaged:
        return False  # what a lost page refers to is not known: nothing is removed
    garbage = yield from _garbage(head, needed)
    now: Head | None = head
    for start in range(0, len(garbage), limits.upkeep_rows_max):
        if now is None:
            break
        some = tuple(garbage[start : start + limits.upkeep_rows_max])
        now = yield from _commit(site, now, lambda each: each, dropped=some)
    return bool(garbage)


def _garbage(head: Head, needed: set[bytes]) -> Steps[list[bytes]]:
    found: list[bytes] = []
    after: bytes | None = None
    while True:
        listed = yield ListPages(head.incarnation, after, limits.upkeep_rows_max)
        found += (id_ for id_, _ in listed if id_ not in needed)
        if len(listed) < limits.upkeep_rows_max:
            return found
        after = listed[-1][0]


def _commit(
    site: Site,
    made_from: Head,
    change: Callable[[Head], Head],
    *,
    records: tuple[RecordRow, ...] = (),
    removed: tuple[Run, ...] = (),
    dropped: tuple[bytes, ...] = (),
) -> Steps[Head | None]:
    """Commit a step, whatever is saved meanwhile; None if the state went on in another way."""
    now = made_from
    for _ in range(limits.commit_tries_max):
        token = yield Random(TOKEN_BYTES)
        new = replace(change(now), token=token, generation=now.generation + 1)
        row = HeadRow(token, seal_head(new, store=site.store, key=site.key))
        request = Commit(
            site.key, now.token, row, tail_of(new), records, "process", removed, dropped
        )
        answer = yield from send(request)
        if isinstance(answer, Committed):
            return new
        assert isinstance(answer, Moved)
        current = site.head(answer.head) if answer.head is not None else None
        if current is not None and current.token == token:
            return current  # it had landed; the answer was lost
        if current is None or not _goes_on(current, made_from):
            return None
        now = current
    return None


def _goes_on(current: Head, made_from: Head) -> bool:
    """Whether all that happened since is saves: what a step was made from is still so."""
    return (
        current.incarnation == made_from.incarnation
        and current.deleted_us is None
        and current.fence == made_from.fence
        and current.generation == made_from.generation
        and current.branches[MAIN].line == made_from.branches[MAIN].line
    )
