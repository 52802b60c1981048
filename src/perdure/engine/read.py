"""Reading: heads and runs of records, verified before anything is made of them (P2, P5)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import msgspec

from perdure import limits
from perdure.core import chain
from perdure.core.changes import apply
from perdure.core.head import Base, Branch, Head
from perdure.core.head_bytes import open_head
from perdure.core.lineage import is_whole, starts_at
from perdure.core.pack import opening_pack
from perdure.core.pieces import RECORD_BYTES, Meter
from perdure.core.record import BASE, Record, open_record
from perdure.core.seal import Kind, Place, damaged
from perdure.core.whence import told_whence
from perdure.engine.requests import (
    LET_GO,
    Compute,
    HeadRow,
    ReadHead,
    ReadRecords,
    RecordRow,
    Run,
    Steps,
)
from perdure.engine.unfit import missing, pruned_below, unlinked
from perdure.errors import (
    Damaged,
    Malformed,
    ReplayMismatch,
    StateNotFound,
    retold,
)

T = TypeVar("T")

MAX_NUMBER = 2**62
"""No record's number comes so far."""
HEAD_GROWS = 8
"""How much longer than it is stored a head may be in memory (times)."""
_HEAD = "head"
"""Where heads are kept: with this, by their keys."""


class Cache(Protocol):
    """Where things that were verified are kept, by their places; it may let them go at any time."""

    def get(self, place: Hashable) -> Any:
        """What is kept at a place, or None."""

    def keep(self, place: Hashable, thing: Any, size_bytes: int) -> None:
        """Keep what takes so many bytes in memory, and is never changed."""


class Site(msgspec.Struct, frozen=True):
    """Which state of which store an engine function works on."""

    store: bytes
    key: str
    cache: Cache | None = None
    """Of what was read of this store; None: everything is read from it."""

    def stored(self) -> Site:
        """The same for who has to see what is stored: nothing is taken from memory."""
        return self if self.cache is None else Site(self.store, self.key)

    def kept(self, place: Hashable) -> Any:
        """What was kept at a place, or None."""
        return self.cache.get(place) if self.cache is not None else None

    def keep(self, place: Hashable, thing: Any, size_bytes: int) -> None:
        """Keep what was verified; it must never be changed."""
        if self.cache is not None:
            self.cache.keep(place, thing, size_bytes)

    def head(self, row: HeadRow) -> Head:
        """A stored head, verified; one whose bytes are those that were verified last is the same.

        It is shared: never change it.
        """
        kept = self.kept((_HEAD, self.key))
        if kept is not None and kept[0] == row:
            return kept[1]  # type: ignore[no-any-return]  # the head beside its row
        head = open_head(row.blob, store=self.store, key=self.key, token=row.token)
        self.keep_head(row, head)
        return head

    def keep_head(self, row: HeadRow, head: Head) -> None:
        """Keep a head that is stored as `row`, for who reads it next."""
        size = (1 + HEAD_GROWS) * len(row.blob) + limits.cache_item_bytes
        self.keep((_HEAD, self.key), (row, head), size)

    def records(self, incarnation: bytes, row: RecordRow, first: int = 0) -> Iterator[Record]:
        """The records in a row from `first` on, oldest first, verified against their place."""
        place = Place(self.store, incarnation, row.line, row.number)
        kind = Kind.RECORD if row.count == 1 else Kind.PACK
        try:
            if kind is Kind.PACK:
                yield from opening_pack(row.blob, place, row.count, first)
                return
            record = open_record(
                row.blob,
                store=self.store,
                incarnation=incarnation,
                line=row.line,
                number=row.number,
            )
        except Damaged as error:
            better = told_whence(error, kind, place, row.blob)
            if better is error:
                raise
            raise better from error
        yield record

    def run(
        self, incarnation: bytes, rows: Iterable[RecordRow], first: int, last: int
    ) -> list[Record]:
        """Those of the records in these rows that are `first` … `last`.

        The rows that hold the ends of a run may hold more; one that holds none is not opened.
        """
        return list(self.each(incarnation, rows, first, last))

    def each(
        self, incarnation: bytes, rows: Iterable[RecordRow], first: int, last: int
    ) -> Iterator[Record]:
        """The same, one by one."""
        for row in rows:
            if row.number < first or row.number - row.count >= last:
                continue
            for record in self.records(incarnation, row, first):
                if record.number > last:  # what else a pack holds is not even looked at
                    break
                yield record


