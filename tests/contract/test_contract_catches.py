"""The contract kit is worth something: backends with one bug each fail it, at the right check."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    Discard,
    HeadRow,
    ListHeads,
    Moved,
    ReadHead,
    ReadRecords,
    ReadState,
    Stage,
    StateAnswer,
    StateRows,
    StorageRequest,
)
from perdure.errors import PerdureError, StateExists
from perdure.testing.contract import CHECKS, run

Outcomes = list[Answer | PerdureError]


class IgnoresTheToken(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        present = self._tables.heads.get(request.key)
        return super()._settle(replace(request, expect=present[0].token if present else None))


class TakesNoneForAny(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        present = self._tables.heads.get(request.key)
        if request.expect is None and present:
            request = replace(request, expect=present[0].token)
        return super()._settle(request)


class KeepsRecordsOfLosers(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        if isinstance(answer, Moved):
            self._tables.add(request.tail.incarnation, request.records)
        return answer


class KeepsPartOfARefusedCommit(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        try:
            return super()._settle(request)
        except StateExists:
            self._tables.add(request.tail.incarnation, request.records[:1])
            raise


class WritesRecordsAfterTheHead(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(replace(request, records=()))
        if answer == Committed():
            for row in request.records:
                with self._tables.lock:
                    self._tables.add(request.tail.incarnation, (row,))
        return answer


class FailsTheWholeBatch(MemoryBackend):
    def commit(self, batch: Sequence[Commit]) -> Outcomes:
        outcomes = super().commit(batch)
        for each in outcomes:
            if isinstance(each, PerdureError):
                raise each
        return outcomes


class SettlesBackwards(MemoryBackend):
    def commit(self, batch: Sequence[Commit]) -> Outcomes:
        return super().commit(batch[::-1])[::-1]


class StopsAtTheFirstLoser(MemoryBackend):
    def commit(self, batch: Sequence[Commit]) -> Outcomes:
        outcomes: Outcomes = []
        for commit in batch:
            lost = bool(outcomes) and isinstance(outcomes[-1], Moved)
            outcomes += [Moved(None)] if lost else super().commit((commit,))
        return outcomes


class KeepsTheBuffer(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        if answer == Committed():
            self._tables.heads[request.key] = request.head, request.tail
        return answer


class DropsTheLastRecord(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        return super()._settle(replace(request, records=request.records[:-1]))


class DropsEmptyRecords(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        return super()._settle(
            replace(request, records=tuple(r for r in request.records if r.blob))
        )


class ForgetsTheTail(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        return super()._settle(replace(request, tail=replace(request.tail, after=0)))


class PagesByRow(MemoryBackend):
    def _read_records(self, request: ReadRecords) -> Any:
        return super()._read_records(replace(request, bytes_max=0))


class IgnoresTheBound(MemoryBackend):
    def _read_records(self, request: ReadRecords) -> Any:
        return super()._read_records(replace(request, bytes_max=2**62))


class ReadsForwardsOnly(MemoryBackend):
    def _read_records(self, request: ReadRecords) -> Any:
        return super()._read_records(replace(request, newest_first=False))


class ListsInOrderOfUtf16(MemoryBackend):
    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        listed = super()._list_heads(replace(request, count=10**6))
        ordered = sorted(listed, key=lambda each: each[0].encode("utf-16-be"))
        return tuple(ordered[: request.count])


class ListsFromAfter(MemoryBackend):
    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        # The first key is given again on the second page; later pages are right.
        first = super()._list_heads(replace(request, after=None, count=1))
        again = bool(first) and first[0][0] == request.after
        return super()._list_heads(replace(request, after=None) if again else request)


class TakesThePrefixForAPattern(MemoryBackend):
    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        return super()._list_heads(replace(request, prefix=request.prefix.rstrip("/")))


class StripsKeysAtNul(MemoryBackend):
    def perform(self, request: StorageRequest) -> Any:
        if key := getattr(request, "key", None):
            request = replace(request, key=key.partition("\0")[0])
        return super().perform(request)


class ShowsStagedRecords(MemoryBackend):
    def _stage(self, request: Stage) -> None:
        super()._stage(request)
        self._tables.staged.clear()


class StagesOverWhatIsThere(MemoryBackend):
    def _stage(self, request: Stage) -> None:
        self._tables.records.pop(request.incarnation, None)
        super()._stage(request)


class DiscardsLiveStates(MemoryBackend):
    def _discard(self, request: Discard) -> None:
        self._tables.records.pop(request.incarnation, None)


class NeverDiscards(MemoryBackend):
    def _discard(self, request: Discard) -> None:
        pass


class DropsFormerLives(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        former = self._tables.heads.get(request.key)
        answer = super()._settle(request)
        if former and former[1].incarnation != request.tail.incarnation:
            self._tables.records.pop(former[1].incarnation, None)
        return answer


class StaysOpen(MemoryBackend):
    def close(self) -> None:
        pass


class RefusesToCloseTwice(MemoryBackend):
    def close(self) -> None:
        self._check_open()
        super().close()


class StartsEmpty(MemoryBackend):
    def __init__(self, name: str) -> None:
        super().__init__()


class ChecksOutsideTheLock(MemoryBackend):
    """Compares, and writes later: two that compared before either wrote both win."""

    def _settle(self, request: Commit) -> Answer:
        present = self._tables.heads.get(request.key)
        if (present[0].token if present else None) != request.expect:
            return Moved(present[0] if present else None)
        with suppress(BrokenBarrierError):
            _both_compared.wait(5)
        now = self._tables.heads.get(request.key)
        own = replace(request, expect=now[0].token if now else None, records=())
        return super()._settle(own)


_both_compared = Barrier(2)


class ReadsHeadAndRecordsApart(MemoryBackend):
    """Between reading the records and the head, a commit fits in."""

    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        _committed.set()
        return answer

    def _read_state(self, request: ReadState) -> StateAnswer:
        _committed.clear()
        before = super()._read_state(request)
        _committed.wait(0.2)
        after = super()._read_head(ReadHead(request.key))
        if not isinstance(before, StateRows):
            return before
        return StateRows(after, before.records) if after else None


_committed = Event()


BUGS: list[tuple[Callable[[str], MemoryBackend], str]] = [
    (IgnoresTheToken, "check_token_is_compared"),
    (TakesNoneForAny, "check_token_is_compared"),
    (KeepsRecordsOfLosers, "check_moved_leaves_nothing"),
    (KeepsPartOfARefusedCommit, "check_taken_place_leaves_nothing"),
    (WritesRecordsAfterTheHead, "check_taken_place_leaves_nothing"),
    (FailsTheWholeBatch, "check_batch_is_independent"),
    (SettlesBackwards, "check_batch_may_name_a_key_twice"),
    (StopsAtTheFirstLoser, "check_batch_may_name_a_key_twice"),
    (KeepsTheBuffer, "check_ownership"),
    (DropsTheLastRecord, "check_committed_is_whole"),
    (DropsEmptyRecords, "check_sizes"),
    (ForgetsTheTail, "check_tail"),
    (PagesByRow, "check_records_in_pages"),
    (IgnoresTheBound, "check_records_in_pages"),
    (ReadsForwardsOnly, "check_records_in_pages"),
    (ListsInOrderOfUtf16, "check_list_heads"),
    (ListsFromAfter, "check_list_heads"),
    (TakesThePrefixForAPattern, "check_list_heads"),
    (StripsKeysAtNul, "check_keys"),
    (ShowsStagedRecords, "check_staged_is_invisible"),
    (StagesOverWhatIsThere, "check_stage_never_replaces"),
    (DiscardsLiveStates, "check_discard"),
    (NeverDiscards, "check_discard"),
    (DropsFormerLives, "check_former_life_stays"),
    (StaysOpen, "check_close"),
    (RefusesToCloseTwice, "check_close"),
    (StartsEmpty, "check_stored_is_there_again"),
    (ChecksOutsideTheLock, "check_one_wins_per_token"),
    (ReadsHeadAndRecordsApart, "check_readers_see_whole_commits"),
]


@pytest.mark.parametrize(("bug", "check"), BUGS, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_bug_is_caught(bug: Callable[[str], MemoryBackend], check: str) -> None:
    name = uuid4().hex
    found = {each.__name__: each for each in CHECKS}[check]
    with pytest.raises((AssertionError, PerdureError)):
        found(lambda: bug(name))


def test_run_reports_what_failed() -> None:
    lines: list[str] = []
    name = uuid4().hex
    assert not run(lambda: StaysOpen(name), report=lines.append)
    assert lines[-1] == f"{len(CHECKS) - 1} passed, 1 failed"
    assert [line for line in lines if line.startswith("FAILED")] == [
        "FAILED  `close` may be called twice; then every other method raises `StoreClosed`."
    ]


def test_every_check_states_its_sentence() -> None:
    assert len(CHECKS) >= 25
    for check in CHECKS:
        assert (check.__doc__ or "").rstrip().endswith("."), check.__name__
