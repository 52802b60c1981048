"""Snapshots: when one is due, and how it is made from an older one and the records after that."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.record import Record
from perdure.core.tree import Built, building
from perdure.core.tree_edit import edit
from perdure.engine.around import Around
from perdure.engine.generations import commit_step
from perdure.engine.load import state_at
from perdure.engine.packing import RowSize, sizes_of
from perdure.engine.pages import in_pieces, put, walk
from perdure.engine.read import Site, read_run, spans
from perdure.engine.requests import Random, Steps
from perdure.errors import Damaged
from perdure.reports import MaintenanceStep as Step

SECRET_BYTES = 32


def snapshot_due(site: Site, head: Head, branch: str) -> Steps[Step | None]:
    """The step that makes the next snapshot of a branch, where its tail is past its limit."""
    tip = head.branches[branch]
    after = tip.newest.number if tip.newest is not None else 0
    # One record stays in the tail, so that opening finds the newest checkpoint there.
    last = tip.number - 1
    if last <= after:
        return None
    sizes: list[RowSize] = []
    for run in (yield from spans(site, head, tip, after + 1, tip.number)):
        sizes += yield from sizes_of(head, run, limits.upkeep_rows_max)
    stored = sum(row.stored_bytes for row in sizes)
    if (
        tip.number - after <= limits.tail_records_max
        and stored <= limits.tail_bytes_max
        and sum(row.raw_bytes for row in sizes) <= limits.tail_raw_bytes_max
    ):
        return None
    kept = [row.stored_bytes for row in sizes if row.number <= last]
    return Step("snapshot", after + 1, last, len(kept), sum(kept), branch)


def make_snapshot(site: Site, head: Head, step: Step, around: Around | None) -> Steps[bool]:
    """Keep the state at the newest checkpoint but one as a tree; most of its pages are there.

    One that would write much more than the tail holds is put off, if `around` may be told so.
    """
    tip = head.branches[step.branch]
    number = tip.number - 1
    secret = head.secret or (yield Random(SECRET_BYTES))
    built = yield from tree_at(site, head, tip, number, secret)
    if around is not None and _is_too_dear(built, tip, step):
        around.no_snapshot.add(step.branch)
        around.is_put_off = True
        return False
    yield from put(site, head.incarnation, built.pages)
    kept = thinned((Snapshot(number, built.root), *(tip.snapshots or ())))

    def change(now: Head) -> Head:
        branch = replace(now.branches[step.branch], snapshots=kept)
        return replace(now, secret=secret, branches={**now.branches, step.branch: branch})

    return (yield from commit_step(site, head, change, step.branch)) is not None


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


def tree_at(site: Site, head: Head, tip: Branch, number: int, secret: bytes) -> Steps[Built]:
    """The state at a checkpoint of a branch as a tree, edited from the nearest snapshot below."""
    below = tip.nearest(number)
    records: list[Record] = []
    if below is not None:
        records = yield from read_run(site, head, tip, below.number + 1, number)
    return (yield from tree_after(site, head, tip, number, secret, below, records))


def tree_after(
    site: Site,
    head: Head,
    tip: Branch,
    number: int,
    secret: bytes,
    below: Snapshot | None,
    records: Sequence[Record],
) -> Steps[Built]:
    """The same from a snapshot of the branch, and the records after it; None: from the log."""
    if below is not None:
        # Decoded one by one, as they are made.
        changes = (change for record in records for change in record.changes())
        try:
            return (yield from walk(site, head.incarnation, edit(below.root, changes, secret)))
        except Damaged:
            pass  # a page is lost: all are made anew, from what is older or from the log
    most = below.number if below is not None else None
    sections, _ = yield from state_at(site, head, tip, number, below=most)
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
