"""Everything the engine may ask of the world, as data.

An engine function is a generator that yields these requests and is sent their answers. A driver
answers them; a storage request goes to the backend, which documents its side of the contract in
`perdure.backends.protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

Durability: TypeAlias = Literal["power", "process"]
"""What an acknowledged commit survives: a power cut, or only the death of the process."""


class HeadRow(msgspec.Struct, frozen=True):
    """A state head as stored: opaque bytes, and the token that names this very version."""

    token: bytes
    blob: bytes


class RecordRow(msgspec.Struct, frozen=True):
    """Records as stored: their place on a line of an incarnation, and their sealed bytes.

    A row holds `count` records without a gap, the newest of which is `number`: one, or a pack.
    """

    line: int
    number: int
    blob: bytes
    count: int = 1


class PageRow(msgspec.Struct, frozen=True):
    """A page of a snapshot as stored: its id, and its sealed bytes."""

    id: bytes
    blob: bytes


class Run(msgspec.Struct, frozen=True):
    """Records `first` … `last` (inclusive) of a line."""

    line: int
    first: int
    last: int


class KeyRow(msgspec.Struct, frozen=True):
    """A wrapped key as stored: whose it is, an incarnation or b"" for the store's own."""

    owner: bytes
    blob: bytes


class ErasedRow(msgspec.Struct, frozen=True):
    """The receipt of an erasure as stored: of which incarnation, when, and its sealed bytes."""

    incarnation: bytes
    at_us: int
    blob: bytes


class Tail(msgspec.Struct, frozen=True):
    """What belongs in one round trip with the head.

    Those are the records of `line` after `after`, the number of the newest snapshot (0: there is
    none), and `page`, that snapshot's root.
    """

    incarnation: bytes
    line: int
    after: int
    page: bytes | None = None


class StateRows(msgspec.Struct, frozen=True):
    """Answer to `ReadState`: the head and what its tail names, as of one moment.

    `records` are in order, `pages` is the root page, or nothing where it names none or it is lost.
    """

    head: HeadRow
    records: tuple[RecordRow, ...]
    pages: tuple[PageRow, ...] = ()


class Unchanged(msgspec.Struct, frozen=True):
    """Answer to `ReadState`: the head that is known is still there, and so is what it names."""


StateAnswer: TypeAlias = StateRows | Unchanged | None
"""Every answer to `ReadState`."""


# ---- answered by the driver -----------------------------------------------------------------


class Now(msgspec.Struct, frozen=True):
    """The time, in microseconds since 1970 UTC (`int`)."""


class Random(msgspec.Struct, frozen=True):
    """`size` unpredictable bytes."""

    size: int


class Pause(msgspec.Struct, frozen=True):
    """Wait this long before the next try; 0: only let others have a turn. Answer: None."""

    seconds: float


LET_GO = Pause(0)
"""Long work yields this now and then: where others may have the interpreter for a moment."""


class IsAlive(msgspec.Struct, frozen=True):
    """Whether the process holding a session lives: True, False, or None if that can't be told."""

    holder: Any  # perdure.types.Holder


class Compute(msgspec.Struct, frozen=True):
    """What `work()` returns, which takes long enough for an event loop to feel it.

    It is a function of what it holds alone, so any thread may call it.
    """

    work: Callable[[], Any]


class Tell(msgspec.Struct, frozen=True):
    """Warn who runs the program of what was gone around. Answer: None."""

    message: str


# ---- answered by the backend ----------------------------------------------------------------


class ReadHead(msgspec.Struct, frozen=True):
    """The head stored under `key`, as a `HeadRow`, or None."""

    key: str


class Known(msgspec.Struct, frozen=True):
    """What a reader of a state has from before.

    That is the head with `token`, whose tail was `tail`, its page, and its records up to `number`.
    """

    token: bytes
    tail: Tail
    number: int


