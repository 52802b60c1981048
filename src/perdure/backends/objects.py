"""A store in memory with an object store's semantics, and nothing that one does not offer.

Objects are put once and never change, except the head object of each key, which is replaced by
compare-and-swap. There are no transactions. So a commit puts its large or older records first, as
*segments* under names of their own, and then swaps in a head object that names them: rows become
visible by that swap alone. A loser leaves segments behind that no head object names.

The head object carries the newest records inline, up to `inline_bytes_max`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from perdure.backends.memory import InProcess, keys_of, new_store, page_of, place_taken
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
)
from perdure.errors import StateExists

inline_bytes_max = 256 * 1024
"""Records that a head object carries itself (bytes)."""


class Bucket:
    """An object store: each operation is atomic, and no two of them are."""

    def __init__(self) -> None:
        self.info = new_store()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[int, bytes]] = {}
        self._versions = 0

    def get(self, name: str) -> tuple[int, bytes] | None:
        """The object's version and bytes, or None."""
        return self._objects.get(name)

    def put(self, name: str, data: bytes, *, version: int | None = None) -> bool:
        """Put an object if the one there has `version` (None: if there is none)."""
        with self._lock:
            present = self._objects.get(name)
            if (present[0] if present else None) != version:
                return False
            self._versions += 1
            self._objects[name] = self._versions, bytes(data)
            return True

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._lock:
            self._objects.pop(name, None)

    def names(self, prefix: str) -> list[str]:
        """All names with this prefix, in order."""
        with self._lock:
            return sorted(name for name in self._objects if name.startswith(prefix))

    def size_bytes(self) -> int:
        """Bytes of all objects."""
        with self._lock:
            return sum(len(data) for _, data in self._objects.values())


class Row(msgspec.Struct, array_like=True, frozen=True):
    """A record within an object."""

    incarnation: bytes
    line: int
    number: int
    blob: bytes


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """Where records of one line that are no longer inline are kept."""

    name: str
    incarnation: bytes
    line: int
    first: int
    last: int


class HeadObject(msgspec.Struct, array_like=True, frozen=True):
    """All that decides what a state is."""

    token: bytes
    blob: bytes
    incarnation: bytes
    line: int
    after: int
    inline: list[Row] = []
    segments: list[Segment] = []

    @property
    def row(self) -> HeadRow:
        """The head, without what the backend keeps beside it."""
        return HeadRow(self.token, self.blob)

    @property
    def incarnations(self) -> set[bytes]:
        """Every life of the key whose records it names."""
        named = {row.incarnation for row in self.inline}
        return named | {each.incarnation for each in self.segments} | {self.incarnation}


@dataclass(slots=True)
class _Named:
    buckets: dict[str, Bucket] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_named = _Named()


def _head_name(key: str) -> str:
    return f"head/{key}"