def read_head(site: Site) -> Steps[Head]:
    """The head of a state that is there.

    Raises:
        StateNotFound: there is none, or it was deleted.
    """
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    if head is None or head.deleted_us is not None:
        deleted = " (it was deleted; `undelete` brings it back)" if head is not None else ""
        raise StateNotFound(f"there is no state {site.key!r} in this store{deleted}")
    return head


def required(site: Site) -> Steps[Site]:
    """The site of a state that is there.

    Raises:
        StateNotFound: it is not.
    """
    yield from read_head(site)
    return site


def as_of_now(site: Site, work: Callable[[Head], Steps[T]]) -> Steps[T]:
    """Do what reads a state, anew where what it reads was replaced or pruned meanwhile."""
    head = yield from read_head(site)
    while True:
        try:
            return (yield from work(head))
        except Damaged:
            if not (yield from is_replaced(site, head)):
                raise
            head = yield from read_head(site)


def is_replaced(site: Site, head: Head) -> Steps[bool]:
    """Whether what a head leads to may have been replaced or pruned since it was read.

    Then what cannot be found is not lost, and whoever looked for it begins again.
    """
    now = yield from read_head(site)
    return (now.incarnation, now.generation) != (head.incarnation, head.generation)


def spans(
    site: Site, head: Head, tip: Branch, first: int, last: int, most: int | None = None
) -> Steps[list[Run]]:
    """Where the records `first` … `last` of a branch are, oldest first: a run on each line.

    Only the `most` newest runs, if that is given; and nothing that is below where it was pruned.

    Raises:
        Damaged: a record is missing that tells what a line is based on.
    """
    found: list[Run] = []
    first, last = max(first, tip.first), min(last, tip.number)
    line, bases = tip.line, list(tip.bases)
    while last >= first:
        base = bases.pop(0) if bases else None
        if base is None and not is_whole(tip):
            base = yield from base_of(site, head, line)
        start = base.number + 1 if base is not None else 1
        if last >= start:
            found.append(Run(line, max(start, first), last))
        if base is None or len(found) == most:
            break
        line, last = base.line, min(last, base.number)
    return found[::-1]


def base_of(site: Site, head: Head, line: int) -> Steps[Base | None]:
    """What a line is based on, as its first record tells; None: on nothing."""
    rows = yield ReadRecords(head.incarnation, line, 1, MAX_NUMBER, 1)
    if not rows:
        what = f"the first record on line {line} of {site.key!r} is missing"
        raise damaged(site.store, what, "missing", Place(site.store, head.incarnation, line, 1))
    first = next(site.records(head.incarnation, rows[0]))
    try:
        return msgspec.convert(first.extra.get(BASE), Base | None)
    except msgspec.ValidationError as error:
        raise Damaged(f"line {line} of {site.key!r}: its first record tells no base") from error


