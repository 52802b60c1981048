"""Rows of records in memory: which of them hold what, and which give way to others."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from perdure.engine.requests import (
    ROW_START_BYTES,
    Held,
    Known,
    ListHeld,
    RecordRow,
    Run,
    Tail,
)
from perdure.errors import Erased, StateExists


def holds(number: int, count: int, first: int, last: int) -> bool:
    """Whether a row of `count` records up to `number` holds any of `first` … `last`."""
    return first <= last and number >= first and number - count < last


def gives_way(row: tuple[int, int, int], removed: Iterable[Run]) -> bool:
    """Whether all records of a row `(line, number, count)` lie in one of these runs."""
    line, number, count = row
    return any(
        run.line == line and run.first <= number - count + 1 and number <= run.last
        for run in removed
    )


def page_of(rows: Iterable[RecordRow], bytes_max: int) -> tuple[RecordRow, ...]:
    """The first of `rows`, and those after it while they fit into `bytes_max`."""
    page: list[RecordRow] = []
    size = 0
    for row in rows:
        size += len(row.blob)
        if page and size > bytes_max:
            break
        page.append(row)
    return tuple(page)


def sizes_of(rows: Sequence[RecordRow], count: int) -> tuple[tuple[int, int, int, bytes], ...]:
    """The first `count` rows as a `ListRows` answers them."""
    return tuple(
        (row.number, row.count, len(row.blob), bytes(row.blob[:ROW_START_BYTES]))
        for row in rows[:count]
    )


def held_of(
    request: ListHeld,
    rows: Mapping[bytes, Iterable[RecordRow]],
    page_sizes: Mapping[bytes, Sequence[int]],
) -> tuple[Held, ...]:
    """What a `ListHeld` answers, of all rows and sizes of pages by their incarnation."""
    lines: dict[tuple[bytes, int], list[RecordRow]] = {}
    for incarnation, each in rows.items():
        for row in each:
            lines.setdefault((incarnation, row.line), []).append(row)
    found = {
        (incarnation, -1): Held(incarnation, None, len(sizes), 0, sum(sizes))
        for incarnation, sizes in page_sizes.items()
        if sizes
    }
    for (incarnation, line), held in lines.items():
        last, size = max(row.number for row in held), sum(len(row.blob) for row in held)
        found[incarnation, line] = Held(incarnation, line, len(held), last, size)
    there = sorted({place[0] for place in found if place[0] >= request.incarnation})
    asked = set(there[: request.count])
    return tuple(each for place, each in sorted(found.items()) if place[0] in asked)


def place_taken(line: int, number: int) -> StateExists:
    """What a row is answered if one of its records is in another row already."""
    return StateExists(f"Record {number} of line {line} is already stored. Nothing was written.")


def was_erased(incarnation: bytes, at_us: int) -> Erased:
    """What is answered to who would store something of an incarnation that has a receipt."""
    at = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    return Erased(
        f"The life {incarnation.hex()[:12]} of a state was erased {at:%Y-%m-%d %H:%M} UTC. Nothing "
        "of it can be stored any more; its name can be used anew.",
        at=at,
    )


def unknown_of(tail: Tail, known: Known | None) -> tuple[int, bytes | None]:
    """After which number the records of a tail are not known, and its page if that is not."""
    if known is None or known.tail != tail:
        return tail.after, tail.page
    return max(tail.after, known.number), None


@dataclass(slots=True)
class Lines:
    """The rows of one incarnation, which never overlap."""

    _numbers: dict[int, list[int]] = field(default_factory=dict)
    """Of each line, in order."""
    _rows: dict[tuple[int, int], RecordRow] = field(default_factory=dict)

    def __iter__(self) -> Iterator[RecordRow]:
        """Every row, in no order."""
        return iter(self._rows.values())

    def holding(self, line: int, first: int, last: int) -> list[RecordRow]:
        """The rows that hold any of these records, in order."""
        numbers, found = self._numbers.get(line, []), []
        for at in range(bisect_left(numbers, first), len(numbers)):
            row = self._rows[line, numbers[at]]
            if not holds(row.number, row.count, first, last):
                break
            found.append(row)
        return found

    def exchange(self, removed: Sequence[Run], added: Sequence[RecordRow]) -> None:
        """Let the rows in `removed` give way, and store all of `added`.

        Raises:
            StateExists: a place is taken; all is as it was.
        """
        # Two runs may name the same row.
        gone = {id(row): row for run in removed for row in self._within(run)}.values()
        done: list[RecordRow] = []
        for row in gone:
            self._take(row)
        for row in added:
            if self.holding(row.line, row.number - row.count + 1, row.number):
                for one in done:
                    self._take(one)
                for one in gone:
                    self._put(one)
                raise place_taken(row.line, row.number)
            self._put(row)
            done.append(row)

    def _within(self, run: Run) -> list[RecordRow]:
        held = self.holding(run.line, run.first, run.last)
        return [row for row in held if gives_way((row.line, row.number, row.count), (run,))]

    def _put(self, row: RecordRow) -> None:
        insort(self._numbers.setdefault(row.line, []), row.number)
        self._rows[row.line, row.number] = row

    def _take(self, row: RecordRow) -> None:
        self._numbers[row.line].remove(row.number)
        del self._rows[row.line, row.number]
