"""One state as one portable file: written and read as a stream, verified on the way in.

Of the frames of the file (`perdure.state_file`) the first is the manifest, and the last one the
end; between them are batches of records, compressed together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from perdure.core.claims import roots_of_claims
from perdure.core.head import MAIN, Branch, Head, Journal
from perdure.core.head_bytes import open_head, seal_head, to_wire
from perdure.core.journal import Move
from perdure.core.lineage import bases_through
from perdure.core.page import Ref, page_id
from perdure.core.pieces import at_once
from perdure.core.record import Record, Sealed, as_saved, open_payload
from perdure.core.seal import (
    REDACTED,
    Place,
)
from perdure.core.tree_read import Reading, reachable, read_root, read_value, remembering
from perdure.drive import Driver
from perdure.engine import carry, claimed, redactions, search, states
from perdure.engine.read import Site, is_replaced, parent_of, read_head, replay
from perdure.engine.requests import Discard, ListHeld, Stage
from perdure.errors import (
    Busy,
    CommitUnknown,
    Damaged,
    Malformed,
    PerdureError,
    ReplayMismatch,
    StateExists,
    UsageError,
)
from perdure.naming import check_new
from perdure.reports import Exported
from perdure.state_file import File, Reader, Writer, opened, opened_new
from perdure.types import StateInfo

if TYPE_CHECKING:
    from perdure.keys.ring import RootKey
    from perdure.secrets.found import Arriving

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (checkpoints done, all)."""


def export_state(
    driver: Driver, site: Site, target: File, progress: Progress | None, root: RootKey | None
) -> Exported:
    """Write a state with its whole history; `Busy` if it was pruned meanwhile.

    `root` is the root key that the file is encrypted under; None: it is not.
    """
    head = driver.run(read_head(site))
    try:
        return _exported(driver, site, head, target, progress, root)
    except Damaged as error:
        if not driver.run(is_replaced(site, head)):
            raise
        # What was written cannot be taken back where it goes to a stream.
        raise Busy(f"{site.key!r} was pruned while it was exported; export it again") from error


def _exported(
    driver: Driver,
    site: Site,
    head: Head,
    target: File,
    progress: Progress | None,
    root: RootKey | None,
) -> Exported:
    tip, moved = head.branches[MAIN], head
    # Others, the journal that tells of them, and former lives of the key are not in the file.
    head = replace(head, branches={MAIN: tip}, journal=None, parked=None, former=())
    with opened_new(target) as file:
        writer = Writer(file, root)
        bases = driver.run(carry.base_page_ids(site, head, tip))
        ids = sorted({*bases, *driver.run(carry.claim_page_ids(site, head))})
        sealed = seal_head(head, store=writer.id, key=site.key)
        told = driver.run(redactions.receipts(site, moved))
        more = {"redactions": [to_wire(each) for each in told]} if told else {}
        writer.write({"key": site.key, "head": sealed, "pages": len(ids), **more})
        for some in carry.some_at_a_time(ids):
            pages = driver.run(carry.read_pages(site, head, some))
            writer.write([*map(list, pages.items())])
        after: Record | None = None
        while after is None or after.number < tip.number:
            records = driver.run(states.read_some(site, head, after))
            flags = REDACTED if any(record.is_redacted for record in records) else 0
            writer.write([[r.number, r.salt, r.canonical, r.line] for r in records], flags)
            after = records[-1]
            if progress is not None:
                progress(after.number, tip.number)
        writer.write({"end": tip.number})
    return Exported(tip.number - tip.first + 1, writer.bytes, tip.hash.hex())


def import_state(
    driver: Driver,
    store: bytes,
    source: File,
    key: str | None,
    progress: Progress | None,
    root: RootKey | None = None,
    arriving: Callable[[str], Arriving] | None = None,
) -> StateInfo:
    """Read a state that `export_state` wrote; it is visible only when all of it was verified.

    `arriving` gives what looks over all of it first, by the key that it is to have.
    """
    with opened(source) as file:
        start = _start(file) if arriving is not None else 0
        reader = Reader(file, root)
        name, head, pages, told = _manifest(reader)
        site = Site(store, key if key is not None else name)
        check_new(site.key)
        driver.run(states.require_free(site))
        if arriving is not None:
            _look_over(reader, head, pages, arriving(site.key))
            file.seek(start)
            reader = Reader(file, root)
            if _manifest(reader) != (name, head, pages, told):
                raise Damaged(f"{reader.name} was changed while it was read")
        staging = _Staging(driver, site, head)
        try:
            last = _stage_all(staging, reader, head, _pages(reader, head, pages), progress)
            journal = staging.put_receipts(reader, head, told)
        except BaseException:
            staging.discard()
            raise
    try:
        driver.run(carry.require_staged(site, staging.incarnation, staging.count))
        bases = bases_through(staging.ends)
        return driver.run(states.adopt(site, head, staging.incarnation, last, bases, journal))
    except CommitUnknown:
        raise  # it may still land, and then names these records
    except PerdureError:
        staging.discard()
        raise


