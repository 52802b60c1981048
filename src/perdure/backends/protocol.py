"""The backend contract: what a place to keep states must do, and nothing more.

A backend holds three kinds of things: one *head* per key (small, replaced as a whole), *rows* of
records (immutable, addressed by incarnation, line and the numbers of the records they hold) and
*pages* (addressed by incarnation and id). It never looks inside any. Its one guarantee:

    A `Commit` takes effect, whole, if and only if the stored head still has the token it expects.

From which follows what the contract suite (`perdure.testing.contract`) tests:

- *Ownership.* Bytes given to a backend are not changed by it, and not kept alive by reference to
  a caller's mutable buffer. Answers belong to the caller.
- *Whole.* After a commit answered `Committed`, every read sees its head and its records, and
  neither the rows nor the pages that it removes. After any other outcome but `CommitUnknown`, no
  read sees any part of it. No read, ever, sees part.
- *Independent.* The members of one batch are settled one by one in order: one that does not fit
  answers `Moved` or its own error and touches no other. Two members may name the same key.
- *Immutable.* A row whose number is taken answers `StateExists`, and so does one of several
  records, any of which is in another row. (One record is compared by its number alone: it follows
  a head that was compared.) A row goes only as a whole, by a commit that removes it. Records and
  pages of an incarnation stay readable after the key's head went on to another incarnation.
- *Pages.* One that was put is there until a commit drops it. One that is put again is there after
  any commit that was made before it: a deletion that comes late removes nothing put meanwhile.
- *Durable.* When `commit` returns, members with durability "power" survive a power cut, and with
  them all that was committed or put before; those with "process" survive the death of the process.
  Only the answer `Committed` says so: a head that is merely found may be one that was not synced.
- *Failure.* An error says what is true: `CommitUnknown` if the batch may have taken effect,
  `Busy` if it did not and trying again later may help, any other `PerdureError` if it did not.
- *Patient.* A backend that waits for other processes may tell for how long (`busy_timeout`, in
  seconds) and have a method `wait_from(since)`: the wait of the next `commit` counts from then, a
  time of `time.monotonic`. So who waited behind another's commit does not wait as long once more.
- *Consistent.* `ReadState` answers head, records and root page as of one moment; less to who says
  what it knows, and `Unchanged` only where the head that is stored has the token that is known.
- *Keys.* Wrapped keys are few and small. One that was put, or came with a commit that took effect,
  is there until it is removed. `Reseal` replaces bytes by others that hold the same: it is no
  commit, and needs no head.
- *Erased.* Once an `Erase` answered `Committed`, nothing of its incarnations is there but their
  receipts, and nothing is ever stored of them again: not by a `PutPages`, `Stage` or `Commit` that
  was asked for before and comes late.
- *Wiped.* A backend whose files keep bytes of what was removed has a method `wipe(*, whole=True)`
  that leaves none, for a while in which nobody can save. Keys leave none but in a log, which
  `whole=False` is enough for.
- *Made.* `connect` makes a store that is not there. A backend that can tell so beforehand has a
  method `is_made() -> bool` too; then a store that is only read is not made.
- *Changed.* A backend may have a method `changed() -> object` that is cheap to call: two answers
  are equal only if nothing was committed between them, by anyone. Who watches a store of another
  kind compares heads.
- *Upgraded.* A backend whose stores may be of an earlier form, which `connect` refuses with
  `OlderFormat`, has a method `upgrade(*, dry_run, backup, progress) -> Upgraded` that brings one to
  the newest: whole or not at all, step by step, after a backup (a path; True: under a name that is
  free; False: none), and only while nobody else has it open (`Busy`).
- *Threads.* Every method may be called from any thread; `commit` is called by one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from perdure.engine.requests import Answer, Commit, StorageRequest
from perdure.errors import PerdureError


class StoreInfo(msgspec.Struct, frozen=True):
    """What a backend tells of the store it opened."""

    store_id: bytes
    """16 random bytes, drawn when the store was made. Part of the place of every blob."""
    format: int
    created_us: int
    key: bytes = b""
    """The store's own wrapped key, as a `ReadKeys` of the owner b"" would give it; empty: none."""


class Backend(Protocol):
    """Where states are kept. The module docstring is the contract."""

    def connect(self) -> StoreInfo:
        """Open the store, making it if it is not there and may be made.

        Idempotent and cheap when connected. Raises `NeedsPerson` errors that name the place and
        the way out (not a store, newer format, read-only, no such directory, …).
        """

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request (a `Commit` as a batch of one)."""

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit of the batch in order; one outcome per member, in order.

        Raises (rather than returns) an error when the batch as a whole failed.
        """

    def after_commit(self) -> None:
        """Upkeep off the save path: called by the driver when a batch has its answers."""

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Write a consistent copy of the whole store to `target` while it is being written to.

        `progress(done, total)` is called in the backend's own units.
        """

    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Give space that nothing uses back to the file system; the bytes given back.

        In steps, none of which holds a commit up for long. `progress(done, total)` is in bytes.
        """

    def size_bytes(self) -> int:
        """Bytes the store occupies now (all its files)."""

    def close(self) -> None:
        """Release everything. Safe to call twice; after it, other methods raise `StoreClosed`."""
