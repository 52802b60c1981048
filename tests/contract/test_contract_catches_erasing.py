"""The contract kit catches backends with one bug each in erasing."""

import pytest
from msgspec.structs import replace

from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Answer, Commit, Erase, ErasedRow, PutPages, ReadErased, Stage
from perdure.testing.contract import CHECKS


class PutsPagesUnfenced(MemoryBackend):
    def _put_pages(self, request: PutPages) -> None:
        with _unfenced(self, request.incarnation):
            super()._put_pages(request)


class StagesUnfenced(MemoryBackend):
    def _stage(self, request: Stage) -> None:
        with _unfenced(self, request.incarnation):
            super()._stage(request)


class FoundsUnfenced(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        with _unfenced(self, request.tail.incarnation):
            return super()._settle(request)


class ErasesWhateverIsThere(MemoryBackend):
    def _erase(self, request: Erase) -> Answer:
        there = self._tables.heads.get(request.key)
        expect = there[0].token if there else request.expect
        return super()._erase(replace(request, expect=expect))


class LeavesPages(MemoryBackend):
    def _erase(self, request: Erase) -> Answer:
        kept = {
            each.incarnation: self._tables.pages.get(each.incarnation, {})
            for each in request.receipts
        }
        answer = super()._erase(request)
        self._tables.pages.update(kept)
        return answer


class LeavesKeys(MemoryBackend):
    def _erase(self, request: Erase) -> Answer:
        kept = dict(self._tables.keys)
        answer = super()._erase(request)
        self._tables.keys.update(kept)
        return answer


class LeavesFormerLives(MemoryBackend):
    def _erase(self, request: Erase) -> Answer:
        return super()._erase(replace(request, receipts=request.receipts[-1:]))


class KeepsNoReceipt(MemoryBackend):
    def _read_erased(self, request: ReadErased) -> tuple[ErasedRow, ...]:
        return ()


class DropsTheHeadThatStays(MemoryBackend):
    def _erase(self, request: Erase) -> Answer:
        return super()._erase(replace(request, head=None))


class FencesTheName(MemoryBackend):
    def _settle(self, request: Commit) -> Answer:
        answer = super()._settle(request)
        return answer if request.key not in _names else super()._settle(request)

    def _erase(self, request: Erase) -> Answer:
        _names.add(request.key)
        return super()._erase(request)


_names: set[str] = set()


class _unfenced:  # noqa: N801  # reads as what it does
    """Without the receipt of an incarnation."""

    def __init__(self, backend: MemoryBackend, incarnation: bytes) -> None:
        self._erased = backend._tables.erased
        self._incarnation = incarnation

    def __enter__(self) -> None:
        self._row = self._erased.pop(self._incarnation, None)

    def __exit__(self, *_: object) -> None:
        if self._row is not None:
            self._erased[self._incarnation] = self._row


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (PutsPagesUnfenced, "check_erased_stays_gone"),
        (StagesUnfenced, "check_erased_stays_gone"),
        (FoundsUnfenced, "check_erased_stays_gone"),
        (ErasesWhateverIsThere, "check_erase_compares"),
        (LeavesPages, "check_erase"),
        (LeavesKeys, "check_erase"),
        (LeavesFormerLives, "check_erase_all_lives"),
        (KeepsNoReceipt, "check_erase"),
        (DropsTheHeadThatStays, "check_erase_one_life"),
        (FencesTheName, "check_erased_name_is_free"),
    ],
)
def test_the_bug_is_caught(bug: type[MemoryBackend], check: str, tmp_path: object) -> None:
    (found,) = (each for each in CHECKS if each.__name__ == check)
    with pytest.raises(AssertionError):
        found(lambda: bug(f"{bug.__name__}-{id(tmp_path)}"))
