"""A store that lives in this process, with transactions.

`memory:` is private to its backend; `memory:NAME` is shared by every backend of the process that
names it, and stays until the process ends.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from msgspec.structs import replace

from perdure.backends.in_process import NUMBER_MAX, InProcess, keys_of, new_store
from perdure.backends.lines import Lines, held_of, page_of, sizes_of, unknown_of, was_erased
from perdure.backends.protocol import StoreInfo
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
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
    Moved,
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
    Resealed,
    Run,
    Stage,
    StateAnswer,
    StateRows,
    Tail,
    Unchanged,
)
from perdure.errors import StateExists


@dataclass(slots=True)
class Tables:
    """A store with transactions: what its lock guards changes as a whole."""

    info: StoreInfo = field(default_factory=new_store)
    lock: threading.Lock = field(default_factory=threading.Lock)
    heads: dict[str, tuple[HeadRow, Tail]] = field(default_factory=dict)
    records: dict[bytes, Lines] = field(default_factory=dict)
    pages: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    staged: dict[bytes, int] = field(default_factory=dict)
    """The latest time that each was told."""
    keys: dict[bytes, bytes] = field(default_factory=dict)
    erased: dict[bytes, ErasedRow] = field(default_factory=dict)

    def add(
        self, incarnation: bytes, rows: Sequence[RecordRow], removed: Sequence[Run] = ()
    ) -> None:
        """Store all of `rows` in place of those in `removed`, or change nothing if one is taken."""
        new = [RecordRow(row.line, row.number, bytes(row.blob), row.count) for row in rows]
        lines = self.records.get(incarnation, Lines())
        lines.exchange(removed, new)
        if new:
            self.records[incarnation] = lines

    def drop(self, incarnation: bytes, ids: Sequence[bytes]) -> None:
        """Remove these pages, where they are there."""
        pages = self.pages.get(incarnation, {})
        for id_ in ids:
            pages.pop(id_, None)

    def reseal(self, incarnation: bytes, each: Resealed) -> bool:
        """Replace the bytes of a row or page, if they are what they were."""
        row = each.row
        if isinstance(row, ErasedRow):
            found = self.erased.get(row.incarnation)
            if found is None or found.blob != each.was:
                return False
            self.erased[row.incarnation] = replace(found, blob=bytes(row.blob))
            return True
        if isinstance(row, RecordRow):
            there = self.line(incarnation, row.line, row.number, row.number)
            if there != [replace(row, blob=each.was)]:
                return False
            run = Run(row.line, row.number - row.count + 1, row.number)
            self.records[incarnation].exchange([run], [replace(row, blob=bytes(row.blob))])
            return True
        pages = self.pages.get(incarnation, {})
        if pages.get(row.id) != each.was:
            return False
        pages[row.id] = bytes(row.blob)
        return True

    def line(self, incarnation: bytes, line: int, first: int, last: int) -> list[RecordRow]:
        """The rows that hold any of these records, in order."""
        lines = self.records.get(incarnation)
        return lines.holding(line, first, last) if lines else []

    def found(self, incarnation: bytes, ids: Sequence[bytes]) -> tuple[PageRow, ...]:
        """These pages, without those that are not there."""
        pages = self.pages.get(incarnation, {})
        return tuple(PageRow(id_, pages[id_]) for id_ in ids if id_ in pages)

    def knows(self, incarnation: bytes) -> bool:
        """Whether anything of this incarnation is stored."""
        if incarnation in self.records or incarnation in self.pages:
            return True
        return any(tail.incarnation == incarnation for _, tail in self.heads.values())

    def require_unerased(self, incarnation: bytes) -> None:
        """Raise `Erased` for an incarnation that has a receipt."""
        found = self.erased.get(incarnation)
        if found is not None:
            raise was_erased(incarnation, found.at_us)

    def remove(self, incarnation: bytes) -> None:
        """Remove all rows, pages and keys of an incarnation."""
        for table in (self.staged, self.records, self.pages, self.keys):
            table.pop(incarnation, None)


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
        """Bytes of all heads, records and pages."""
        self._check_open()
        with self._tables.lock:
            size = sum(len(head.blob) for head, _ in self._tables.heads.values())
            size += sum(len(row.blob) for lines in self._tables.records.values() for row in lines)
            each = self._tables.pages.values()
            return size + sum(len(blob) for pages in each for blob in pages.values())

    def _settle(self, request: Commit) -> Answer:
        tables, tail = self._tables, request.tail
        head = HeadRow(bytes(request.head.token), bytes(request.head.blob))
        with tables.lock:
            present = tables.heads.get(request.key)
            if (present[0].token if present else None) != request.expect:
                return Moved(present[0] if present else None)
            tables.require_unerased(tail.incarnation)
            tables.add(tail.incarnation, request.records, request.removed)
            tables.drop(tail.incarnation, request.dropped)
            for key in request.keys:
                tables.keys.setdefault(bytes(key.owner), bytes(key.blob))
            tables.staged.pop(tail.incarnation, None)
            tables.heads[request.key] = head, tail
            return Committed()

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        with self._tables.lock:
            present = self._tables.heads.get(request.key)
        return present[0] if present else None

    def _read_state(self, request: ReadState) -> StateAnswer:
        tables = self._tables
        with tables.lock:
            present = tables.heads.get(request.key)
            if present is None:
                return None
            head, tail = present
            if request.known is not None and request.known.token == head.token:
                return Unchanged()
            after, page = unknown_of(tail, request.known)
            rows = tables.line(tail.incarnation, tail.line, after + 1, NUMBER_MAX)
            root = () if page is None else (page,)
            return StateRows(head, tuple(rows), tables.found(tail.incarnation, root))

    def _rows(self, request: ReadRecords | ListRows) -> list[RecordRow]:
        with self._tables.lock:
            if request.incarnation in self._tables.staged:
                return []
            return self._tables.line(request.incarnation, request.line, request.first, request.last)

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        rows = self._rows(request)
        return page_of(reversed(rows) if request.newest_first else rows, request.bytes_max)

    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        return sizes_of(self._rows(request), request.count)

    def _read_pages(self, request: ReadPages) -> tuple[PageRow, ...]:
        with self._tables.lock:
            return self._tables.found(request.incarnation, request.ids)

    def _list_pages(self, request: ListPages) -> tuple[tuple[bytes, int], ...]:
        with self._tables.lock:
            pages = self._tables.pages.get(request.incarnation, {})
            after = request.after
            ids = sorted(id_ for id_ in pages if after is None or id_ > after)
            return tuple((id_, len(pages[id_])) for id_ in ids[: request.count])

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        with self._tables.lock:
            heads = self._tables.heads
            return tuple((key, heads[key][0]) for key in keys_of(heads, request))

    def _list_staged(self, request: ListStaged) -> tuple[tuple[bytes, int], ...]:
        with self._tables.lock:
            return tuple(sorted(self._tables.staged.items()))

    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        with self._tables.lock:
            tables = self._tables
            rows = {each: list(lines) for each, lines in tables.records.items()}
            sizes = {each: list(map(len, pages.values())) for each, pages in tables.pages.items()}
            return held_of(request, rows, sizes)

    def _put_pages(self, request: PutPages) -> None:
        tables = self._tables
        with tables.lock:
            tables.require_unerased(request.incarnation)
            if not tables.knows(request.incarnation):
                tables.staged.setdefault(request.incarnation, 0)
            pages = tables.pages.setdefault(request.incarnation, {})
            pages.update((page.id, bytes(page.blob)) for page in request.pages)

    def _stage(self, request: Stage) -> None:
        tables, incarnation = self._tables, request.incarnation
        with tables.lock:
            tables.require_unerased(incarnation)
            if incarnation not in tables.staged and tables.knows(incarnation):
                raise StateExists("These records belong to a state that is already there.")
            tables.add(incarnation, request.records)
            tables.staged[incarnation] = max(tables.staged.get(incarnation, 0), request.at_us)

    def _discard(self, request: Discard) -> None:
        tables = self._tables
        with tables.lock:
            if request.incarnation in tables.staged:
                del tables.staged[request.incarnation]
                tables.records.pop(request.incarnation, None)
                tables.pages.pop(request.incarnation, None)
            if request.incarnation in tables.erased:
                tables.remove(request.incarnation)

    def _read_keys(self, request: ReadKeys) -> tuple[KeyRow, ...]:
        with self._tables.lock:
            keys = self._tables.keys
            return tuple(KeyRow(each, keys[each]) for each in request.owners if each in keys)

    def _list_keys(self, request: ListKeys) -> tuple[KeyRow, ...]:
        after = request.after
        with self._tables.lock:
            keys = sorted(self._tables.keys.items())
        rows = (KeyRow(*each) for each in keys if after is None or each[0] > after)
        return tuple(islice(rows, request.count))

    def _put_key(self, request: PutKey) -> bool:
        with self._tables.lock:
            keys = self._tables.keys
            if keys.get(request.owner) != request.expect:
                return False
            if request.blob is not None:
                keys[bytes(request.owner)] = bytes(request.blob)
            else:
                keys.pop(request.owner, None)
            return True

    def _reseal(self, request: Reseal) -> int:
        with self._tables.lock:
            return sum(self._tables.reseal(request.incarnation, each) for each in request.rows)

    def _erase(self, request: Erase) -> Answer:
        tables = self._tables
        with tables.lock:
            present = tables.heads.get(request.key)
            if present is None or present[0].token != request.expect:
                return Moved(present[0] if present else None)
            for each in request.receipts:
                tables.remove(each.incarnation)
                own = ErasedRow(bytes(each.incarnation), each.at_us, bytes(each.blob))
                tables.erased.setdefault(own.incarnation, own)
            if request.head is None or request.tail is None:
                del tables.heads[request.key]
            else:
                head = HeadRow(bytes(request.head.token), bytes(request.head.blob))
                tables.heads[request.key] = head, request.tail
            return Committed()

    def _read_erased(self, request: ReadErased) -> tuple[ErasedRow, ...]:
        with self._tables.lock:
            erased = self._tables.erased
            return tuple(erased[each] for each in request.incarnations if each in erased)

    def _list_erased(self, request: ListErased) -> tuple[ErasedRow, ...]:
        after = request.after
        with self._tables.lock:
            erased = sorted(self._tables.erased.items())
        rows = (row for each, row in erased if after is None or each > after)
        return tuple(islice(rows, request.count))
