"""Whole states: listing, deleting, bringing back, copying, counting, verifying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import UNSET
from msgspec.structs import replace

from perdure.core.claims import origin_of
from perdure.core.head import MAIN, Base, Branch, Head, Journal, brought_back, lives, next_life
from perdure.core.journal import bare
from perdure.core.lineage import bases_through
from perdure.core.pack import seal_pack
from perdure.core.record import Record, Sealed, as_saved, seal_again
from perdure.core.refs import Ref
from perdure.engine.carry import carry, require_staged, unknown_of_copy
from perdure.engine.leases import infos_of
from perdure.engine.lines import every_span
from perdure.engine.marks import judge
from perdure.engine.parked import find_branch
from perdure.engine.past import every_run, take_back
from perdure.engine.read import (
    Site,
    as_of_now,
    check_next,
    joined,
    parent_of,
    read_groups,
    read_head,
    read_line,
    spans,
)
from perdure.engine.refs import as_branch, find, find_point, record_at
from perdure.engine.requests import (
    Discard,
    HeadRow,
    ListHeads,
    Now,
    Random,
    ReadHead,
    RecordRow,
    Stage,
    Steps,
)
from perdure.engine.save import HeadMoved, Position, commit
from perdure.engine.view import checkpoint_of, when
from perdure.errors import (
    Busy,
    CommitUnknown,
    Damaged,
    KeyMissing,
    NewerFormat,
    PerdureError,
    StateExists,
    StateNotFound,
    UsageError,
)
from perdure.types import Checkpoint, StateInfo


def listing(
    store: bytes, prefix: str, limit: int, after: str | None, deleted: bool
) -> Steps[list[StateInfo]]:
    """States of up to `limit` keys, in order, none of them opened; only deleted ones if `deleted`.

    One whose head cannot be read is listed so, and hides no other.
    """
    now = yield Now()
    infos: list[StateInfo] = []
    count = 0
    while count < limit:
        rows = yield ListHeads(prefix, after, limit)
        for key, row in rows:
            after = key
            if count == limit:
                break
            found = yield from _listed(Site(store, key), row, deleted, now)
            infos += found
            count += bool(found)
        if len(rows) < limit:
            break
    return infos


def _listed(site: Site, row: HeadRow, deleted: bool, now_us: int) -> Steps[list[StateInfo]]:
    """What is listed of one key: its state, or its deleted lives, the newest first."""
    try:
        head = site.head(row)
    except (Damaged, NewerFormat, KeyMissing) as error:
        return [] if deleted else [unreadable(site.key, error)]
    if not deleted:
        return [] if head.deleted_us is not None else [(yield from info_of(site.key, head, now_us))]
    infos: list[StateInfo] = []
    for life in reversed(lives(head)):
        if life.deleted_us is not None:
            shown = yield from info_of(site.key, head, now_us, life)
            infos.append(shown)
    return infos


def info(site: Site) -> Steps[StateInfo]:
    """What `listing` would say of one state."""
    head = yield from read_head(site)
    now = yield Now()
    return (yield from info_of(site.key, head, now))


def info_of(key: str, head: Head, now_us: int, life: Head | None = None) -> Steps[StateInfo]:
    """A head as users see it, or one of its lives."""
    number = lives(head).index(life or head) + 1 if head.former else 1
    head = life or head
    last = max(head.marks, key=lambda mark: mark.saved_us, default=None)
    status = (yield from judge(last, now_us)) if last is not None else "closed"
    ends = [mark.ended_us for mark in head.marks if mark.ended_us is not None]
    tip = head.branches.get(MAIN)
    return StateInfo(
        key=key,
        created=when(head.created_us),
        updated=when(head.updated_us),
        number=tip.number if tip else 0,
        status="deleted" if head.deleted_us is not None else status,
        last_end=when(max(ends)) if ends else None,
        summary=head.summary,
        sessions=head.sessions,
        deleted=when(head.deleted_us) if head.deleted_us is not None else None,
        life=number,
        leases=() if head.deleted_us is not None else (yield from infos_of(head, now_us)),
        expires=when(head.updated_us + head.expires_us) if head.expires_us is not None else None,
    )


def unreadable(key: str, error: Damaged | NewerFormat | KeyMissing) -> StateInfo:
    """A head that cannot be read as users see it."""
    status: Literal["damaged", "newer-format", "key-missing"] = "damaged"
    if not isinstance(error, Damaged):
        status = "newer-format" if isinstance(error, NewerFormat) else "key-missing"
    never = when(0)
    problem = f"{error.kind}: {error}"
    return StateInfo(key, never, never, 0, status, None, None, 0, problem=problem)


def delete(site: Site) -> Steps[StateInfo]:
    """Hide a state; nothing of it is removed (P7)."""
    head = yield from read_head(site)
    now = yield Now()

    def hidden(head: Head) -> Head:
        return replace(head, deleted_us=now)

    return (yield from _change_head(site, head, hidden, now))


def undelete(site: Site, life: int | None = None) -> Steps[StateInfo]:
    """Bring a deleted state back: the life of the key with this number, or the last to end."""
    row = yield ReadHead(site.key)
    if row is None:
        raise StateNotFound(f"there is no deleted state {site.key!r} in this store")
    head = site.head(row)
    if head.deleted_us is None:
        raise StateExists(
            f"{site.key!r} is a live state"
            + (
                "; delete it first to bring an earlier one of that name back"
                if head.former
                else ", not a deleted one"
            )
        )
    wanted = _life(site, head, life).incarnation
    now = yield Now()
    return (yield from _change_head(site, head, lambda head: brought_back(head, wanted), now))


def _life(site: Site, head: Head, number: int | None) -> Head:
    """The life of a key with this number; the head's own for None."""
    if number is None:
        return head
    every = lives(head)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UsageError(
            f"a life is a number, such as `states(deleted=True)` tells, not {number!r}"
        )
    if not 1 <= number <= len(every):
        raise StateNotFound(f"{site.key!r} has no life {number}; its lives are 1 to {len(every)}")
    return every[number - 1]


