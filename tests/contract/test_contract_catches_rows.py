"""The contract kit catches backends with one bug each in rows of many records."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from threading import Event
from uuid import uuid4

import pytest
from msgspec.structs import replace

from perdure.backends.lines import Lines
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    ListRows,
    Moved,
    ReadPages,
    ReadRecords,
    ReadState,
    RecordRow,
    Run,
    StateAnswer,
    StateRows,
)
from perdure.errors import PerdureError, StateExists
from perdure.testing.contract import CHECKS

# ---- rows -----------------------------------------------------------------------------------


class FindsRowsByTheirNumberOnly(MemoryBackend):
    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        rows = super()._read_records(request)
        return tuple(row for row in rows if row.number <= request.last)


class ForgetsTheCount(MemoryBackend):
    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        return tuple(replace(row, count=1) for row in super()._read_records(request))


class LeavesPacksOutOfTheTail(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        state = super()._read_state(request)
        if not isinstance(state, StateRows):
            return state
        after = self._tables.heads[request.key][1].after
        whole = (row for row in state.records if row.number - row.count >= after)
        return replace(state, records=tuple(whole))


class ListsRowsByTheirNumberOnly(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        return tuple(row for row in super()._list_rows(request) if row[0] <= request.last)


class ListsStagedRows(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        staged, self._tables.staged = self._tables.staged, {}
        try:
            return super()._list_rows(request)
        finally:
            self._tables.staged = staged


class ListsRecordsForRows(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        rows = super()._list_rows(replace(request, count=2**31))
        return rows[: request.count - sum(count for _, count, *_ in rows[1:])]


class ComparesNumbersOnly(MemoryBackend):
    """A row may reach into another, as long as they end apart."""

    def _settle(self, request: Commit) -> Answer:
        ones = tuple(replace(row, count=1) for row in request.records)
        answer = super()._settle(replace(request, records=ones))
        if answer == Committed():
            rows = self._tables.records.get(request.tail.incarnation, Lines())._rows
            rows.update(((row.line, row.number), row) for row in request.records)
        return answer


class RemovesWhatIsPartlyNamed(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        wider = [run for run in request.removed if run.last < 2**60]
        runs = tuple(Run(run.line, run.first - 3, run.last) for run in wider)
        return super()._settle(replace(request, removed=runs or request.removed))


class RemovesOnEveryLine(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        runs = (replace(run, line=line) for run in request.removed for line in (0, 1))
        return super()._settle(replace(request, removed=tuple(runs)))


class RemovesInEveryState(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        if answer == Committed() and request.removed:
            for incarnation, lines in self._tables.records.items():
                if incarnation != request.tail.incarnation:
                    lines.exchange(request.removed, ())
        return answer


class KeepsWhatIsRemoved(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        return super()._settle(request if request.records else replace(request, removed=()))


class RemovesAfterStoring(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        if answer == Committed():
            self._tables.add(request.tail.incarnation, (), request.removed)
        return answer


class RemovesThoughRefused(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        try:
            return super()._settle(request)
        except StateExists:
            self._tables.add(request.tail.incarnation, (), request.removed)
            raise


class DropsThoughRefused(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        self._tables.drop(request.tail.incarnation, request.dropped)
        return super()._settle(request)


class RemovesThoughMoved(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        if isinstance(answer, Moved):
            self._tables.add(request.tail.incarnation, (), request.removed)
        return answer


class UndoesTheWholeBatch(MemoryBackend):
    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        before = deepcopy(self._tables.records)
        outcomes = super().commit(batch)
        if any(isinstance(outcome, StateExists) for outcome in outcomes):
            self._tables.records = before
        return outcomes


# ---- one moment -----------------------------------------------------------------------------


class ReadsTheRootApart(MemoryBackend):
    """Between reading the head and its root page, a commit fits in."""

    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        _committed.set()
        return answer

    def _read_state(self, request: ReadState) -> StateAnswer:
        _committed.clear()
        state = super()._read_state(request)
        _committed.wait(0.2)
        if not isinstance(state, StateRows):
            return state
        now = super()._read_pages(
            ReadPages(self._tables.heads[request.key][1].incarnation, (state.head.blob,))
        )
        return replace(state, pages=now)


_committed = Event()


class RemovesFirstAndStoresLater(MemoryBackend):
    """Between two steps of one commit, a read fits in."""

    def _settle(self, request: Commit) -> Answer:
        with self._tables.lock:
            self._tables.add(request.tail.incarnation, (), request.removed)
        _read.clear()
        _read.wait(0.2)
        return super()._settle(request)

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        answer = super()._read_records(request)
        _read.set()
        return answer


_read = Event()


BUGS: list[tuple[Callable[[str], MemoryBackend], str]] = [
    (FindsRowsByTheirNumberOnly, "check_rows_hold_runs"),
    (ForgetsTheCount, "check_rows_hold_runs"),
    (LeavesPacksOutOfTheTail, "check_tail_in_a_pack"),
    (ListsRowsByTheirNumberOnly, "check_list_rows"),
    (ListsStagedRows, "check_list_rows"),
    (ListsRecordsForRows, "check_list_rows"),
    (ComparesNumbersOnly, "check_place_within_a_row_is_taken"),
    (RemovesWhatIsPartlyNamed, "check_removed_gives_way"),
    (RemovesOnEveryLine, "check_removed_gives_way"),
    (RemovesInEveryState, "check_removed_gives_way"),
    (KeepsWhatIsRemoved, "check_removed_gives_way"),
    (RemovesAfterStoring, "check_removed_gives_way"),
    (RemovesThoughRefused, "check_refused_removal_leaves_everything"),
    (DropsThoughRefused, "check_refused_removal_leaves_everything"),
    (RemovesThoughMoved, "check_refused_removal_leaves_everything"),
    (UndoesTheWholeBatch, "check_refused_removal_touches_no_other"),
    (ReadsTheRootApart, "check_readers_see_whole_replacements"),
    (RemovesFirstAndStoresLater, "check_readers_see_whole_replacements"),
]


@pytest.mark.parametrize(("bug", "check"), BUGS, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_bug_is_caught(bug: Callable[[str], MemoryBackend], check: str) -> None:
    name = uuid4().hex
    found = {each.__name__: each for each in CHECKS}[check]
    with pytest.raises((AssertionError, PerdureError)):
        found(lambda: bug(name))


def test_every_check_of_rows_catches_something() -> None:
    caught = {check for _, check in BUGS}
    checks = {
        each.__name__ for each in CHECKS if each.__module__.rpartition(".")[2] in ("contract_rows",)
    }
    assert checks - caught == set()
