"""What backends in one process share: a store's identity, and answering requests one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perdure.backends.protocol import StoreInfo
from perdure.core.seal import FORMAT
from perdure.engine.requests import (
    Answer,
    Commit,
    Discard,
    Erase,
    ErasedRow,
    HeadRow,
    Held,
    KeyRow,
    ListErased,
    ListHeads,
    ListHeld,
    ListKeys,
    ListPages,
    ListRows,
    ListStaged,
    PageRow,
    PutKey,
    PutPages,
    ReadErased,
    ReadHead,
    ReadKeys,
    ReadPages,
    ReadRecords,
    ReadState,
    RecordRow,
    Reseal,
    Stage,
    StateAnswer,
    StorageRequest,
)
from perdure.errors import Erased, PerdureError, StateExists, StoreClosed, UsageError

NUMBER_MAX = 2**63 - 1
"""No record has a greater number."""


def new_store() -> StoreInfo:
    """The identity of a store made now."""
    return StoreInfo(os.urandom(16), FORMAT, time.time_ns() // 1000)


def keys_of(heads: Iterable[str], request: ListHeads) -> list[str]:
    """The keys that a `ListHeads` asks for. Code points sort as their UTF-8 bytes do."""
    after = request.after
    found = (key for key in heads if key.startswith(request.prefix))
    return sorted(key for key in found if after is None or key > after)[: request.count]


class InProcess:
    """What both faces share: answering requests one by one, and closing."""

    def __init__(self, info: StoreInfo, name: str) -> None:
        self._info = info
        self._name = name
        self._closed = False
        self._answers: dict[type[StorageRequest], Callable[[Any], Any]] = {
            ReadHead: self._read_head,
            ReadState: self._read_state,
            ReadRecords: self._read_records,
            ListRows: self._list_rows,
            ReadPages: self._read_pages,
            ListPages: self._list_pages,
            ListHeads: self._list_heads,
            ListStaged: self._list_staged,
            ListHeld: self._list_held,
            Commit: self._commit_one,
            PutPages: self._put_pages,
            Stage: self._stage,
            Discard: self._discard,
            ReadKeys: self._read_keys,
            ListKeys: self._list_keys,
            PutKey: self._put_key,
            Reseal: self._reseal,
            Erase: self._erase,
            ReadErased: self._read_erased,
            ListErased: self._list_erased,
        }

    def connect(self) -> StoreInfo:
        """Tell the store's identity; there is nothing to open."""
        self._check_open()
        own = self._read_keys(ReadKeys((b"",)))
        return replace(self._info, key=own[0].blob) if own else self._info

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request (a `Commit` as a batch of one)."""
        self._check_open()
        return self._answers[type(request)](request)

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit of the batch in order; one outcome per member."""
        self._check_open()
        outcomes: list[Answer | PerdureError] = []
        for each in batch:
            try:
                outcomes.append(self._settle(each))
            except (StateExists, Erased) as error:
                outcomes.append(error)
        return outcomes

    def after_commit(self) -> None:
        """Nothing needs upkeep."""
        self._check_open()

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Refused: a store in memory has no files."""
        self._check_open()
        raise UsageError(
            f"The store memory:{self._name} lives in this process and has no files to copy to "
            f"{target}; export its states instead."
        )

    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Nothing to give back: what is removed is gone."""
        self._check_open()
        return 0

    def close(self) -> None:
        """Release the store. What a named one holds stays for the next that names it."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"The store memory:{self._name} was closed; make a new one.")

    def _commit_one(self, request: Commit) -> Answer:
        return self._settle(request)

    def _settle(self, request: Commit) -> Answer:
        raise NotImplementedError

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        raise NotImplementedError

    def _read_state(self, request: ReadState) -> StateAnswer:
        raise NotImplementedError

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        raise NotImplementedError

    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        raise NotImplementedError

    def _read_pages(self, request: ReadPages) -> tuple[PageRow, ...]:
        raise NotImplementedError

    def _list_pages(self, request: ListPages) -> tuple[tuple[bytes, int], ...]:
        raise NotImplementedError

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        raise NotImplementedError

    def _list_staged(self, request: ListStaged) -> tuple[tuple[bytes, int], ...]:
        raise NotImplementedError

    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        raise NotImplementedError

    def _put_pages(self, request: PutPages) -> None:
        raise NotImplementedError

    def _stage(self, request: Stage) -> None:
        raise NotImplementedError

    def _discard(self, request: Discard) -> None:
        raise NotImplementedError

    def _read_keys(self, request: ReadKeys) -> tuple[KeyRow, ...]:
        raise NotImplementedError

    def _list_keys(self, request: ListKeys) -> tuple[KeyRow, ...]:
        raise NotImplementedError

    def _put_key(self, request: PutKey) -> bool:
        raise NotImplementedError

    def _reseal(self, request: Reseal) -> int:
        raise NotImplementedError

    def _erase(self, request: Erase) -> Answer:
        raise NotImplementedError

    def _read_erased(self, request: ReadErased) -> tuple[ErasedRow, ...]:
        raise NotImplementedError

    def _list_erased(self, request: ListErased) -> tuple[ErasedRow, ...]:
        raise NotImplementedError
