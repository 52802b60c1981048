"""Maintenance: snapshots, packs, and the collection of pages that nothing refers to.

A plan is data, made from the head and the sizes of rows. Its steps are bounded; each is one commit
that builds on the generation of the head it was made from, and comes to nothing if another step
came first. So it may run anywhere, in any number of processes, and be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Branch, Head, Snapshot, seal_head
from perdure.core.pack import sealing
from perdure.core.record import Record
from perdure.core.seal import payload_bytes
from perdure.core.tree import Built, building
from perdure.core.tree_edit import edit
from perdure.core.tree_read import reachable
from perdure.engine.load import state_at
from perdure.engine.mend import mend
from perdure.engine.packing import RowSize, next_run
from perdure.engine.pages import in_pieces, put, walk
from perdure.engine.parked import all_branches
from perdure.engine.read import Site, check_links, read_line, read_run, spans
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
from perdure.errors import Damaged, Malformed, NewerFormat, ReplayMismatch
from perdure.types import MaintenanceStep as Step

SECRET_BYTES = 32

UNREADABLE = (Damaged, Malformed, ReplayMismatch, NewerFormat)
"""What is wrong with bytes that are there: trying again does not help."""


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
    steps: list[Step] = []
    for branch in head.branches:
        snapshot = yield from _snapshot_due(site, head, branch)
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
        raise Damaged("; ".join(around.problems))
    return count


class Around(msgspec.Struct):
    """What a round of maintenance cannot read, and goes around."""

    rows: set[tuple[int, int]] = msgspec.field(default_factory=set)
    """Rows that stay as they are: the line and the number of the newest record in each."""
    no_snapshot: set[str] = msgspec.field(default_factory=set)
    """Branches of which no snapshot can be made: a record since the newest one cannot be read."""
    is_put_off: bool = False
    """Whether a snapshot was put off, because it would write far more than the tail holds."""
    problems: list[str] = msgspec.field(default_factory=list)
    """What to tell in the end."""


def collect(site: Site) -> Steps[bool]:
    """Remove the pages that no kept snapshot leads to, whatever else is due; whether any were."""
    site = site.stored()
    head = yield from _living_head(site)
    return head is not None and (yield from _collect(site, head, Around()))


def discard_abandoned() -> Steps[int]:
    """Remove what killed copies and imports left a day ago or longer; how many there were."""
    now = yield Now()
    staged: tuple[tuple[bytes, int], ...] = yield ListStaged()
    old = [each for each, at_us in staged if at_us < now - limits.staging_us_max]
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
                step = yield from _snapshot_due(site, head, branch)
            if step is not None and step.first <= until.get(branch, 0):
                return step
    return None


def _living_head(site: Site) -> Steps[Head | None]:
    row: HeadRow | None = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    return head if head is not None and head.deleted_us is None else None


def _snapshot_due(site: Site, head: Head, branch: str) -> Steps[Step | None]:
    tip = head.branches[branch]
    after = tip.newest.number if tip.newest is not None else 0
    # One record stays in the tail, so that opening finds the newest checkpoint there.
    last = tip.number - 1
    if last <= after:
        return None
    sizes: list[RowSize] = []
    for run in (yield from spans(site, head, tip, after + 1, tip.number)):
        sizes += yield from _sizes(head, run, limits.upkeep_rows_max)
    stored = sum(row.stored_bytes for row in sizes)
    if (
        tip.number - after <= limits.tail_records_max
        and stored <= limits.tail_bytes_max
        and sum(row.raw_bytes for row in sizes) <= limits.tail_raw_bytes_max
    ):
        return None
    kept = [row.stored_bytes for row in sizes if row.number <= last]
    return Step("snapshot", after + 1, last, len(kept), sum(kept), branch)


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
            sizes = yield from _sizes(head, rest, limits.upkeep_rows_max)
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
    return row.number <= run.last and (run.line, row.number) not in settled


def _sizes(head: Head, run: Run, count: int) -> Steps[list[RowSize]]:
    first, last = run.first, run.last
    sizes: list[RowSize] = []
    while first <= last and len(sizes) < count:
        asked = min(count - len(sizes), limits.piece_rows_max)
        rows = yield ListRows(head.incarnation, run.line, first, last, asked)
        sizes += [
            RowSize(number, held, payload_bytes(start, stored), stored)
            for number, held, stored, start in rows
        ]
        if len(rows) < asked:
            break
        first = sizes[-1].number + 1
    return sizes


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
        if step.work == "snapshot":
            around.no_snapshot.add(step.branch)
        elif step.work == "pack":
            around.rows |= yield from _unreadable(site, head, step)
        around.problems.append(str(error))
        return False


def _unreadable(site: Site, head: Head, step: Step) -> Steps[set[tuple[int, int]]]:
    """The rows among those of a step that cannot be read; all, if each of them can."""
    tip = head.branches[step.branch]
    (run,) = yield from spans(site, head, tip, step.first, step.last)
    rows = yield from _sizes(head, run, step.rows)
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
        case "mend":
            return (yield from mend(site, head)) > 0
        case "snapshot":
            return (yield from _snapshot(site, head, step, None if full else around))
        case "pack":
            return (yield from _pack(site, head, step))
        case "collect":
            return (yield from _collect(site, head, around))


def _snapshot(site: Site, head: Head, step: Step, around: Around | None) -> Steps[bool]:
    """Keep the state at the newest checkpoint but one as a tree; most of its pages are there.

    One that would write much more than the tail holds is put off, if `around` may be told so.
    """
    tip = head.branches[step.branch]
    number = tip.number - 1
    secret = head.secret or (yield Random(SECRET_BYTES))
    built = yield from _tree_at(site, head, tip, number, secret)
    if around is not None and _is_too_dear(built, tip, step):
        around.no_snapshot.add(step.branch)
        around.is_put_off = True
        return False
    yield from put(site, head.incarnation, built.pages)
    kept = thinned((Snapshot(number, built.root), *(tip.snapshots or ())))

    def change(now: Head) -> Head:
        branch = replace(now.branches[step.branch], snapshots=kept)
        return replace(now, secret=secret, branches={**now.branches, step.branch: branch})

    return (yield from _commit(site, head, change, step.branch)) is not None


def _is_too_dear(built: Built, tip: Branch, step: Step) -> bool:
    """Whether a snapshot would write far more than a tail holds that may still grow."""
    written = sum(map(len, built.pages.values()))
    excess = max(
        (step.last - step.first + 2) / limits.tail_records_max, step.bytes / limits.tail_bytes_max
    )
    is_first = tip.newest is None
    return (
        not is_first
        and excess < limits.tail_put_off_max
        and written > limits.snapshot_cost_max * step.bytes
    )


def _tree_at(site: Site, head: Head, tip: Branch, number: int, secret: bytes) -> Steps[Built]:
    newest = tip.newest
    if newest is not None:
        records = yield from read_run(site, head, tip, newest.number + 1, number)
        # Decoded one by one, as they are made.
        changes = (change for record in records for change in record.changes())
        try:
            return (yield from walk(site, head.incarnation, edit(newest.root, changes, secret)))
        except Damaged:
            pass  # a page is lost: all are made anew, from what is older or from the log
    below = newest.number if newest is not None else None
    sections, _ = yield from state_at(site, head, tip, number, below=below)
    return (yield from in_pieces(building(sections, secret)))


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
    tip = head.branches[step.branch]
    records = yield from read_run(site, head, tip, step.first, step.last)
    parent = records[0].parent
    packing = sealing(records, store=site.store, incarnation=head.incarnation, parent=parent)
    sealed = yield from in_pieces(packing)
    row = RecordRow(sealed.line, sealed.number, sealed.blob, len(records))
    removed = (Run(sealed.line, step.first, step.last),)
    found = yield from _commit(site, head, lambda now: now, records=(row,), removed=removed)
    return found is not None


def _collect(site: Site, head: Head, around: Around) -> Steps[bool]:
    """Remove the pages that no kept snapshot leads to.

    A snapshot whose pages of references are damaged or missing is let go: what it leads to cannot
    be known, and the log has every checkpoint.
    """
    kept, needed, problems = yield from _walkable(site, head)
    if problems:

        def change(now: Head) -> Head:
            branches = {name: _keeping(tip, kept) for name, tip in now.branches.items()}
            return replace(now, branches=branches)

        after = yield from _commit(site, head, change)
        if after is None:
            return False  # others' maintenance came between: what it removed is not lost
        head = after
        around.problems += problems
    garbage = yield from _garbage(head, needed)
    now, dropped = head, 0
    for some in _bounded(garbage):
        after = yield from _commit(site, now, lambda each: each, dropped=some)
        if after is None:
            break
        now = after
        dropped += len(some)
    return dropped > 0


def _keeping(tip: Branch, kept: Collection[Snapshot]) -> Branch:
    """A branch with only those of its snapshots that are to be kept."""
    return replace(tip, snapshots=tuple(each for each in tip.snapshots or () if each in kept))


def _walkable(site: Site, head: Head) -> Steps[tuple[list[Snapshot], set[bytes], list[str]]]:
    """The snapshots whose pages of references can all be read, and the pages that are needed.

    And for each of the others what is wrong with it. The pages of parked branches are needed, and
    those of their snapshots: that they can be read is not asked for here.
    """
    tips = yield from all_branches(site, head)
    parked = [head.parked] if head.parked is not None else []
    snapshots = list(dict.fromkeys(each for tip in tips.values() for each in tip.snapshots or ()))
    incarnation = head.incarnation
    try:
        roots = [each.root for each in snapshots]
        return snapshots, (yield from walk(site, incarnation, reachable(parked + roots))), []
    except Damaged:
        pass  # which of them it is
    kept: list[Snapshot] = []
    needed: set[bytes] = yield from walk(site, incarnation, reachable(parked))
    problems: list[str] = []
    for each in snapshots:
        try:
            needed |= yield from walk(site, incarnation, reachable([each.root]))
        except Damaged as error:
            problems.append(f"the snapshot at checkpoint {each.number} was let go: {error}")
        else:
            kept.append(each)
    return kept, needed, problems


def _garbage(head: Head, needed: set[bytes]) -> Steps[list[tuple[bytes, int]]]:
    """The pages that are not needed: their ids, and what they take in the store (bytes)."""
    found: list[tuple[bytes, int]] = []
    after: bytes | None = None
    while True:
        listed = yield ListPages(head.incarnation, after, limits.piece_rows_max)
        found += (page for page in listed if page[0] not in needed)
        if len(listed) < limits.piece_rows_max:
            return found
        after = listed[-1][0]


def _bounded(pages: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes, ...]]:
    """Ids of pages, as many at a time as one transaction may remove."""
    some: list[bytes] = []
    size = 0
    for id_, stored in pages:
        is_full = size + stored > limits.upkeep_bytes_max or len(some) == limits.piece_rows_max
        if some and is_full:
            yield tuple(some)
            some, size = [], 0
        some.append(id_)
        size += stored
    if some:
        yield tuple(some)


def _commit(
    site: Site,
    made_from: Head,
    change: Callable[[Head], Head],
    branch: str = MAIN,
    *,
    records: tuple[RecordRow, ...] = (),
    removed: tuple[Run, ...] = (),
    dropped: tuple[bytes, ...] = (),
) -> Steps[Head | None]:
    """Commit a step, whatever is saved meanwhile; None if the state went on in another way."""
    now = made_from
    for _ in range(limits.commit_tries_max):
        token = yield Random(TOKEN_BYTES)
        new = change(replace(now, token=token, generation=now.generation + 1))
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
        if current is None or not _goes_on(current, made_from, branch):
            return None
        now = current
    return None


def _goes_on(current: Head, made_from: Head, branch: str = MAIN) -> bool:
    """Whether all that happened since is saves, and movements of others than the branch.

    Then what a step was made from is still so. New branches only refer to snapshots that there
    were; what refers to new pages begins a new generation.
    """
    there = current.branches.get(branch)
    return (
        current.incarnation == made_from.incarnation
        and current.deleted_us is None
        and current.fence == made_from.fence
        and current.generation == made_from.generation
        and there is not None
        and there.line == made_from.branches[branch].line
    )