def _start(file: BinaryIO) -> int:
    """Where a file that is read twice begins.

    Raises:
        UsageError: it cannot be.
    """
    try:
        start = file.tell()
        file.seek(start)
    except (OSError, AttributeError) as error:
        raise UsageError(
            "what is imported is looked over for secrets first, and so read twice, which a stream "
            "cannot be: save it as a file"
        ) from error
    return start


def _look_over(reader: Reader, head: Head, count: int, arriving: Arriving) -> None:
    """Have all that a file brings looked at; what is wrong with the file is told by that too.

    Raises:
        SecretFound: it has secrets.
    """
    tip, pages, look = head.branches[MAIN], _pages(reader, head, count), arriving.look
    sections = _base(reader, tip, pages)
    look(MAIN, tip.first, sections)
    for records in _verified(reader, head, sections):
        search.in_records(MAIN, records, look)
    look(MAIN, tip.number, sections)
    search.in_claims(_over(claimed.results(head), pages), look)
    look(None, None, {"summary": head.summary})
    arriving.require_none()


def _manifest(reader: Reader) -> tuple[str, Head, int, list[redactions.Told]]:
    """The key and the head that the file begins with, how many pages follow, and the receipts."""
    match reader.next():
        case {"key": str(key), "head": bytes(blob), **more}:
            head = open_head(blob, store=reader.id, key=key)
            pages = more.get("pages", 0)
            if MAIN in head.branches and isinstance(pages, int):
                return key, head, pages, _receipts(reader, more.get("redactions", []))
    raise Damaged(f"{reader.name} does not begin with a manifest")


def _receipts(reader: Reader, wire: object) -> list[redactions.Told]:
    """The receipts of redactions that the file has, oldest first."""
    try:
        return msgspec.convert(wire, list[redactions.Told])
    except msgspec.ValidationError as error:
        raise Damaged(f"{reader.name}: a receipt of a redaction is none: {error}") from error


def _stage_all(
    staging: _Staging,
    reader: Reader,
    head: Head,
    pages: dict[bytes, bytes],
    progress: Progress | None,
) -> Sealed:
    """Verify, replay and stage every record of the file, a batch at a time; the last one."""
    tip = head.branches[MAIN]
    last: Sealed | None = None
    for records in _verified(reader, head, _base(reader, tip, pages)):
        staging.redacted += [record for record in records if record.is_redacted]
        last = staging.put(records)
        if progress is not None:
            progress(last.number, tip.number)
    assert last is not None
    if not _over(reachable(roots_of_claims(head)), pages) <= pages.keys():
        raise Damaged(f"{reader.name}: a page that has claims is not in it")
    staging.put_pages(pages)
    return last


def _verified(reader: Reader, head: Head, sections: dict[str, Any]) -> Iterator[list[Record]]:
    """Every record of the file, a batch at a time, each verified and replayed in `sections`.

    Raises:
        Damaged: they are not what was exported, or do not apply, or more follows.
    """
    tip = head.branches[MAIN]
    parent, number = parent_of(tip), tip.first - 1
    while number < max(tip.number, tip.first):
        records = _records(reader, head, parent, number + 1)
        try:
            replay(records, sections)
        except (ReplayMismatch, Malformed) as error:
            raise Damaged(f"{reader.name}: {error}") from error
        yield records
        parent, number = records[-1].hash, records[-1].number
    if parent != tip.hash or reader.next() != {"end": tip.number}:
        raise Damaged(f"{reader.name}: its records do not end as its manifest says")
    if not reader.is_at_end():
        raise Damaged(f"{reader.name}: goes on after its end; it is not what was exported")


def _pages(reader: Reader, head: Head, count: int) -> dict[bytes, bytes]:
    """What stands in for what was pruned before the export, by the ids of its pages."""
    pages: dict[bytes, bytes] = {}
    while len(pages) < count:
        match reader.next():
            case list(found) if found:
                pages.update(_page(reader, item) for item in found)
            case _:
                raise Damaged(f"{reader.name} ends before its {count} pages do")
    if any(page_id(payload, head.secret) != id_ for id_, payload in pages.items()):
        raise Damaged(f"{reader.name}: a page in it is not what its id says")
    return pages


