"""One state as one portable file: written and read as a stream, verified on the way in.

The file is `magic(8) ‖ id(16)`, then frames of `length(4, big-endian) ‖ blob`. Blobs are sealed as
everything stored is (`perdure.core.seal`), their place being the file's id and the frame's number:
a frame damaged, moved, or taken from another file does not verify. Frame 1 is the manifest, the
last one the end; between them are batches of records, compressed together.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.claims import roots_of_claims
from perdure.core.codec import pack, unpack
from perdure.core.head import MAIN, Branch, Head, Journal, open_head, seal_head, to_wire
from perdure.core.journal import Move
from perdure.core.lineage import bases_through
from perdure.core.page import Ref, page_id
from perdure.core.pieces import at_once
from perdure.core.record import Record, Sealed, as_saved, open_payload
from perdure.core.seal import (
    EXPORT_OWNER,
    HEADER_BYTES,
    REDACTED,
    TAG_BYTES,
    Kind,
    Place,
    seal,
    unseal,
)
from perdure.core.tree_read import Reading, reachable, read_root, read_value, remembering
from perdure.drive import Driver
from perdure.engine import carry, redactions, states
from perdure.engine.read import Site, is_replaced, parent_of, read_head, replay
from perdure.engine.requests import Discard, ListHeld, Stage
from perdure.errors import (
    GIVE_KEY,
    Busy,
    CommitUnknown,
    Damaged,
    KeyMissing,
    Malformed,
    PerdureError,
    ReplayMismatch,
    StateExists,
    StorageFull,
    Tampered,
    UsageError,
)
from perdure.naming import check_new
from perdure.newfile import give_name, partial_name, require_place
from perdure.reports import Exported
from perdure.types import StateInfo

if TYPE_CHECKING:
    from perdure.keys.export import FileKeys
    from perdure.keys.ring import RootKey

T = TypeVar("T")

MAGIC = b"PERDSTAT"
MAGIC_KEYED = b"PERDSEAL"
"""What an encrypted file begins with: its keys stand before its frames."""
File: TypeAlias = str | os.PathLike[str] | BinaryIO
Progress: TypeAlias = Callable[[int, int], None]
"""Called with (checkpoints done, all)."""

_length = struct.Struct(">I")


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
    with _opened_new(target) as file:
        writer = _Writer(file, root)
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
) -> StateInfo:
    """Read a state that `export_state` wrote; it is visible only when all of it was verified."""
    with _opened(source) as file:
        reader = _Reader(file, root)
        name, head, pages, told = _manifest(reader)
        site = Site(store, key if key is not None else name)
        check_new(site.key)
        driver.run(states.require_free(site))
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


def _manifest(reader: _Reader) -> tuple[str, Head, int, list[redactions.Told]]:
    """The key and the head that the file begins with, how many pages follow, and the receipts."""
    match reader.next():
        case {"key": str(key), "head": bytes(blob), **more}:
            head = open_head(blob, store=reader.id, key=key)
            pages = more.get("pages", 0)
            if MAIN in head.branches and isinstance(pages, int):
                return key, head, pages, _receipts(reader, more.get("redactions", []))
    raise Damaged(f"{reader.name} does not begin with a manifest")


def _receipts(reader: _Reader, wire: object) -> list[redactions.Told]:
    """The receipts of redactions that the file has, oldest first."""
    try:
        return msgspec.convert(wire, list[redactions.Told])
    except msgspec.ValidationError as error:
        raise Damaged(f"{reader.name}: a receipt of a redaction is none: {error}") from error


def _stage_all(
    staging: _Staging,
    reader: _Reader,
    head: Head,
    pages: dict[bytes, bytes],
    progress: Progress | None,
) -> Sealed:
    """Verify, replay and stage every record of the file, a batch at a time; the last one."""
    tip = head.branches[MAIN]
    sections = _base(reader, tip, pages)
    parent, number = parent_of(tip), tip.first - 1
    last: Sealed | None = None
    while last is None or number < tip.number:
        records = _records(reader, head, parent, number + 1)
        try:
            replay(records, sections)
        except (ReplayMismatch, Malformed) as error:
            raise Damaged(f"{reader.name}: {error}") from error
        staging.redacted += [record for record in records if record.is_redacted]
        last = staging.put(records)
        parent, number = records[-1].hash, last.number
        if progress is not None:
            progress(number, tip.number)
    if parent != tip.hash or reader.next() != {"end": tip.number}:
        raise Damaged(f"{reader.name}: its records do not end as its manifest says")
    if not reader.is_at_end():
        raise Damaged(f"{reader.name}: goes on after its end; it is not what was exported")
    if not _over(reachable(roots_of_claims(head)), pages) <= pages.keys():
        raise Damaged(f"{reader.name}: a page that has claims is not in it")
    staging.put_pages(pages)
    return last


def _pages(reader: _Reader, head: Head, count: int) -> dict[bytes, bytes]:
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


def _page(reader: _Reader, item: object) -> tuple[bytes, bytes]:
    match item:
        case [bytes(id_), bytes(payload)]:
            return id_, payload
    raise Damaged(f"{reader.name}: what should be a page is none")


def _base(reader: _Reader, tip: Branch, pages: dict[bytes, bytes]) -> dict[str, Any]:
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
        self, reader: _Reader, head: Head, told: list[redactions.Told]
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


def _records(reader: _Reader, head: Head, parent: bytes, first: int) -> list[Record]:
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


class _Writer:
    def __init__(self, file: BinaryIO, root: RootKey | None = None) -> None:
        self._file = file
        self._number = 0
        self.id = os.urandom(16)
        self.bytes = 0
        self._keys: FileKeys | None = None
        if root is None:
            self._put(MAGIC + self.id)
            return
        from perdure.keys.export import FileKeys

        self._keys, start = FileKeys.drawn(self.id, root)
        self._put(MAGIC_KEYED + self.id + start)

    def write(self, value: object, flags: int = 0) -> None:
        self._number += 1
        place = Place(self.id, EXPORT_OWNER, 0, self._number)
        blob = seal(Kind.EXPORT, place, pack(value), flags=flags)
        if self._keys is not None:
            blob = self._keys.seal(place, blob)
        self._put(_length.pack(len(blob)))
        self._put(blob)

    def _put(self, data: bytes) -> None:
        """All of it, also into a stream that takes less at a time."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self.bytes += len(data)


