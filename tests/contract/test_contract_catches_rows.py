"""The contract kit catches backends with one bug each in rows, pages, stagings or space."""

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
    Discard,
    ListPages,
    ListRows,
    ListStaged,
    Moved,
    PageRow,
    PutPages,
    ReadPages,
    ReadRecords,
    ReadState,
    RecordRow,
    Run,
    Stage,
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
    def _read_state(self, request: ReadState) -> StateRows | None:
        state = super()._read_state(request)
        if state is None:
            return None
        after = self._tables.heads[request.key][1].after
        whole = (row for row in state.records if row.number - row.count >= after)
        return replace(state, records=tuple(whole))


class ListsRowsByTheirNumberOnly(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int], ...]:
        return tuple(row for row in super()._list_rows(request) if row[0] <= request.last)


class ListsStagedRows(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int], ...]:
        staged, self._tables.staged = self._tables.staged, {}
        try:
            return super()._list_rows(request)
        finally:
            self._tables.staged = staged


class ListsRecordsForRows(MemoryBackend):
    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int], ...]:
        rows = super()._list_rows(replace(request, count=2**31))
        return rows[: request.count - sum(count for _, count, _ in rows[1:])]


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


# ---- pages ----------------------------------------------------------------------------------


class SharesPagesBetweenStates(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        super()._put_pages(request)
        for pages in self._tables.pages.values():
            pages.update((page.id, page.blob) for page in request.pages)


class KeepsThePageThatIsThere(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        there = self._tables.pages.get(request.incarnation, {})
        new = tuple(page for page in request.pages if page.id not in there)
        super()._put_pages(replace(request, pages=new))


class KeepsThePagesBuffer(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        super()._put_pages(request)
        pages = self._tables.pages[request.incarnation]
        pages.update((page.id, page.blob) for page in request.pages)


class AnswersMissingPagesAsEmpty(MemoryBackend):
    def _read_pages(self, request: ReadPages) -> tuple[PageRow, ...]:
        found = {page.id: page for page in super()._read_pages(request)}
        return tuple(found.get(id_, PageRow(id_, b"")) for id_ in request.ids)


class ListsPagesAsTheyCame(MemoryBackend):
    def _list_pages(self, request: ListPages) -> tuple[tuple[bytes, int], ...]:
        pages = self._tables.pages.get(request.incarnation, {})
        listed = [(id_, len(blob)) for id_, blob in pages.items()]
        return tuple(each for each in listed if each[0] > (request.after or b""))[: request.count]


class ListsPagesFromAfter(MemoryBackend):
    def _list_pages(self, request: ListPages) -> tuple[tuple[bytes, int], ...]:
        every = super()._list_pages(replace(request, after=None, count=2**31))
        after = request.after or b""
        return tuple(each for each in every if each[0] >= after)[: request.count]


class LeavesTheRootOut(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateRows | None:
        state = super()._read_state(request)
        return replace(state, pages=()) if state else None


class AnswersARootOfAnyState(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateRows | None:
        state = super()._read_state(request)
        if state is None or (wanted := self._tables.heads[request.key][1].page) is None:
            return state
        every = (pages.get(wanted) for pages in self._tables.pages.values())
        found = (PageRow(wanted, blob) for blob in every if blob is not None)
        return replace(state, pages=tuple(found))


class NeverDrops(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        return super()._settle(replace(request, dropped=()))


class DropsInEveryState(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        for incarnation in self._tables.pages:
            self._tables.drop(incarnation, request.dropped)
        return answer


class DropsAgainLater(MemoryBackend):
    """A deletion that comes late takes what was put meanwhile."""

    def _settle(self, request: Commit) -> Answer:
        late = getattr(self, "late", ())
        self.late = request.dropped
        return super()._settle(replace(request, dropped=(*request.dropped, *late)))


class LosesPagesWhenClosed(MemoryBackend):
    def close(self) -> None:
        super().close()
        self._tables.pages.clear()


class CompactsPagesAway(MemoryBackend):
    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        for pages in self._tables.pages.values():
            pages.pop(min(pages, default=b""), None)
        return super().compact(progress)


class CompactsWithoutAnEnd(MemoryBackend):
    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        return super().compact(progress) + 4096


class TellsMoreThanAll(MemoryBackend):
    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        if progress:
            progress(2, 1)
        return super().compact(progress)


# ---- stagings -------------------------------------------------------------------------------


class StagesRowsOfOne(MemoryBackend):
    def _stage(self, request: Stage) -> None:
        rows = tuple(replace(row, count=1) for row in request.records)
        super()._stage(replace(request, records=rows))


class HidesAStateThatGetsPages(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        super()._put_pages(request)
        if request.incarnation not in self._tables.records:
            self._tables.staged.setdefault(request.incarnation, 0)


class ForgetsPagesThatNobodyNames(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        super()._put_pages(request)
        if request.incarnation not in self._tables.records:
            self._tables.staged.pop(request.incarnation, None)


class TellsTheLastTimeGiven(MemoryBackend):
    def _stage(self, request: Stage) -> None:
        super()._stage(request)
        self._tables.staged[request.incarnation] = request.at_us


class ListsStagingsAsTheyCame(MemoryBackend):
    def _list_staged(self, request: ListStaged) -> tuple[tuple[bytes, int], ...]:
        return super()._list_staged(request)[::-1]


class KeepsPagesGivenUp(MemoryBackend):
    def _discard(self, request: Discard) -> None:
        pages = self._tables.pages.get(request.incarnation, {})
        super()._discard(request)
        self._tables.pages[request.incarnation] = pages


class DiscardsPagesOfStates(MemoryBackend):
    def _discard(self, request: Discard) -> None:
        super()._discard(request)
        self._tables.pages.pop(request.incarnation, None)


class DropsPagesOfFormerLives(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        former = self._tables.heads.get(request.key)
        answer = super()._settle(request)
        if former and former[1].incarnation != request.tail.incarnation:
            self._tables.pages.pop(former[1].incarnation, None)
        return answer


# ---- one moment -----------------------------------------------------------------------------


class ReadsTheRootApart(MemoryBackend):
    """Between reading the head and its root page, a commit fits in."""

    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        _committed.set()
        return answer

    def _read_state(self, request: ReadState) -> StateRows | None:
        _committed.clear()
        state = super()._read_state(request)
        _committed.wait(0.2)
        if state is None:
            return None
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
    (SharesPagesBetweenStates, "check_pages"),
    (AnswersMissingPagesAsEmpty, "check_pages"),
    (KeepsThePageThatIsThere, "check_pages_put_again"),
    (KeepsThePagesBuffer, "check_page_ownership"),
    (ListsPagesAsTheyCame, "check_list_pages"),
    (ListsPagesFromAfter, "check_list_pages"),
    (LeavesTheRootOut, "check_root_page_in_state"),
    (AnswersARootOfAnyState, "check_root_page_in_state"),
    (NeverDrops, "check_dropped"),
    (DropsInEveryState, "check_dropped"),
    (DropsAgainLater, "check_dropped"),
    (LosesPagesWhenClosed, "check_stored_pages_are_there_again"),
    (CompactsPagesAway, "check_compact"),
    (CompactsWithoutAnEnd, "check_compact"),
    (TellsMoreThanAll, "check_compact"),
    (StagesRowsOfOne, "check_staged_packs_and_pages"),
    (HidesAStateThatGetsPages, "check_a_state_is_never_staged"),
    (ForgetsPagesThatNobodyNames, "check_list_staged"),
    (TellsTheLastTimeGiven, "check_list_staged"),
    (ListsStagingsAsTheyCame, "check_list_staged"),
    (KeepsPagesGivenUp, "check_discard"),
    (DiscardsPagesOfStates, "check_discard"),
    (DropsPagesOfFormerLives, "check_former_life_stays"),
    (ReadsTheRootApart, "check_readers_see_whole_replacements"),
    (RemovesFirstAndStoresLater, "check_readers_see_whole_replacements"),
]


@pytest.mark.parametrize(("bug", "check"), BUGS, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_bug_is_caught(bug: Callable[[str], MemoryBackend], check: str) -> None:
    name = uuid4().hex
    found = {each.__name__: each for each in CHECKS}[check]
    with pytest.raises((AssertionError, PerdureError)):
        found(lambda: bug(name))


def test_every_check_of_rows_pages_and_stagings_catches_something() -> None:
    caught = {check for _, check in BUGS}
    ours = ("contract_rows", "contract_pages", "contract_staging")
    checks = {each.__name__ for each in CHECKS if each.__module__.rpartition(".")[2] in ours}
    # These two are caught in `test_contract_catches`.
    assert checks - caught == {"check_staged_is_invisible", "check_stage_never_replaces"}