def _page(reader: Reader, item: object) -> tuple[bytes, bytes]:
    match item:
        case [bytes(id_), bytes(payload)]:
            return id_, payload
    raise Damaged(f"{reader.name}: what should be a page is none")


def _base(reader: Reader, tip: Branch, pages: dict[bytes, bytes]) -> dict[str, Any]:
    """The state that a pruned history begins with."""
    if tip.base_tree is None:
        return {}
    sections = _over(read_root(tip.base_tree.root), pages)
    for name, value in sections.items():
        if type(value) is Ref:
            sections[name] = _over(read_value(value), pages)
    return sections


def _over(reading: Reading[T], pages: dict[bytes, bytes]) -> T:
    """What a reader makes of pages that are all at hand."""
    try:
        return at_once(remembering(reading, pages))  # type: ignore[arg-type]  # it asks for no page
    except KeyError as error:
        raise Damaged("a page that stands in for what was pruned is not in the file") from error


class _Staging:
    """Records on their way in, which nobody sees until a head names them."""

    def __init__(self, driver: Driver, site: Site, head: Head) -> None:
        self._driver = driver
        self._perform = driver.backend.perform
        self._clock = driver.clock
        self._site, self._head = site, head
        self._hash = parent_of(head.branches[MAIN])
        self._is_begun = False
        self.ends: dict[int, int] = {}
        """By line, oldest first, the number of the last record that is on it."""
        self.count = 0
        """Rows that were staged."""
        self.redacted: list[Record] = []
        # The same life if this store does not have it, so that every hash stays; else a copy.
        held = self._perform(ListHeld(head.incarnation, 1))
        held = [each for each in held if each.incarnation == head.incarnation]
        self.incarnation = os.urandom(16) if held else head.incarnation

    def put(self, records: list[Record]) -> Sealed:
        """Stage the records after those before; the last of them as it is here."""
        try:
            return self._put(records)
        except StateExists:
            if self._is_begun:
                raise
            # Another import of the same file is, or was, under way: this one is a copy.
            self.incarnation = os.urandom(16)
            return self._put(records)

    def _put(self, records: list[Record]) -> Sealed:
        is_same_life = self.incarnation == self._head.incarnation
        alone = [[record if is_same_life else as_saved(record)] for record in records]
        rows, last = states.rows_again(alone, self._site, self.incarnation, self._hash)
        self._perform(Stage(self.incarnation, rows, self._clock()))
        self._hash, self._is_begun = last.hash, True
        self.count += len(rows)
        self.ends |= {record.line: record.number for record in records}
        return last

    def put_receipts(
        self, reader: Reader, head: Head, told: list[redactions.Told]
    ) -> Journal | None:
        """Stage what tells of the redacted records; where they are in the journal.

        Raises:
            Damaged: of one nothing does.
        """
        known: dict[tuple[int, int], bytes] = {}
        for each in told:
            known |= redactions.leaves_of(Move("redact", MAIN, redaction=each.receipt))
        for record in self.redacted:
            if known.get((record.line, record.number)) != record.content_leaf(head.incarnation):
                raise Damaged(
                    f"{reader.name}: checkpoint {record.number} says that it was redacted, and no "
                    "receipt tells of what it holds"
                )
        if self.incarnation != head.incarnation:
            return None  # its chain commits to what stands there by now
        rows, new = self._driver.run(redactions.told_anew(self._site, head, told))
        if rows:
            self._perform(Stage(self.incarnation, tuple(rows), self._clock()))
            self.count += len(rows)
        return new.journal

    def put_pages(self, pages: dict[bytes, bytes]) -> None:
        """Stage what stands in for what was pruned, and the pages of claims."""
        self._driver.run(carry.put_twice(self._site, self.incarnation, pages))

    def discard(self) -> None:
        """Give it up, and let the error that is under way be the one that is told."""
        if self._is_begun:
            with suppress(PerdureError):
                self._perform(Discard(self.incarnation))


def _records(reader: Reader, head: Head, parent: bytes, first: int) -> list[Record]:
    """The next batch, each record chained to the one before it."""
    records: list[Record] = []
    frame = reader.next()
    if not isinstance(frame, list) or not frame:
        raise Damaged(f"{reader.name} ends before checkpoint {first}")
    for number, item in enumerate(frame, first):
        match item:
            case [int(found), bytes(salt), bytes(canonical), *line] if found == number:
                on = int(line[0]) if line else head.branches[MAIN].line
                place = Place(reader.id, head.incarnation, on, number)
                records.append(open_payload(parent + salt + canonical, place, len(canonical)))
                parent = records[-1].hash
            case _:
                raise Damaged(f"{reader.name}: checkpoint {number} is missing")
    return records