def joined(runs: Iterable[Run]) -> list[Run]:
    """The same records as runs that neither overlap nor touch, each line's oldest first."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.line, run.first)):
        below = found[-1] if found else None
        if below is not None and below.line == run.line and run.first <= below.last + 1:
            found[-1] = Run(run.line, below.first, max(below.last, run.last))
        else:
            found.append(run)
    return found


def read_run(site: Site, head: Head, tip: Branch, first: int, last: int) -> Steps[list[Record]]:
    """Records `first` … `last` of a branch, all of them, each linked to the one before it.

    Raises:
        Damaged: one is missing, or is not what was saved.
        CheckpointPruned: it is below where the branch was pruned.
    """
    if first < tip.first:
        raise pruned_below(site, tip)
    runs = [Run(tip.line, first, last)]
    if first < starts_at(tip):
        runs = yield from spans(site, head, tip, first, last)
    records: list[Record] = []
    for run in runs:
        records += yield from read_line(site, head, run)
    check_links(site, records)
    return records


def read_line(site: Site, head: Head, run: Run) -> Steps[list[Record]]:
    """The records of one line, all of them; see `check_links`."""
    records: list[Record] = []
    first, last = run.first, run.last
    while first <= last:
        rows: Sequence[RecordRow] = yield ReadRecords(
            head.incarnation, run.line, first, last, limits.read_bytes_max
        )
        opening = site.each(head.incarnation, rows, first, last)
        found = (yield from _opened(opening)) if _are_many(rows) else list(opening)
        if not found or found[0].number != first:
            is_end = not found and any(
                (tip.line, tip.number) == (run.line, last) for tip in head.branches.values()
            )
            raise missing(site, run.line, first, is_end=is_end)
        records += found
        first = found[-1].number + 1
    return records


def read_groups(site: Site, head: Head, run: Run) -> Steps[list[list[Record]]]:
    """The first records of a run, as many as one request gives, row by row.

    So what is larger than memory passes through, and the records of a pack stand together.
    """
    rows = yield ReadRecords(head.incarnation, run.line, run.first, run.last, limits.read_bytes_max)
    groups: list[list[Record]] = []
    size = 0
    for row in rows:
        groups.append(site.run(head.incarnation, [row], run.first, run.last))
        # Packs hold many times what they take in the store.
        size += sum(len(record.canonical) for record in groups[-1])
        if size > limits.read_bytes_max:
            break
    return [group for group in groups if group]


def next_records(site: Site, head: Head, run: Run) -> Steps[list[Record]]:
    """The first records of a run, linked to each other: as many as one request gives.

    Raises:
        Damaged: the first is missing, or one is not what was saved.
    """
    groups = yield from read_groups(site, head, run)
    records = [record for group in groups for record in group]
    if not records or records[0].number != run.first:
        raise missing(site, run.line, run.first)
    check_links(site, records)
    return records


def _are_many(rows: Sequence[RecordRow]) -> bool:
    """Whether to verify and decode these rows takes long enough for others to feel it."""
    size, count = sum(len(row.blob) for row in rows), sum(row.count for row in rows)
    return size > limits.open_at_once_bytes_max or count > 2 * limits.piece_records_max


def _opened(opening: Iterator[Record]) -> Steps[list[Record]]:
    """These records, some at a time: others have a turn between."""

    def some() -> list[Record]:
        found, meter = list[Record](), Meter()
        for record in opening:
            found.append(record)
            if meter.is_full(RECORD_BYTES + len(record.canonical)):
                break
        return found

    records: list[Record] = []
    while found := (yield Compute(some)):
        records += found
    return records


def replay(records: Iterable[Record], onto: dict[str, Any] | None = None) -> dict[str, Any]:
    """Sections after applying `records` in order. Takes ownership of their values.

    Raises:
        ReplayMismatch: a change does not fit; the message names its checkpoint.
        NewerFormat: it holds a change that this version does not know.
    """
    sections: dict[str, Any] = {} if onto is None else onto
    for record in records:
        replay_one(record, sections)
    return sections


def replay_one(record: Record, sections: dict[str, Any]) -> None:
    """Apply one record to the state before it. Raises as `replay` does."""
    try:
        apply(sections, record.changes())
    except (ReplayMismatch, Malformed) as error:
        raise retold(error, f"checkpoint {record.number} does not apply: {error}") from error


def replaying(records: Iterable[Record]) -> Steps[dict[str, Any]]:
    """The same as `replay`, letting others have a turn between the records."""
    sections: dict[str, Any] = {}
    meter = Meter()
    for record in records:
        replay_one(record, sections)
        if meter.is_full(RECORD_BYTES + len(record.canonical)):
            yield LET_GO
    return sections


def check_run(site: Site, records: Sequence[Record], tip: Branch, after: int) -> None:
    """That `records` are every record from the one after `after` to the branch's newest."""
    for number, record in enumerate(records, after + 1):
        if record.number != number:
            raise missing(site, tip.line, number)
    check_links(site, records)
    if after + len(records) != tip.number:
        raise missing(site, tip.line, after + len(records) + 1, is_end=True)
    if not records:
        return
    if after == tip.first - 1 and records[0].parent != parent_of(tip):
        raise missing(site, tip.line, after)
    if records[-1].hash != tip.hash or records[-1].id != tip.record:
        raise unlinked(site, records[-1])


def check_next(site: Site, records: Sequence[Record], tip: Branch, after: Record | None) -> None:
    """That `records` go on where `after` ended, and end at `tip` if they reach it."""
    first = after.number + 1 if after is not None else tip.first
    if not records or records[0].number != first:
        raise missing(site, tip.line, first)
    if records[0].parent != (after.hash if after is not None else parent_of(tip)):
        raise unlinked(site, records[0])
    check_links(site, records)
    if records[-1].number == tip.number and records[-1].hash != tip.hash:
        raise unlinked(site, records[-1])


def check_links(site: Site, records: Sequence[Record]) -> None:
    """That each record follows the one before it and is chained to it."""
    for before, record in pairwise(records):
        if record.number != before.number + 1:
            raise missing(site, record.line, before.number + 1)
        if record.parent != before.hash:
            raise unlinked(site, record)


def parent_of(tip: Branch) -> bytes:
    """The chain's hash before the oldest record that a branch has without a gap."""
    return tip.cut.hash if tip.cut is not None else chain.ORIGIN
