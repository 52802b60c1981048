"""Which rows of a line become one: a plan made from their sizes alone.

Records that stand by themselves become packs, and packs are merged as they grow, as digits of a
counter are carried: a row takes in what is newer when that is as large as itself, and once more to
be full. So a record is rewritten O(log n) times, and a long history ends in a few rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from perdure import limits
from perdure.core.head import Head
from perdure.core.seal import payload_bytes
from perdure.engine.requests import ListRows, Run, Steps


class RowSize(msgspec.Struct, frozen=True):
    """A stored row as far as a plan needs it."""

    number: int
    """Of the newest record in it."""
    count: int
    """Records in it."""
    raw_bytes: int
    """Length of its payload; `perdure.core.seal.payload_bytes` tells it from a blob's beginning."""
    stored_bytes: int
    """Length of its blob."""


def next_run(rows: Sequence[RowSize]) -> Sequence[RowSize]:
    """The rows that should next be replaced by one pack; none when nothing is left to do.

    `rows` are those of one line that may be packed (at or below its newest snapshot), oldest first.
    What is returned are neighbours, two at least, that fit into one pack and one step.

    Example:
        >>> rows = [RowSize(number, 1, 600, 500) for number in range(1, 65)]
        >>> len(next_run(rows))
        64
        >>> next_run([RowSize(64, 64, 35_000, 9_000)])
        []
    """
    found = _unpacked(rows)
    if found is None:
        # What fits into one pack with all that is newer is still growing; the rest is not.
        start = len(rows) - _fitting(reversed(rows))
        found = _closed(rows, start) or _carry(rows, start)
    return rows[slice(*found)] if found is not None else []


def _fitting(rows: Iterable[RowSize]) -> int:
    """How many of these, from the first on, are neighbours and can become one pack in one step."""
    records = raw = stored = found = 0
    beside: RowSize | None = None
    for row in rows:
        records, raw, stored = (
            records + row.count,
            raw + row.raw_bytes,
            stored + row.stored_bytes,
        )
        if (
            records > limits.pack_records_max
            or raw > limits.pack_bytes_max
            or stored > limits.upkeep_bytes_max
            or found == limits.pack_rows_max
            or not (beside is None or _are_neighbours(beside, row))
        ):
            break
        found, beside = found + 1, row
    return found


def _are_neighbours(one: RowSize, other: RowSize) -> bool:
    """Whether no record lies between these rows, whichever is the newer."""
    older, newer = sorted((one, other), key=lambda row: row.number)
    return newer.number - newer.count == older.number


def _unpacked(rows: Sequence[RowSize]) -> tuple[int, int] | None:
    """The oldest run of single records, with packs before it that are no larger."""
    for start, row in enumerate(rows):
        if row.count == 1:
            after = (rows[at] for at in range(start, len(rows)))
            end = start + _fitting(takewhile(lambda each: each.count == 1, after))
            if end - start > 1:
                return _with_smaller(rows, start, end), end
    return None


def _with_smaller(rows: Sequence[RowSize], start: int, end: int) -> int:
    """Where a run begins when it takes in those before it that are no larger than itself."""
    first = end - _fitting(rows[at] for at in range(end - 1, -1, -1))
    total = sum(row.raw_bytes for row in rows[start:end])
    while start > first and rows[start - 1].raw_bytes <= total:
        start -= 1
        total += rows[start].raw_bytes
    return start


def _closed(rows: Sequence[RowSize], end: int) -> tuple[int, int] | None:
    """The oldest run that can become one among the rows before `end`, which grow no more."""
    for start in range(end - 1):
        found = _fitting(rows[at] for at in range(start, end))
        if found > 1:
            return start, start + found
    return None


def _carry(rows: Sequence[RowSize], start: int) -> tuple[int, int] | None:
    """The oldest row from `start` on that takes in all that is newer: as large, or filling it."""
    for at in range(start, len(rows) - 1):
        row, newer = rows[at], rows[at + 1 :]
        is_as_large = row.raw_bytes <= sum(each.raw_bytes for each in newer)
        if is_as_large or (not _are_full([row]) and _are_full(rows[at:])):
            return at, len(rows)
    return None


def _are_full(rows: Sequence[RowSize]) -> bool:
    """Whether less than an eighth of a pack is left: not worth rewriting the row for."""
    return (
        8 * sum(row.raw_bytes for row in rows) > 7 * limits.pack_bytes_max
        or 8 * sum(row.stored_bytes for row in rows) > 7 * limits.upkeep_bytes_max
    )


def sizes_of(head: Head, run: Run, count: int) -> Steps[list[RowSize]]:
    """The rows that hold any of a run's records, oldest first, at most so many."""
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
