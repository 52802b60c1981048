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
    """A record as stored: its place on a line of an incarnation, and its sealed bytes."""

    line: int
    number: int
    blob: bytes
    count: int = 1
    """Records it holds, the newest of which is `number`."""


class Tail(msgspec.Struct, frozen=True):
    """The records that belong in one round trip with the head: those of `line` after `after`."""

    incarnation: bytes
    line: int
    after: int


class StateRows(msgspec.Struct, frozen=True):
    """Answer to `ReadState`: the head and the records of its tail, as of one moment."""

    head: HeadRow
    records: tuple[RecordRow, ...]


# ---- answered by the driver -----------------------------------------------------------------


class Now(msgspec.Struct, frozen=True):
    """The time, in microseconds since 1970 UTC (`int`)."""


class Random(msgspec.Struct, frozen=True):
    """`size` unpredictable bytes."""

    size: int


class Pause(msgspec.Struct, frozen=True):
    """Wait this long before the next try. Answer: None."""

    seconds: float


class IsAlive(msgspec.Struct, frozen=True):
    """Whether the process holding a session lives: True, False, or None if that can't be told."""

    holder: Any  # perdure.types.Holder


class Compute(msgspec.Struct, frozen=True):
    """What `work()` returns, which takes long enough for an event loop to feel it.

    It is a function of what it holds alone, so any thread may call it.
    """

    work: Callable[[], Any]


# ---- answered by the backend ----------------------------------------------------------------


class ReadHead(msgspec.Struct, frozen=True):
    """The head stored under `key`, as a `HeadRow`, or None."""

    key: str


class ReadState(msgspec.Struct, frozen=True):
    """The head under `key` with its tail's records, as `StateRows`, or None. One round trip."""

    key: str


class ReadRecords(msgspec.Struct, frozen=True):
    """Records `first` … `last` (inclusive) of a line, as a tuple of `RecordRow` in order.

    Absent numbers are left out. At least one row, then no more than about `bytes_max` bytes: the
    caller asks again from where the answer ended. `newest_first` reads from `last` downwards.
    """

    incarnation: bytes
    line: int
    first: int
    last: int
    bytes_max: int
    newest_first: bool = False


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
    """

    key: str
    expect: bytes | None
    head: HeadRow
    tail: Tail
    records: tuple[RecordRow, ...] = ()
    durability: Durability = "power"


class Stage(msgspec.Struct, frozen=True):
    """Store records of an incarnation that no head names yet. They are invisible until one does.

    Answer: None. Raises `StateExists` if a record of that place is already stored.
    """

    incarnation: bytes
    records: tuple[RecordRow, ...]


class Discard(msgspec.Struct, frozen=True):
    """Remove the records of an incarnation that no head names: a staging given up. Answer: None."""

    incarnation: bytes


class Committed(msgspec.Struct, frozen=True):
    """The commit took effect."""


class Moved(msgspec.Struct, frozen=True):
    """The commit did not take effect: this head is stored instead of the one it expected."""

    head: HeadRow | None


StorageRequest: TypeAlias = (
    ReadHead | ReadState | ReadRecords | ListHeads | Commit | Stage | Discard
)
Request: TypeAlias = Now | Random | Pause | IsAlive | Compute | StorageRequest
Answer: TypeAlias = Committed | Moved

Steps: TypeAlias = Generator[Request, Any, T]
"""An engine function at work: yields requests, is sent answers, returns a `T`."""