def _change_head(
    site: Site, old: Head, change: Callable[[Head], Head], now_us: int
) -> Steps[StateInfo]:
    """Change a head that nobody saves to meanwhile; whatever else of it moves is kept."""
    try:
        position = yield from commit(site, Position(old, old.token), change)
    except HeadMoved:
        raise Busy(f"{site.key!r} is being saved to; nothing was changed, try again") from None
    return (yield from info_of(site.key, position.head, now_us))


Check: TypeAlias = Callable[[Site, Head, str, Branch], Steps[None]]
"""What may refuse to have a branch, by its name, copied up to there, before anything is written."""


def copy(
    site: Site,
    target: Site,
    at: Ref | None = None,
    branch: str = MAIN,
    check: Check | None = None,
) -> Steps[StateInfo]:
    """A new state with the same history, up to a checkpoint, under a key that is free.

    What becomes its `main` is the branch; others, and the journal of movements, stay behind.
    """

    def copied(head: Head) -> Steps[StateInfo]:
        return _copy(site, head, target, at, branch, check)

    return (yield from as_of_now(site, copied))


def _copy(
    site: Site, head: Head, target: Site, at: Ref | None, branch: str, check: Check | None
) -> Steps[StateInfo]:
    yield from require_free(target)
    incarnation = yield Random(16)
    point = yield from find_point(site, head, branch, at)
    tip = point.then((yield from record_at(site, head, point)))
    if check is not None:
        yield from check(site, head, point.branch, tip)
    head = replace(head, branches={MAIN: tip})
    parent, after, last, count = parent_of(tip), None, None, 0
    ends: dict[int, int] = {}
    try:
        while after is None or after.number < tip.number:
            groups = yield from _read_rows(site, head, after)
            # Their chain begins anew, and commits to what stands there by now.
            anew = [[as_saved(record) for record in group] for group in groups]
            rows, last = rows_again(anew, target, incarnation, parent)
            now = yield Now()
            yield Stage(incarnation, rows, now)
            count += len(rows)
            after, parent = groups[-1][-1], last.hash
            ends |= {record.line: record.number for group in groups for record in group}
        # After records, whose staging tells when: pages alone would count as long abandoned.
        yield from carry(site, head, tip, target, incarnation)
        yield from require_staged(target, incarnation, count)
        assert last is not None
        return (yield from adopt(target, head, incarnation, last, bases_through(ends)))
    except CommitUnknown:
        raise  # the head that names these records may have been stored, or may be yet
    except PerdureError:
        yield Discard(incarnation)
        raise


def require_free(site: Site) -> Steps[Head | None]:
    """The deleted head under a key, if any.

    Raises:
        StateExists: a live state has this key.
    """
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    if head is not None and head.deleted_us is None:
        raise StateExists(f"there is a state {site.key!r} already; nothing was changed")
    return head


def read_some(site: Site, head: Head, after: Record | None) -> Steps[list[Record]]:
    """The next records of `main` after `after`, as many as one request gives.

    So a state larger than memory passes through; the last record must be the head's newest.
    """
    groups = yield from _read_rows(site, head, after)
    return [record for group in groups for record in group]


def _read_rows(site: Site, head: Head, after: Record | None) -> Steps[list[list[Record]]]:
    """What `read_some` gives, row by row: the records of a pack stand together."""
    tip = head.branches[MAIN]
    first = after.number + 1 if after is not None else tip.first
    run = (yield from spans(site, head, tip, first, tip.number))[0]
    groups = yield from read_groups(site, head, run)
    check_next(site, [record for group in groups for record in group], tip, after)
    return groups


