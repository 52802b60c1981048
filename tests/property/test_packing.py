"""A long history ends in few rows, and each record is rewritten few times on the way there."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure import limits
from perdure.engine.packing import RowSize, next_run

SMALL, LARGE = st.integers(100, 3_000), st.integers(100_000, 2_000_000)


def single(number: int, raw_bytes: int, ratio: float = 1.0) -> RowSize:
    return RowSize(number, 1, raw_bytes, int(raw_bytes * ratio))


def packed(run: list[RowSize], ratio: float) -> RowSize:
    """The row that a run becomes."""
    raw = sum(row.raw_bytes for row in run)
    return RowSize(run[-1].number, sum(row.count for row in run), raw, int(raw * ratio))


class Line:
    """The rows of a line, and what they have cost."""

    def __init__(self, ratio: float) -> None:
        self.rows: list[RowSize] = []
        self.ratio = ratio
        self.rewritten_bytes = 0

    def save(self, sizes: list[int]) -> None:
        first = self.rows[-1].number + 1 if self.rows else 1
        self.rows += [single(number, size) for number, size in enumerate(sizes, first)]

    def upkeep(self) -> None:
        """Replace what is due until nothing is."""
        while run := list(next_run(self.rows)):
            at = self.rows.index(run[0])
            assert self.rows[at : at + len(run)] == run
            assert len(run) > 1
            assert sum(row.raw_bytes for row in run) <= limits.pack_bytes_max
            assert sum(row.stored_bytes for row in run) <= limits.upkeep_bytes_max
            assert sum(row.count for row in run) <= limits.pack_records_max
            self.rows[at : at + len(run)] = [packed(run, self.ratio)]
            self.rewritten_bytes += self.rows[at].raw_bytes

    @property
    def raw_bytes(self) -> int:
        return sum(row.raw_bytes for row in self.rows)


BATCHES = st.lists(st.lists(st.one_of(SMALL, SMALL, SMALL, LARGE), min_size=1), max_size=60)
RATIOS = st.sampled_from([1.0, 0.5, 0.15, 0.01])


def rows_allowed(line: Line) -> float:
    """Full rows as the bounds allow them, two neighbours filling one, and one of each size."""
    stored = sum(row.stored_bytes for row in line.rows)
    full = line.raw_bytes / limits.pack_bytes_max + stored / limits.upkeep_bytes_max
    return 2 * full + math.log2(limits.pack_bytes_max / 100) + 3


@given(BATCHES, RATIOS)
@example([[500] * 64] * 300, 0.15)
@example([[500] * 64] * 100, 1.0)
@example([[500]] * 1000, 0.3)
@example([[500] * 20_000], 0.15)
@example([[2_000_000, 100]] * 50, 0.15)
@example([[size] for size in range(200_000, 100, -1_000)], 0.5)
@example([[60] * 64] * 700, 0.01)
def test_rows_stay_few_and_rewriting_logarithmic(batches: list[list[int]], ratio: float) -> None:
    line = Line(ratio)
    for sizes in batches:
        line.save(sizes)
        line.upkeep()
        assert len(line.rows) <= rows_allowed(line)
    records = sum(map(len, batches))
    assert line.rewritten_bytes <= line.raw_bytes * (3 + math.log2(records + 1))
    assert sum(row.count for row in line.rows) == records


def test_an_ordinary_history_is_rewritten_a_few_times() -> None:
    line = Line(0.15)
    for _ in range(1_000):
        line.save([600] * 64)
        line.upkeep()
    full = line.raw_bytes / limits.pack_bytes_max
    assert len(line.rows) <= full * 8 / 7 + 5
    assert line.rewritten_bytes <= 6 * line.raw_bytes


def test_what_is_done_is_left_alone() -> None:
    assert list(next_run([])) == []
    assert list(next_run([single(1, 600)])) == []
    assert list(next_run([RowSize(64, 64, 40_000, 9_000), RowSize(70, 6, 4_000, 900)])) == []


def test_a_row_takes_in_what_is_newer_when_that_is_as_large() -> None:
    old, less = RowSize(64, 64, 40_000, 9_000), RowSize(100, 36, 20_000, 5_000)
    more = RowSize(140, 40, 20_000, 5_000)
    assert list(next_run([old, less])) == []
    assert list(next_run([old, less, more])) == [old, less, more]


def test_single_records_take_in_smaller_packs_at_once() -> None:
    old = RowSize(64, 64, 4_000, 900)
    new = [single(number, 600) for number in range(65, 80)]
    assert list(next_run([old, *new])) == [old, *new]


@pytest.mark.parametrize(
    ("raw", "stored", "count"),
    [
        (limits.pack_bytes_max // 2, 10, 2),
        (10, limits.upkeep_bytes_max // 2, 2),
        (10, 10, limits.pack_records_max // 2),
    ],
)
def test_rows_that_are_too_much_together_stay_apart(raw: int, stored: int, count: int) -> None:
    old, new = RowSize(count, count, raw, stored), RowSize(2 * count, count, raw, stored)
    assert list(next_run([old, new])) == [old, new]
    for more in (
        RowSize(2 * count, count, limits.pack_bytes_max - raw + 1, stored),
        RowSize(2 * count, count, raw, limits.upkeep_bytes_max - stored + 1),
        RowSize(limits.pack_records_max + 1, limits.pack_records_max + 1 - count, raw, stored),
    ):
        assert list(next_run([old, more])) == []


def test_a_row_that_is_nearly_full_is_rewritten_once_more() -> None:
    old = RowSize(100, 100, limits.pack_bytes_max * 3 // 4, 1_000)
    little = RowSize(120, 20, limits.pack_bytes_max // 16, 100)
    enough = RowSize(140, 20, limits.pack_bytes_max // 16 + 1, 100)
    assert list(next_run([old, little])) == []
    assert list(next_run([old, little, enough]))[-1] == enough
    full = RowSize(140, 140, limits.pack_bytes_max * 7 // 8 + 1, 1_000)
    assert list(next_run([full, RowSize(150, 10, 1_000, 100)])) == []


def test_rows_with_a_gap_between_them_stay_apart() -> None:
    assert list(next_run([single(1, 600), single(3, 600)])) == []
    rows = [single(1, 600), single(3, 600), single(4, 600)]
    assert list(next_run(rows)) == rows[1:]


def test_rows_that_grow_no_more_become_one() -> None:
    big = RowSize(30, 10, limits.pack_bytes_max, 1_000)
    rows = [RowSize(10, 10, 5_000, 1_000), RowSize(20, 10, 400, 100), big]
    assert list(next_run(rows)) == rows[:2]


def test_no_more_rows_give_way_in_one_transaction_than_may() -> None:
    rows = [single(number, 10) for number in range(1, 3 * limits.pack_rows_max)]
    assert list(next_run(rows)) == rows[: limits.pack_rows_max]
