"""Stores that live in this process: one with transactions, one with an object store's semantics.

`memory:` is private to its backend; `memory:NAME` is shared by every backend of the process that
names it, and stays until the process ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure.backends.protocol import StoreInfo
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
    RecordRow,
    Stage,
    StateRows,
    StorageRequest,
    Tail,
)
from perdure.errors import PerdureError, StateExists, StoreClosed, UsageError

FORMAT = 0


def new_store() -> StoreInfo:
    """The identity of a store made now."""
    return StoreInfo(os.urandom(16), FORMAT, time.time_ns() // 1000)


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


def keys_of(heads: Iterable[str], request: ListHeads) -> list[str]:
    """The keys that a `ListHeads` asks for. Code points sort as their UTF-8 bytes do."""
    after = request.after
    found = (key for key in heads if key.startswith(request.prefix))
    return sorted(key for key in found if after is None or key > after)[: request.count]


def place_taken(line: int, number: int) -> StateExists:
    """What a record is answered whose place holds one already."""
    return StateExists(f"Record {number} of line {line} is already stored. Nothing was written.")


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
            ListHeads: self._list_heads,
            Commit: self._commit_one,
            Stage: self._stage,
            Discard: self._discard,
        }

    def connect(self) -> StoreInfo:
        """Tell the store's identity; there is nothing to open."""
        self._check_open()
        return self._info

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
            except StateExists as error:
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

    def _read_state(self, request: ReadState) -> StateRows | None:
        raise NotImplementedError

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        raise NotImplementedError

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        raise NotImplementedError

    def _stage(self, request: Stage) -> None:
        raise NotImplementedError

    def _discard(self, request: Discard) -> None:
        raise NotImplementedError


@dataclass(slots=True)
class Tables:
    """A store with transactions: what its lock guards changes as a whole."""

    info: StoreInfo = field(default_factory=new_store)
    lock: threading.Lock = field(default_factory=threading.Lock)
    heads: dict[str, tuple[HeadRow, Tail]] = field(default_factory=dict)
    records: dict[bytes, dict[tuple[int, int], bytes]] = field(default_factory=dict)
    staged: set[bytes] = field(default_factory=set)

    def add(self, incarnation: bytes, rows: Sequence[RecordRow]) -> None:
        """Store all of `rows`, or none of them if the place of one is taken."""
        stored = self.records.get(incarnation, {})
        new: dict[tuple[int, int], bytes] = {}
        for row in rows:
            place = row.line, row.number
            if place in stored or place in new:
                raise place_taken(*place)
            new[place] = bytes(row.blob)
        if new:
            self.records.setdefault(incarnation, {}).update(new)

    def line(self, incarnation: bytes, line: int, first: int, last: int) -> list[RecordRow]:
        """The records of a line with numbers `first` … `last`, in order."""
        stored = self.records.get(incarnation, {})
        numbers = sorted(n for of, n in stored if of == line and first <= n <= last)
        return [RecordRow(line, number, stored[line, number]) for number in numbers]


_named_tables: dict[str, Tables] = {}
_naming = threading.Lock()


class MemoryBackend(InProcess):
    """A store in memory with transactions: dicts under a lock.

    Example:
        >>> backend = MemoryBackend("scratch")
        >>> backend.perform(ReadHead("support/alice")) is None
        True
    """

    def __init__(self, name: str = "") -> None:
        with _naming:
            self._tables = _named_tables.setdefault(name, Tables()) if name else Tables()
        super().__init__(self._tables.info, name)

    def size_bytes(self) -> int:
        """Bytes of all heads and records."""
        self._check_open()
        with self._tables.lock:
            heads = sum(len(head.blob) for head, _ in self._tables.heads.values())
            lines = self._tables.records.values()
            return heads + sum(len(blob) for rows in lines for blob in rows.values())

    def _settle(self, request: Commit) -> Answer:
        tables, tail = self._tables, request.tail
        head = HeadRow(bytes(request.head.token), bytes(request.head.blob))
        with tables.lock:
            present = tables.heads.get(request.key)
            if (present[0].token if present else None) != request.expect:
                return Moved(present[0] if present else None)
            tables.add(tail.incarnation, request.records)
            tables.staged.discard(tail.incarnation)
            tables.heads[request.key] = head, tail
            return Committed()

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        with self._tables.lock:
            present = self._tables.heads.get(request.key)
        return present[0] if present else None

    def _read_state(self, request: ReadState) -> StateRows | None:
        with self._tables.lock:
            present = self._tables.heads.get(request.key)
            if present is None:
                return None
            head, tail = present
            last = max((n for _, n in self._tables.records.get(tail.incarnation, ())), default=0)
            rows = self._tables.line(tail.incarnation, tail.line, tail.after + 1, last)
            return StateRows(head, tuple(rows))

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        with self._tables.lock:
            if request.incarnation in self._tables.staged:
                return ()
            rows = self._tables.line(request.incarnation, request.line, request.first, request.last)
        return page_of(reversed(rows) if request.newest_first else rows, request.bytes_max)

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        with self._tables.lock:
            heads = self._tables.heads
            return tuple((key, heads[key][0]) for key in keys_of(heads, request))

    def _stage(self, request: Stage) -> None:
        tables = self._tables
        with tables.lock:
            if request.incarnation in tables.records and request.incarnation not in tables.staged:
                raise StateExists("These records belong to a state that is already there.")
            tables.add(request.incarnation, request.records)
            tables.staged.add(request.incarnation)

    def _discard(self, request: Discard) -> None:
        with self._tables.lock:
            if request.incarnation in self._tables.staged:
                self._tables.staged.remove(request.incarnation)
                self._tables.records.pop(request.incarnation, None)