class ReadState(msgspec.Struct, frozen=True):
    """The head under `key` with what its tail names, as `StateRows`, or None. One round trip.

    Who has read it before says what it has, as `known`. If that head is still there, the answer is
    `Unchanged`; if another is there whose tail is the same, the answer has neither the page nor the
    rows that hold only records up to `known.number`.
    """

    key: str
    known: Known | None = None


class ReadRecords(msgspec.Struct, frozen=True):
    """The rows that hold any of the records `first` … `last` (inclusive) of a line, in order.

    Answer: a tuple of `RecordRow`. Absent numbers are left out. At least one row, then no more than
    about `bytes_max` bytes: the caller asks again from where the answer ended. `newest_first` reads
    from `last` downwards.
    """

    incarnation: bytes
    line: int
    first: int
    last: int
    bytes_max: int
    newest_first: bool = False


ROW_START_BYTES = 26
"""A blob's header, and what its compressed body says of its length."""


class ListRows(msgspec.Struct, frozen=True):
    """The rows that hold any of the records `first` … `last` of a line, but for their bytes.

    Answer: a tuple of `(number, count, stored bytes, start)` in order, at most `count` of them;
    `start` is the first `ROW_START_BYTES` of the blob.
    """

    incarnation: bytes
    line: int
    first: int
    last: int
    count: int


class ReadPages(msgspec.Struct, frozen=True):
    """The pages of an incarnation with these ids, as a tuple of `PageRow` in any order.

    Those that are not there are left out.
    """

    incarnation: bytes
    ids: tuple[bytes, ...]


class ListPages(msgspec.Struct, frozen=True):
    """The pages of an incarnation whose id sorts after `after`, at most `count`.

    Answer: a tuple of `(id, stored bytes)` in the order of the ids.
    """

    incarnation: bytes
    after: bytes | None
    count: int


class ListHeads(msgspec.Struct, frozen=True):
    """Heads with `prefix` whose key sorts after `after` (by UTF-8 bytes), at most `count`.

    Answer: a tuple of `(key, HeadRow)` in key order.
    """

    prefix: str
    after: str | None
    count: int


class Commit(msgspec.Struct, frozen=True):
    """Make `head` the head of `key`, and `records` part of the state: all of it, or nothing.

    Takes effect if and only if the head now stored has the token `expect` (None: there is no
    head). Answer: `Committed`, or `Moved` with the head that is there instead. When the backend
    cannot know whether it took effect it raises `CommitUnknown`; any other error means that it
    did not.

    Before `records` are stored, every row whose records all lie in a run of `removed` gives way;
    the pages in `dropped` are removed, those that are there. Both are of the tail's incarnation.
    """

    key: str
    expect: bytes | None
    head: HeadRow
    tail: Tail
    records: tuple[RecordRow, ...] = ()
    durability: Durability = "power"
    removed: tuple[Run, ...] = ()
    dropped: tuple[bytes, ...] = ()
    keys: tuple[KeyRow, ...] = ()
    """Stored with it where their owners have none yet."""


class PutPages(msgspec.Struct, frozen=True):
    """Store pages of an incarnation. Nobody asks for them before a head leads to them.

    One that is there is replaced, so putting again is harmless, and mends a damaged one. They are
    as durable as the next commit. Pages of an incarnation that is not known begin a staging.
    Answer: None.
    """

    incarnation: bytes
    pages: tuple[PageRow, ...]


class Stage(msgspec.Struct, frozen=True):
    """Store records of an incarnation that no head names yet. They are invisible until one does.

    `at_us` is now (microseconds since 1970 UTC): what tells a staging under way from one that was
    abandoned. Answer: None. Raises `StateExists` if a record of that place is already stored.
    """

    incarnation: bytes
    records: tuple[RecordRow, ...]
    at_us: int = 0


class ListStaged(msgspec.Struct, frozen=True):
    """Incarnations with records or pages that no head names.

    Answer: a tuple of `(incarnation, at_us)` in order, with the latest time a `Stage` told, or 0.
    """


class Held(msgspec.Struct, frozen=True):
    """What is stored of one incarnation: the rows of one of its lines, or its pages."""

    incarnation: bytes
    line: int | None
    """None: these are pages."""
    count: int
    """Rows, or pages."""
    last: int
    """Number of the newest record; 0 for pages."""
    bytes: int


