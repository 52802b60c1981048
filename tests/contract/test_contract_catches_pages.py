"""The contract kit catches backends with one bug each in pages, stagings or space."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from msgspec.structs import replace

from perdure.backends.lines import Lines
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import (
    Answer,
    Commit,
    Discard,
    Held,
    ListHeld,
    ListPages,
    ListStaged,
    PageRow,
    PutPages,
    ReadPages,
    ReadState,
    Stage,
    StateAnswer,
    StateRows,
)
from perdure.errors import PerdureError
from perdure.testing.contract import CHECKS

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
    def _read_state(self, request: ReadState) -> StateAnswer:
        state = super()._read_state(request)
        return replace(state, pages=()) if isinstance(state, StateRows) else state


class AnswersARootOfAnyState(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        state = super()._read_state(request)
        if not isinstance(state, StateRows):
            return state
        if (wanted := self._tables.heads[request.key][1].page) is None:
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


class TakesALifeWithoutRecordsForAStaging(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        super()._put_pages(request)
        lines = self._tables.records.get(request.incarnation, Lines())
        heads = self._tables.heads.values()
        is_named = any(tail.incarnation == request.incarnation for _, tail in heads)
        if not is_named and not list(lines):
            self._tables.staged.setdefault(request.incarnation, 0)


class HoldsNoStagings(MemoryBackend):
    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        staged = self._tables.staged
        return tuple(each for each in super()._list_held(request) if each.incarnation not in staged)


class HoldsOnlyPresentLives(MemoryBackend):
    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        known = {tail.incarnation for _, tail in self._tables.heads.values()} | {
            *self._tables.staged
        }
        return tuple(each for each in super()._list_held(request) if each.incarnation in known)


class CountsLinesForIncarnations(MemoryBackend):
    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        return super()._list_held(request)[: request.count]


BUGS: list[tuple[Callable[[str], MemoryBackend], str]] = [
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
    (HoldsNoStagings, "check_list_held"),
    (HoldsOnlyPresentLives, "check_list_held"),
    (CountsLinesForIncarnations, "check_list_held"),
    (KeepsPagesGivenUp, "check_discard"),
    (DiscardsPagesOfStates, "check_discard"),
    (DropsPagesOfFormerLives, "check_former_life_stays"),
    (TakesALifeWithoutRecordsForAStaging, "check_former_life_of_pages_stays"),
]


@pytest.mark.parametrize(("bug", "check"), BUGS, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_bug_is_caught(bug: Callable[[str], MemoryBackend], check: str) -> None:
    name = uuid4().hex
    found = {each.__name__: each for each in CHECKS}[check]
    with pytest.raises((AssertionError, PerdureError)):
        found(lambda: bug(name))


def test_every_check_of_pages_and_stagings_catches_something() -> None:
    caught = {check for _, check in BUGS}
    checks = {
        each.__name__
        for each in CHECKS
        if each.__module__.rpartition(".")[2] in ("contract_pages", "contract_staging")
    }
    # Those are caught in `test_contract_catches`.
    assert checks - caught == {"check_staged_is_invisible", "check_stage_never_replaces"}