class ObjectBackend(InProcess):
    """A store in memory that commits as one on an object store would.

    Example:
        >>> ObjectBackend("scratch").perform(ReadHead("support/alice")) is None
        True
    """

    def __init__(self, name: str = "") -> None:
        with _named.lock:
            self._bucket = _named.buckets.setdefault(name, Bucket()) if name else Bucket()
        info: StoreInfo = self._bucket.info
        super().__init__(info, f"{name} (objects)")

    def size_bytes(self) -> int:
        """Bytes of all objects, those that no head object names included."""
        self._check_open()
        return self._bucket.size_bytes()

    # ---- writing ----------------------------------------------------------------------------

    def _settle(self, request: Commit) -> Answer:
        name = _head_name(request.key)
        while True:
            found = self._bucket.get(name)
            present = _decode(found[1]) if found else None
            if (present.token if present else None) != request.expect:
                return Moved(present.row if present else None)
            new = self._built(present, request)
            version = found[0] if found else None
            if self._bucket.put(name, msgspec.msgpack.encode(new), version=version):
                return Committed()

    def _built(self, present: HeadObject | None, request: Commit) -> HeadObject:
        """The head object after `request`, with its segments already put."""
        tail = request.tail
        inline = list(present.inline) if present else []
        segments = list(present.segments) if present else []
        if present is None or tail.incarnation not in present.incarnations:
            segments += self._staged(tail.incarnation)
        for row in request.records:
            new = Row(tail.incarnation, row.line, row.number, bytes(row.blob))
            if self._is_taken(new, inline, segments):
                raise place_taken(row.line, row.number)
            inline.append(new)
        inline, spilled = _split(inline)
        segments += self._put_segments(spilled)
        head = request.head
        return HeadObject(
            bytes(head.token),
            bytes(head.blob),
            bytes(tail.incarnation),
            tail.line,
            tail.after,
            inline,
            segments,
        )

    def _is_taken(self, new: Row, inline: list[Row], segments: list[Segment]) -> bool:
        near = _rows_inline(inline, new.incarnation, new.line, new.number, new.number)
        far = self._rows_apart(segments, new.incarnation, new.line, new.number, new.number)
        return any(near) or any(far)

    def _put_segments(self, rows: list[Row]) -> Iterator[Segment]:
        lines: dict[tuple[bytes, int], list[Row]] = {}
        for row in rows:
            lines.setdefault((row.incarnation, row.line), []).append(row)
        for (incarnation, line), run in lines.items():
            name = f"segment/{incarnation.hex()}/{uuid4().hex}"
            self._bucket.put(name, msgspec.msgpack.encode(run))
            numbers = [row.number for row in run]
            yield Segment(name, incarnation, line, min(numbers), max(numbers))

    def _staged(self, incarnation: bytes) -> list[Segment]:
        segments = []
        for name in self._bucket.names(f"staged/{incarnation.hex()}/"):
            line, number = map(int, name.split("/")[2:])
            segments.append(Segment(name, incarnation, line, number, number))
        return segments

    def _stage(self, request: Stage) -> None:
        if self._head_of(request.incarnation):
            raise StateExists("These records belong to a state that is already there.")
        put: list[str] = []
        for row in request.records:
            name = f"staged/{request.incarnation.hex()}/{row.line}/{row.number}"
            data = [Row(request.incarnation, row.line, row.number, bytes(row.blob))]
            if not self._bucket.put(name, msgspec.msgpack.encode(data)):
                for done in put:
                    self._bucket.delete(done)
                raise place_taken(row.line, row.number)
            put.append(name)

    def _discard(self, request: Discard) -> None:
        if not self._head_of(request.incarnation):
            for name in self._bucket.names(f"staged/{request.incarnation.hex()}/"):
                self._bucket.delete(name)

    # ---- reading ----------------------------------------------------------------------------

    def _head_object(self, key: str) -> HeadObject | None:
        found = self._bucket.get(_head_name(key))
        return _decode(found[1]) if found else None

    def _head_of(self, incarnation: bytes) -> HeadObject | None:
        """The head object that names this incarnation, if one does."""
        for name in self._bucket.names(_head_name("")):
            found = self._bucket.get(name)
            if found and incarnation in (head := _decode(found[1])).incarnations:
                return head
        return None

    def _rows_apart(
        self, segments: Sequence[Segment], incarnation: bytes, line: int, first: int, last: int
    ) -> Iterator[Row]:
        for each in segments:
            is_of_line = each.incarnation == incarnation and each.line == line
            if is_of_line and each.first <= last and first <= each.last:
                found = self._bucket.get(each.name)
                if found:
                    rows = msgspec.msgpack.decode(found[1], type=list[Row])
                    yield from (row for row in rows if first <= row.number <= last)

    def _rows(
        self, head: HeadObject, incarnation: bytes, line: int, first: int, last: int
    ) -> list[RecordRow]:
        rows = [
            *self._rows_apart(head.segments, incarnation, line, first, last),
            *_rows_inline(head.inline, incarnation, line, first, last),
        ]
        rows.sort(key=lambda row: row.number)
        return [RecordRow(row.line, row.number, row.blob) for row in rows]

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        head = self._head_object(request.key)
        return head.row if head else None

    def _read_state(self, request: ReadState) -> StateRows | None:
        head = self._head_object(request.key)
        if head is None:
            return None
        rows = self._rows(head, head.incarnation, head.line, head.after + 1, 2**63 - 1)
        return StateRows(head.row, tuple(rows))

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        head = self._head_of(request.incarnation)
        if head is None:
            return ()
        rows = self._rows(head, request.incarnation, request.line, request.first, request.last)
        return page_of(reversed(rows) if request.newest_first else rows, request.bytes_max)

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        prefix = _head_name("")
        keys = keys_of((name[len(prefix) :] for name in self._bucket.names(prefix)), request)
        found = ((key, self._head_object(key)) for key in keys)
        return tuple((key, head.row) for key, head in found if head)


def _decode(data: bytes) -> HeadObject:
    return msgspec.msgpack.decode(data, type=HeadObject)


def _rows_inline(
    rows: Sequence[Row], incarnation: bytes, line: int, first: int, last: int
) -> Iterator[Row]:
    for row in rows:
        if row.incarnation == incarnation and row.line == line and first <= row.number <= last:
            yield row


def _split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """What stays inline, and what has to go: the oldest, down to half, so that it goes seldom."""
    size = sum(len(row.blob) for row in rows)
    if size <= inline_bytes_max:
        return rows, []
    count = 0
    while size > inline_bytes_max // 2:
        size -= len(rows[count].blob)
        count += 1
    return rows[count:], rows[:count]