class _Reader:
    def __init__(self, file: BinaryIO, root: RootKey | None = None) -> None:
        self._file = file
        self._number = 0
        self.name = str(getattr(file, "name", "the file"))
        self._keys: FileKeys | None = None
        magic = self._up_to(len(MAGIC))
        if magic not in (MAGIC, MAGIC_KEYED):
            raise Malformed(
                f"{self.name} is not a state exported by Perdure. A backup is a whole store: "
                "open it as one (on the command line with --store)"
            )
        self.id = self._exactly(16)
        if magic == MAGIC_KEYED:
            self._keys = self._read_keys(root)

    def _read_keys(self, root: RootKey | None) -> FileKeys:
        if root is None:
            raise KeyMissing(
                f"{self.name} is encrypted: import it into a store with the root key that it was "
                f"exported under; {GIVE_KEY}"
            )
        from perdure.keys.export import FileKeys

        return FileKeys.read(self.id, root, self._exactly)

    def next(self) -> object:
        self._number += 1
        (length,) = _length.unpack(self._exactly(_length.size))
        if not HEADER_BYTES + TAG_BYTES <= length <= limits.record_bytes_max * 2:
            raise Damaged(f"{self.name}: frame {self._number} claims {length} bytes")
        place = Place(self.id, EXPORT_OWNER, 0, self._number)
        blob = self._exactly(length)
        if self._keys is not None:
            blob = self._keys.locked(blob)
        try:
            return unpack(unseal(Kind.EXPORT, place, blob, limits.export_bytes_max))
        except (Damaged, Malformed) as error:
            kind = Tampered if isinstance(error, Tampered) else Damaged
            raise kind(
                f"{self.name}: frame {self._number} is not what was exported; it was changed, "
                "moved or cut"
            ) from error

    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return not self._file.read(1)

    def _exactly(self, size: int) -> bytes:
        data = self._up_to(size)
        if len(data) != size:
            raise Damaged(f"{self.name} is cut short in frame {self._number}")
        return data

    def _up_to(self, size: int) -> bytes:
        """The next bytes, also of a stream that gives less at a time; fewer only at its end."""
        data = self._file.read(size)
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data


@contextmanager
def _opened_new(target: File) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is whole; never over another."""
    if not isinstance(target, str | os.PathLike):
        if isinstance(target, io.TextIOBase):
            raise UsageError("a state is exported to a binary file: open it with mode 'wb'")
        yield target
        return
    require_place(target)
    path = Path(target)
    if path.exists():
        raise _taken(path)
    partial = partial_name(path)
    try:
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        give_name(partial, path)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No room left for {path}; nothing is left of it.") from error
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists already; choose another name or remove it")


@contextmanager
def _opened(source: File) -> Iterator[BinaryIO]:
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, io.TextIOBase):
            raise UsageError("a state is imported from a binary file: open it with mode 'rb'")
        yield source
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(source, "rb"))
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cannot read {os.fspath(source)}: {reason}") from error
        yield file
