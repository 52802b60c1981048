"""What the engine does to bytes, for the checks of the contract, which store any: layers want ours.

A layer before a backend encrypts blobs, or reads the heads that it hands on. So every head, row
and page that a check stores is sealed for its place first, and what comes back is opened there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import singledispatchmethod
from itertools import count
from typing import Any

from msgspec.structs import replace

from perdure.backends.layer import Layer
from perdure.backends.protocol import Backend, StoreInfo
from perdure.core.head import Head
from perdure.core.head_bytes import open_head, seal_head
from perdure.core.seal import ERASED_OWNER, Kind, Place, seal, unseal
from perdure.engine.requests import (
    ROW_START_BYTES,
    Answer,
    Commit,
    Committed,
    Erase,
    ErasedRow,
    HeadRow,
    ListErased,
    ListHeads,
    ListHeld,
    ListKeys,
    ListPages,
    ListRows,
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
    Stage,
    StateRows,
    StorageRequest,
    Tail,
)
from perdure.errors import PerdureError

BYTES_MAX = 1 << 30


class Family:
    """What the backends of one store know together of its heads: their number, and their lives."""

    def __init__(self, overhead_bytes: int) -> None:
        self.overhead_bytes = overhead_bytes
        """What a small row takes more than what is in it."""
        self.commits = count(1)
        self.lives: dict[str, list[bytes]] = defaultdict(list)

    def committed(self, key: str, incarnation: bytes) -> None:
        """Take note of the life that a key's head is of."""
        self.lives[key] = [each for each in self.lives[key] if each != incarnation] + [incarnation]

    def erased(self, request: Erase) -> None:
        """Take note of lives that went."""
        gone = {each.incarnation for each in request.receipts}
        self.lives[request.key] = [each for each in self.lives[request.key] if each not in gone]


