"""A store in memory with an object store's semantics, and nothing that one does not offer.

Objects are put once and never change, except the head object of each key, which is replaced by
compare-and-swap, and pages, which are put without a condition. There are no transactions. So a
commit puts its large or older rows first, as *segments* under names of their own, and then swaps
in a head object that names them: rows become visible, and give way, by that swap alone. A loser
leaves segments behind that no head object names; so does who dies between the swap and the
deletion of what it replaced.

The head object carries the newest records inline, up to `inline_bytes_max`. Rows of more than one
record are old, and never inline.

Who reads follows a head object to others. If one of them is gone and the head object is no longer
the same, a commit came between, and the answer is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TypeVar
from uuid import uuid4

import msgspec

from perdure.backends import object_erased, object_keys
from perdure.backends.bucket import (
    Bucket,
    HeadObject,
    Row,
    Segment,
    head_name,
    page_name,
    segment_name,
    staged_name,
    staging_name,
)
from perdure.backends.in_process import NUMBER_MAX, InProcess, keys_of
from perdure.backends.lines import (
    gives_way,
    held_of,
    page_of,
    place_taken,
    sizes_of,
    unknown_of,
)
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
    Known,
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
    Run,
    Stage,
    StateAnswer,
    StateRows,
    Unchanged,
)
from perdure.errors import StateExists

T = TypeVar("T")

inline_bytes_max = 256 * 1024
"""Records that a head object carries itself (bytes)."""


@dataclass(slots=True)
class _Named:
    buckets: dict[str, Bucket] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


_named = _Named()


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

    # ---- committing -------------------------------------------------------------------------

    def _settle(self, request: Commit) -> Answer:
        name = head_name(request.key)
        while True:
            found = self._bucket.get(name)
            present = self._unerased(_decode(found[1])) if found else None
            if (present.token if present else None) != request.expect:
                return Moved(present.row if present else None)
            object_erased.require_unerased(self._bucket, request.tail.incarnation)
            # A page that is put again from here on has another version, and stays.
            dropped = self._versions(request)
            object_keys.add_keys(self._bucket, request.keys)
            new = self._built(present, request)
            version = found[0] if found else None
            if self._bucket.put(name, msgspec.msgpack.encode(new), version=version):
                self._tidy_up(present, new, dropped)
                # What was erased between the look above and the swap goes again.
                object_erased.undo_unless(self._bucket, request.tail.incarnation, request.key)
                return Committed()

    def _versions(self, request: Commit) -> dict[str, int]:
        names = (page_name(request.tail.incarnation, id_) for id_ in request.dropped)
        found = ((name, self._bucket.get(name)) for name in names)
        return {name: page[0] for name, page in found if page}

    def _built(self, present: HeadObject | None, request: Commit) -> HeadObject:
        """The head object after `request`, with its segments already put."""
        tail, head = request.tail, request.head
        incarnation = bytes(tail.incarnation)
        lives = list(present.lives) if present else []
        inline = list(present.inline) if present else []
        segments = list(present.segments) if present else []
        if incarnation not in lives:
            lives.append(incarnation)
            segments += self._staged(incarnation)
        if request.removed:
            inline = [row for row in inline if not _is_removed(row, incarnation, request.removed)]
            segments = list(self._thinned(segments, incarnation, request.removed))
        for row in request.records:
            new = Row.of(incarnation, row)
            if self._is_taken(new, inline, segments):
                raise place_taken(row.line, row.number)
            inline.append(new)
        inline, spilled = _split(inline)
        segments += self._put_segments(spilled)
        place = incarnation, tail.line, tail.after, tail.page
        return HeadObject(bytes(head.token), bytes(head.blob), *place, lives, inline, segments)

    def _is_taken(self, new: Row, inline: list[Row], segments: list[Segment]) -> bool:
        place = new.incarnation, new.line, new.number - new.count + 1, new.number
        if any(row.is_in(*place) for row in inline):
            return True
        near = (each for each in segments if each.may_hold(*place))
        return any(row.is_in(*place) for each in near for row in self._segment(each) or ())

    def _thinned(
        self, segments: list[Segment], incarnation: bytes, removed: Sequence[Run]
    ) -> Iterator[Segment]:
        """The segments without the rows that give way: those that hold any are put anew."""
        for each in segments:
            if any(each.may_hold(incarnation, run.line, run.first, run.last) for run in removed):
                rows = self._segment(each) or []
                kept = [row for row in rows if not _is_removed(row, incarnation, removed)]
                if len(kept) < len(rows):
                    yield from self._put_segments(kept)
                    continue
            yield each

    def _put_segments(self, rows: list[Row]) -> Iterator[Segment]:
        runs: dict[tuple[bytes, int, int], list[Row]] = {}
        for row in rows:
            # A pack has an object of its own: it is large, and will be asked for alone.
            apart = row.number if row.count > 1 else 0
            runs.setdefault((row.incarnation, row.line, apart), []).append(row)
        for (incarnation, line, _), run in runs.items():
            name = f"{segment_name(incarnation)}{uuid4().hex}"
            self._bucket.put(name, msgspec.msgpack.encode(run))
            first = min(row.number - row.count + 1 for row in run)
            yield Segment(name, incarnation, line, first, max(row.number for row in run))

    def _tidy_up(self, before: HeadObject | None, now: HeadObject, dropped: dict[str, int]) -> None:
        """Delete what the head object does not name any more."""
        if before is None or now.incarnation not in before.lives:
            self._bucket.delete(staging_name(now.incarnation))
        named = {each.name for each in now.segments}
        for each in before.segments if before else ():
            if each.name not in named:
                self._bucket.delete(each.name)
        for name, version in dropped.items():
            self._bucket.delete(name, version=version)

    # ---- pages and stagings -----------------------------------------------------------------

    def _put_pages(self, request: PutPages) -> None:
        object_erased.require_unerased(self._bucket, request.incarnation)
        for page in request.pages:
            self._bucket.replace(page_name(request.incarnation, page.id), page.blob)
        object_erased.undo_unless(self._bucket, request.incarnation)

    def _staged(self, incarnation: bytes) -> list[Segment]:
        segments = []
        for name in self._bucket.names(staged_name(incarnation)):
            line, number, count = map(int, name.split("/")[2:])
            segments.append(Segment(name, incarnation, line, number - count + 1, number))
        return segments

    def _stage(self, request: Stage) -> None:
        incarnation = request.incarnation
        object_erased.require_unerased(self._bucket, incarnation)
        if self._head_of(incarnation):
            raise StateExists("These records belong to a state that is already there.")
        there = self._staged(incarnation)
        for row in request.records:
            place = incarnation, row.line, row.number - row.count + 1, row.number
            if any(each.may_hold(*place) for each in there):
                raise place_taken(row.line, row.number)
            there.append(Segment("", *place))
        at_us = max(request.at_us, self._staged_at(incarnation))
        self._bucket.replace(staging_name(incarnation), msgspec.msgpack.encode(at_us))
        self._put_staged(incarnation, request.records)
        object_erased.undo_unless(self._bucket, incarnation)

    def _put_staged(self, incarnation: bytes, rows: Sequence[RecordRow]) -> None:
        done: list[str] = []
        for row in rows:
            name = f"{staged_name(incarnation)}{row.line}/{row.number}/{row.count}"
            data = msgspec.msgpack.encode([Row.of(incarnation, row)])
            if not self._bucket.put(name, data):  # somebody stages the same at this moment
                for each in done:
                    self._bucket.delete(each)
                raise place_taken(row.line, row.number)
            done.append(name)

    def _staged_at(self, incarnation: bytes) -> int:
        found = self._bucket.get(staging_name(incarnation))
        return msgspec.msgpack.decode(found[1], type=int) if found else 0

    def _list_staged(self, request: ListStaged) -> tuple[tuple[bytes, int], ...]:
        kinds = ("page/", "staged/", "staging/")
        names = [name for kind in kinds for name in self._bucket.names(kind)]
        found = {bytes.fromhex(name.split("/")[1]) for name in names}
        found -= {life for head in self._heads() for life in head.lives}
        found |= object_erased.left(self._bucket)
        return tuple((incarnation, self._staged_at(incarnation)) for incarnation in sorted(found))

    def _list_held(self, request: ListHeld) -> tuple[Held, ...]:
        rows: dict[bytes, list[RecordRow]] = {}
        sizes: dict[bytes, list[int]] = {}
        named = [row for head in self._heads() for row in head.inline]
        for each in self._named_segments():
            named += self._segment(each) or []
        for row in named:
            rows.setdefault(row.incarnation, []).append(row.record)
        for name, size in self._bucket.sizes("page/").items():
            sizes.setdefault(bytes.fromhex(name.split("/")[1]), []).append(size)
        return held_of(request, rows, sizes)

    def _named_segments(self) -> list[Segment]:
        """Of every incarnation, staged ones included, each once."""
        found = {each.name: each for head in self._heads() for each in head.segments}
        for incarnation, _ in self._list_staged(ListStaged()):
            found.update((each.name, each) for each in self._staged(incarnation))
        return list(found.values())

    def _discard(self, request: Discard) -> None:
        incarnation = request.incarnation
        if not self._head_of(incarnation):
            for prefix in (staged_name(incarnation), page_name(incarnation)):
                for name in self._bucket.names(prefix):
                    self._bucket.delete(name)
        self._bucket.delete(staging_name(incarnation))
        object_erased.discard(self._bucket, incarnation)

    # ---- erasing ----------------------------------------------------------------------------

    def _erase(self, request: Erase) -> Answer:
        return object_erased.erase(self._bucket, request)

    def _read_erased(self, request: ReadErased) -> tuple[ErasedRow, ...]:
        return object_erased.read_erased(self._bucket, request)

    def _list_erased(self, request: ListErased) -> tuple[ErasedRow, ...]:
        return object_erased.list_erased(self._bucket, request)

    def _unerased(self, head: HeadObject) -> HeadObject | None:
        """A head object, unless what it stands for was erased, which has not removed it yet."""
        return None if object_erased.is_erased(self._bucket, head.incarnation) else head

    # ---- keys -------------------------------------------------------------------------------

    def _read_keys(self, request: ReadKeys) -> tuple[KeyRow, ...]:
        return object_keys.read_keys(self._bucket, request)

    def _list_keys(self, request: ListKeys) -> tuple[KeyRow, ...]:
        return object_keys.list_keys(self._bucket, request)

    def _put_key(self, request: PutKey) -> bool:
        return object_keys.put_key(self._bucket, request)

    def _reseal(self, request: Reseal) -> int:
        return object_keys.reseal(self._bucket, request)

    # ---- reading ----------------------------------------------------------------------------

    def _head_object(self, key: str) -> HeadObject | None:
        found = self._bucket.get(head_name(key))
        return self._unerased(_decode(found[1])) if found else None

    def _heads(self) -> Iterator[HeadObject]:
        prefix = head_name("")
        for name in self._bucket.names(prefix):
            head = self._head_object(name[len(prefix) :])
            if head:
                yield head

    def _head_of(self, incarnation: bytes) -> HeadObject | None:
        """The head object that names this incarnation, if one does."""
        return next((head for head in self._heads() if incarnation in head.lives), None)

    def _follow(
        self,
        find: Callable[[], HeadObject | None],
        read: Callable[[HeadObject], tuple[T, bool]],
    ) -> T | None:
        """What `read` finds behind a head object, and whether it found all that is named."""
        head = find()
        while head is not None:
            answer, is_whole = read(head)
            now = None if is_whole else find()
            if is_whole or (now and now.token == head.token):  # else nothing will mend it
                return answer
            head = now
        return None

    def _segment(self, segment: Segment) -> list[Row] | None:
        found = self._bucket.get(segment.name)
        return msgspec.msgpack.decode(found[1], type=list[Row]) if found else None

    def _rows(
        self, head: HeadObject, incarnation: bytes, line: int, first: int, last: int
    ) -> tuple[list[RecordRow], bool]:
        """The rows that hold any of these records, in order, and whether none was gone."""
        place = incarnation, line, first, last
        apart = [self._segment(each) for each in head.segments if each.may_hold(*place)]
        near = (head.inline, *(rows for rows in apart if rows is not None))
        found = [row.record for rows in near for row in rows if row.is_in(*place)]
        return sorted(found, key=lambda row: row.number), None not in apart

    def _asked(self, request: ReadRecords | ListRows) -> list[RecordRow]:
        place = request.incarnation, request.line, request.first, request.last
        found = self._follow(
            lambda: self._head_of(request.incarnation), lambda head: self._rows(head, *place)
        )
        return found or []

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        head = self._head_object(request.key)
        return head.row if head else None

    def _read_state(self, request: ReadState) -> StateAnswer:
        read = partial(self._state, request.known)
        return self._follow(lambda: self._head_object(request.key), read)

    def _state(self, known: Known | None, head: HeadObject) -> tuple[StateRows | Unchanged, bool]:
        if known is not None and known.token == head.token:
            return Unchanged(), True
        after, page = unknown_of(head.tail, known)
        place = head.incarnation, head.line, after + 1, NUMBER_MAX
        rows, is_whole = self._rows(head, *place)
        ids = () if page is None else (page,)
        pages = self._read_pages(ReadPages(head.incarnation, ids))
        return StateRows(head.row, tuple(rows), pages), is_whole and len(pages) == len(ids)

    def _read_records(self, request: ReadRecords) -> tuple[RecordRow, ...]:
        rows = self._asked(request)
        return page_of(reversed(rows) if request.newest_first else rows, request.bytes_max)

    def _list_rows(self, request: ListRows) -> tuple[tuple[int, int, int, bytes], ...]:
        return sizes_of(self._asked(request), request.count)

    def _read_pages(self, request: ReadPages) -> tuple[PageRow, ...]:
        names = ((id_, page_name(request.incarnation, id_)) for id_ in request.ids)
        found = ((id_, self._bucket.get(name)) for id_, name in names)
        return tuple(PageRow(id_, page[1]) for id_, page in found if page)

    def _list_pages(self, request: ListPages) -> tuple[tuple[bytes, int], ...]:
        prefix = page_name(request.incarnation)
        sizes = self._bucket.sizes(prefix).items()
        pages = ((bytes.fromhex(name[len(prefix) :]), size) for name, size in sizes)
        after = request.after
        return tuple(page for page in pages if after is None or page[0] > after)[: request.count]

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        prefix = head_name("")
        keys = keys_of((name[len(prefix) :] for name in self._bucket.names(prefix)), request)
        found = ((key, self._head_object(key)) for key in keys)
        return tuple((key, head.row) for key, head in found if head)


_decode = HeadObject.decoded


def _is_removed(row: Row, incarnation: bytes, removed: Sequence[Run]) -> bool:
    if row.incarnation != incarnation:
        return False
    return gives_way((row.line, row.number, row.count), removed)


def _split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """What stays inline, and what has to go: the oldest, down to half, so that it goes seldom."""
    packs = [row for row in rows if row.count > 1]
    rows = [row for row in rows if row.count == 1]
    size = sum(len(row.blob) for row in rows)
    if size <= inline_bytes_max:
        return rows, packs
    count = 0
    while size > inline_bytes_max // 2:
        size -= len(rows[count].blob)
        count += 1
    return rows[count:], rows[:count] + packs