def rows_again(
    groups: Iterable[Sequence[Record]], target: Site, incarnation: bytes, parent: bytes
) -> tuple[tuple[RecordRow, ...], Sealed]:
    """The same records as rows of another state, one a group, and the last of them.

    `parent` is the chain hash before them.
    """
    rows: list[RecordRow] = []
    last: Sealed | None = None
    for group in groups:
        last = _sealed_again(group, target, incarnation, parent)
        rows.append(RecordRow(last.line, last.number, last.blob, len(group)))
        parent = last.hash
    assert last is not None
    return tuple(rows), last


def _sealed_again(
    group: Sequence[Record], target: Site, incarnation: bytes, parent: bytes
) -> Sealed:
    if len(group) == 1:
        return seal_again(group[0], store=target.store, incarnation=incarnation, parent=parent)
    return seal_pack(group, store=target.store, incarnation=incarnation, parent=parent)


def adopt(
    target: Site,
    source: Head,
    incarnation: bytes,
    last: Sealed,
    bases: tuple[Base, ...],
    journal: Journal | None = None,
) -> Steps[StateInfo]:
    """Make staged records visible as the state `target`: the moment a copy or import happens.

    `last` is the newest of them, and `bases` are those of the line that it is on. `journal` is of
    the receipts of redactions that were staged with them.
    """
    deleted = yield from require_free(target)
    now = yield Now()
    of = bare(source.branches[MAIN])
    kept, cut = (of.snapshots, of.cut) if of is not None else (None, None)
    tip = Branch(last.line, last.number, last.id, last.hash, last.time_us, kept, bases, cut)
    began, former = next_life(deleted, now) if deleted is not None else (now, ())
    head = replace(
        source,
        incarnation=incarnation,
        created_us=began,
        updated_us=began,
        branches={MAIN: tip},
        journal=journal,
        parked=None,
        origin=origin_of(source),
        deleted_us=None,
        leases=UNSET,
        former=former,
        unknown=unknown_of_copy(source),
        # Nobody is at work on the new state, whoever may still be on the old one.
        marks=tuple(
            mark if mark.end is not None else replace(mark, end="interrupted")
            for mark in source.marks
        ),
    )
    base = Position(
        deleted if deleted is not None else replace(head, branches={}),
        deleted.token if deleted is not None else None,
    )
    try:
        position = yield from commit(target, base, lambda _: head)
    except HeadMoved:
        raise StateExists(
            f"a state {target.key!r} was made meanwhile; nothing was changed"
        ) from None
    return (yield from info_of(target.key, position.head, now))


def whole_history(
    site: Site, limit: int | None, before: Ref | None, changes: bool
) -> Steps[list[Checkpoint]]:
    """Checkpoints of every branch, and of what branches left when they were moved, newest first."""
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}")

    def told(head: Head) -> Steps[list[Checkpoint]]:
        return _whole_history(site, head, limit, before, changes)

    return (yield from as_of_now(site, told))


def _whole_history(
    site: Site, head: Head, limit: int | None, before: Ref | None, changes: bool
) -> Steps[list[Checkpoint]]:
    names: dict[int, str] = {}
    tips = yield from every_run(site, head)
    for name, tip in tips:
        names.setdefault(tip.line, name)
    spans_of_all = yield from every_span(site, head, [tip for _, tip in tips])
    records: list[Record] = []
    for run in joined(run for runs in spans_of_all for run in runs):
        records += yield from read_line(site, head, run)
    records.sort(key=lambda record: (record.time_us, record.number), reverse=True)
    if before is not None:
        point = yield from find(site, head, MAIN, before)
        last = yield from record_at(site, head, point)
        records = records[[record.id for record in records].index(last.id) + 1 :]
    return [
        checkpoint_of(site.key, names.get(record.line, MAIN), record, changes=changes)
        for record in records[:limit]
    ]


def history(
    site: Site, limit: int | None, before: Ref | None, changes: bool, branch: str = MAIN
) -> Steps[list[Checkpoint]]:
    """Checkpoints of a branch, newest first."""
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}")

    def told(head: Head) -> Steps[list[Checkpoint]]:
        return _history(site, head, limit, before, changes, branch)

    return (yield from as_of_now(site, told))


def _history(
    site: Site, head: Head, limit: int | None, before: Ref | None, changes: bool, branch: str
) -> Steps[list[Checkpoint]]:
    head = as_branch(head, branch, (yield from find_branch(site, head, branch)))
    below: int | None = None
    if before is not None:
        point = yield from find(site, head, branch, before)
        head, branch, below = as_branch(head, point.branch, point.tip), point.branch, point.number
    records = yield from take_back(site, head, branch, before=below, count=limit)
    return [checkpoint_of(site.key, branch, record, changes=changes) for record in records]