class Sealing(Layer):
    """Seals and opens before a layer, as the engine does."""

    def __init__(self, inner: Backend, family: Family) -> None:
        self.inner = inner
        self._family = family

    def connect(self) -> StoreInfo:
        """Open the store."""
        return self.inner.connect()

    def close(self) -> None:
        """Release everything."""
        self.inner.close()

    def _place(self, owner: bytes, line: int = 0, number: int = 0, page: bytes = b"") -> Place:
        return Place(self.inner.connect().store_id, bytes(owner), line, number, bytes(page))

    # ---- one blob ---------------------------------------------------------------------------

    def _head(self, key: str, row: HeadRow, tail: Tail, gone: frozenset[bytes]) -> HeadRow:
        """A head that has what the check gave where others have their summary."""
        others = [each for each in self._family.lives[key] if each not in gone | {tail.incarnation}]
        head = Head(
            bytes(tail.incarnation),
            *(0, 0, bytes(row.token)),
            summary=bytes(row.blob).decode("latin-1"),
            commits=next(self._family.commits),
            former=tuple(Head(each, 0, 0, bytes(16), deleted_us=0) for each in others),
        )
        store = self.inner.connect().store_id
        return HeadRow(row.token, seal_head(head, store=store, key=key))

    def _head_out(self, key: str, row: HeadRow | None) -> HeadRow | None:
        if row is None:
            return None
        head = open_head(row.blob, store=self.inner.connect().store_id, key=key, token=row.token)
        return HeadRow(row.token, (head.summary or "").encode("latin-1"))

    def _in(self, owner: bytes, row: Any) -> Any:
        kind, place = self._at(owner, row)
        return replace(row, blob=seal(kind, place, bytes(row.blob)))

    def _out(self, owner: bytes, row: Any) -> Any:
        kind, place = self._at(owner, row)
        return replace(row, blob=unseal(kind, place, row.blob, BYTES_MAX))

    def _at(self, owner: bytes, row: RecordRow | PageRow | ErasedRow) -> tuple[Kind, Place]:
        match row:
            case PageRow():
                return Kind.PAGE, self._place(owner, page=row.id)
            case ErasedRow():
                return Kind.ERASED, self._place(ERASED_OWNER + row.incarnation)
        kind = Kind.RECORD if row.count == 1 else Kind.PACK
        return kind, self._place(owner, row.line, row.number)

    def _rows_in(self, owner: bytes, rows: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(self._in(owner, row) for row in rows)

    def _rows_out(self, owner: bytes, rows: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(self._out(owner, row) for row in rows)

    # ---- requests ---------------------------------------------------------------------------

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request."""
        return self._answer(request)

    @singledispatchmethod
    def _answer(self, request: StorageRequest) -> Any:
        return self.inner.perform(request)

    @_answer.register
    def _(self, request: ReadHead) -> HeadRow | None:
        return self._head_out(request.key, self.inner.perform(request))

    @_answer.register
    def _(self, request: ReadState) -> Any:
        answer = self.inner.perform(request)
        if not isinstance(answer, StateRows):
            return answer
        store = self.inner.connect().store_id
        owner = open_head(answer.head.blob, store=store, key=request.key).incarnation
        head = self._head_out(request.key, answer.head)
        assert head is not None
        records = self._rows_out(owner, answer.records)
        return StateRows(head, records, self._rows_out(owner, answer.pages))

    @_answer.register
    def _(self, request: ListHeads) -> Any:
        found = self.inner.perform(request)
        return tuple((key, self._head_out(key, row)) for key, row in found)

    @_answer.register
    def _(self, request: ReadRecords) -> Any:
        return self._rows_out(request.incarnation, self.inner.perform(request))

    @_answer.register
    def _(self, request: ReadPages) -> Any:
        return self._rows_out(request.incarnation, self.inner.perform(request))

    @_answer.register
    def _(self, request: ListRows) -> Any:
        """Sizes and starts are those of what the check stored."""
        owner, line = request.incarnation, request.line
        found = []
        for number, held, _size, _start in self.inner.perform(request):
            (row,) = self.perform(ReadRecords(owner, line, number, number, 1))
            found.append((number, held, len(row.blob), row.blob[:ROW_START_BYTES]))
        return tuple(found)

    @_answer.register
    def _(self, request: ListPages) -> Any:
        ids = tuple(id_ for id_, _ in self.inner.perform(request))
        rows = self.perform(ReadPages(request.incarnation, ids))
        sizes = {row.id: len(row.blob) for row in rows}
        return tuple((id_, sizes[id_]) for id_ in ids)

    @_answer.register
    def _(self, request: ListHeld) -> Any:
        more = self._family.overhead_bytes
        found = self.inner.perform(request)
        return tuple(replace(each, bytes=each.bytes - each.count * more) for each in found)

    @_answer.register(ReadKeys)
    @_answer.register(PutKey)
    @_answer.register(ListKeys)
    def _(self, request: ReadKeys | PutKey | ListKeys) -> Any:
        home: Backend = getattr(self.inner, "home", self.inner)
        return home.perform(request)

    @_answer.register
    def _(self, request: PutPages) -> Any:
        pages = self._rows_in(request.incarnation, request.pages)
        return self.inner.perform(replace(request, pages=pages))

    @_answer.register
    def _(self, request: Stage) -> Any:
        records = self._rows_in(request.incarnation, request.records)
        return self.inner.perform(replace(request, records=records))

    @_answer.register
    def _(self, request: Reseal) -> Any:
        """Only where no key seals: what was stored is known by what was given."""
        owner = request.incarnation
        rows = [
            replace(each, was=self._in(owner, replace(each.row, blob=each.was)).blob, row=row)
            for each in request.rows
            for row in [self._in(owner, each.row)]
        ]
        return self.inner.perform(replace(request, rows=tuple(rows)))

    @_answer.register
    def _(self, request: Erase) -> Answer:
        receipts = self._rows_in(b"", request.receipts)
        head, gone = request.head, frozenset(each.incarnation for each in receipts)
        if head is not None and request.tail is not None:
            head = self._head(request.key, head, request.tail, gone)
        answer = self.inner.perform(replace(request, receipts=receipts, head=head))
        if isinstance(answer, Committed):
            self._family.erased(request)
        settled: Answer = self._settled(request.key, answer)
        return settled

    @_answer.register(ReadErased)
    @_answer.register(ListErased)
    def _(self, request: ReadErased | ListErased) -> Any:
        return self._rows_out(b"", self.inner.perform(request))

    @_answer.register
    def _(self, request: Commit) -> Answer:
        answer: Answer = self._took(request, self.inner.perform(self._sealed(request)))
        return answer

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit of the batch in order."""
        outcomes = self.inner.commit([*map(self._sealed, batch)])
        return [self._took(*each) for each in zip(batch, outcomes, strict=True)]

    def _sealed(self, request: Commit) -> Commit:
        head = self._head(request.key, request.head, request.tail, frozenset())
        records = self._rows_in(request.tail.incarnation, request.records)
        return replace(request, head=head, records=records)

    def _took(self, request: Commit, outcome: Any) -> Any:
        if isinstance(outcome, Committed):
            self._family.committed(request.key, request.tail.incarnation)
        return self._settled(request.key, outcome)

    def _settled(self, key: str, outcome: Any) -> Any:
        return Moved(self._head_out(key, outcome.head)) if isinstance(outcome, Moved) else outcome
