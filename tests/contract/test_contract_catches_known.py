"""The contract kit catches backends with one bug each in what they leave out for who knows it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import ReadHead, ReadState, StateAnswer, StateRows, Unchanged
from perdure.errors import PerdureError
from perdure.testing.contract import CHECKS


class AnswersEveryKnownHeadAsUnchanged(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        return Unchanged() if request.known else super()._read_state(request)


class AnswersNothingAsUnchanged(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        found = super()._read_state(request)
        return Unchanged() if found is None and request.known else found


class ComparesTheHeadsBytes(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        head = self._read_head(ReadHead(request.key))
        known = request.known
        if known and head is not None and head.blob == b"head" and known.number:
            return Unchanged()
        return super()._read_state(request)


class KnowsNothing(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        return super()._read_state(ReadState(request.key))


class _Knows(MemoryBackend):
    """Takes the head that is there for that of a reader who knows something else."""

    def _changed(self, request: ReadState) -> dict[str, Any]:
        raise NotImplementedError

    def _read_state(self, request: ReadState) -> StateAnswer:
        known = request.known
        present = self._tables.heads.get(request.key)
        if known is not None and present is not None and known.token != present[0].token:
            return super()._read_state(
                replace(request, known=replace(known, **self._changed(request)))
            )
        return super()._read_state(request)


class LeavesOutOneMore(_Knows):
    def _changed(self, request: ReadState) -> dict[str, Any]:
        assert request.known is not None
        return {"number": request.known.number + 1}


class LeavesOutOneLess(_Knows):
    def _changed(self, request: ReadState) -> dict[str, Any]:
        assert request.known is not None
        return {"number": request.known.number - 1}


class IgnoresTheTail(_Knows):
    def _changed(self, request: ReadState) -> dict[str, Any]:
        return {"tail": self._tables.heads[request.key][1]}


class ComparesTheIncarnationAlone(_Knows):
    def _changed(self, request: ReadState) -> dict[str, Any]:
        tail = self._tables.heads[request.key][1]
        assert request.known is not None
        same = request.known.tail.incarnation == tail.incarnation
        return {"tail": tail} if same else {}


class LeavesOutRowsThatBeginBefore(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        found = super()._read_state(request)
        if not isinstance(found, StateRows) or request.known is None:
            return found
        number = request.known.number
        rows = (row for row in found.records if row.number - row.count >= number)
        return replace(found, records=tuple(rows))


class KeepsThePage(MemoryBackend):
    def _read_state(self, request: ReadState) -> StateAnswer:
        found, whole = super()._read_state(request), super()._read_state(ReadState(request.key))
        if isinstance(found, StateRows) and isinstance(whole, StateRows):
            return replace(found, pages=whole.pages)
        return found


BUGS: list[tuple[Callable[[str], MemoryBackend], str]] = [
    (AnswersEveryKnownHeadAsUnchanged, "check_known_head_is_unchanged"),
    (AnswersNothingAsUnchanged, "check_known_head_is_unchanged"),
    (ComparesTheHeadsBytes, "check_known_head_is_unchanged"),
    (KnowsNothing, "check_known_head_is_unchanged"),
    (LeavesOutOneMore, "check_known_tail_is_left_out"),
    (LeavesOutOneLess, "check_known_tail_is_left_out"),
    (KeepsThePage, "check_known_tail_is_left_out"),
    (LeavesOutRowsThatBeginBefore, "check_known_part_of_a_row"),
    (IgnoresTheTail, "check_other_tail_is_answered_whole"),
    (ComparesTheIncarnationAlone, "check_other_tail_is_answered_whole"),
]


@pytest.mark.parametrize(("bug", "check"), BUGS, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_bug_is_caught(bug: Callable[[str], MemoryBackend], check: str) -> None:
    name = uuid4().hex
    found = {each.__name__: each for each in CHECKS}[check]
    with pytest.raises((AssertionError, PerdureError)):
        found(lambda: bug(name))


def test_every_check_of_what_is_known_catches_something() -> None:
    caught = {check for _, check in BUGS}
    checks = {each.__name__ for each in CHECKS if each.__module__.endswith(".contract_known")}
    assert checks == caught