class ListHeld(msgspec.Struct, frozen=True):
    """What is stored of the first `count` incarnations that sort at or after `incarnation`.

    Answer: a tuple of `Held` in order, pages before the lines of their incarnation. Stagings are
    in it too; what no read could ever give is not.
    """

    incarnation: bytes
    count: int


class Discard(msgspec.Struct, frozen=True):
    """Remove records and pages of an incarnation that no head names: a staging given up.

    Of one that was erased, whatever is left of it. Answer: None.
    """

    incarnation: bytes


class ReadKeys(msgspec.Struct, frozen=True):
    """The wrapped keys of these owners, as a tuple of `KeyRow` in any order; others are left out.

    A store that has none at all is not encrypted.
    """

    owners: tuple[bytes, ...]


class ListKeys(msgspec.Struct, frozen=True):
    """The wrapped keys whose owner sorts after `after`, at most `count`, in the order of owners.

    Answer: a tuple of `KeyRow`.
    """

    after: bytes | None
    count: int


class PutKey(msgspec.Struct, frozen=True):
    """Store `blob` as the wrapped key of `owner`, if what is stored is `expect`.

    None in place of one is no key: none is expected, or the key is removed. Answer: whether it took
    effect; it survives a power cut then.
    """

    owner: bytes
    expect: bytes | None
    blob: bytes | None


class Resealed(msgspec.Struct, frozen=True):
    """Bytes that take the place of others that hold the same."""

    was: bytes
    row: RecordRow | PageRow | ErasedRow


class Reseal(msgspec.Struct, frozen=True):
    """Replace the bytes of rows and pages of an incarnation, each if they are still what they were.

    Neither places nor what is held change, and no head does. Answer: how many were replaced.
    """

    incarnation: bytes
    rows: tuple[Resealed, ...]


class Erase(msgspec.Struct, frozen=True):
    """Remove all that is stored of the incarnations of `receipts`, and keep these: it is for good.

    Takes effect if the head stored under `key` has the token `expect`, and answers as a `Commit`
    does. The head gives way to `head`, which is of none of them, or goes if that is None. From the
    moment at which a receipt is there, nothing of its incarnation can be stored any more:
    `PutPages`, `Stage` and `Commit` raise `Erased`. Where the rest of it cannot go at once, a
    `Discard` of the incarnation ends what was begun. A receipt that is there stays as it is.
    """

    key: str
    expect: bytes
    receipts: tuple[ErasedRow, ...]
    head: HeadRow | None = None
    tail: Tail | None = None
    """Of `head`."""


class ReadErased(msgspec.Struct, frozen=True):
    """The receipts of these incarnations, as a tuple of `ErasedRow`; others are left out."""

    incarnations: tuple[bytes, ...]


class ListErased(msgspec.Struct, frozen=True):
    """The receipts whose incarnation sorts after `after`, at most `count`, in that order.

    Answer: a tuple of `ErasedRow`.
    """

    after: bytes | None
    count: int


class Committed(msgspec.Struct, frozen=True):
    """The commit took effect."""


class Moved(msgspec.Struct, frozen=True):
    """The commit did not take effect: this head is stored instead of the one it expected."""

    head: HeadRow | None


StorageRequest: TypeAlias = (
    ReadHead
    | ReadState
    | ReadRecords
    | ListRows
    | ReadPages
    | ListPages
    | ListHeads
    | ListStaged
    | ListHeld
    | Commit
    | PutPages
    | Stage
    | Discard
    | ReadKeys
    | ListKeys
    | PutKey
    | Reseal
    | Erase
    | ReadErased
    | ListErased
)
Request: TypeAlias = Now | Random | Pause | IsAlive | Compute | Tell | StorageRequest
Answer: TypeAlias = Committed | Moved

Steps: TypeAlias = Generator[Request, Any, T]
"""An engine function at work: yields requests, is sent answers, returns a `T`."""
