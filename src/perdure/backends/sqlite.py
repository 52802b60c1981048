"""A store in one SQLite file: one connection that writes, a few that read.

The file is in WAL mode. A batch with a member of durability "power" is committed with
synchronous=FULL, which syncs the log before it answers, any other with NORMAL, which does not.
Nothing is checkpointed within a commit; `after_commit` does that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from perdure.backends import (
    sqlite_erased,
    sqlite_files,
    sqlite_keys,
    sqlite_pages,
    sqlite_rows,
    sqlite_space,
    sqlite_upgrade,
)
from perdure.backends.sqlite_backup import back_up
from perdure.backends.sqlite_connections import Connections
from perdure.backends.sqlite_open import told
from perdure.engine.requests import (
    Answer,
    Commit,
    Discard,
    Erase,
    ListErased,
    ListHeads,
    ListHeld,
    ListKeys,
    ListPages,
    ListRows,
    ListStaged,
    PutKey,
    PutPages,
    ReadErased,
    ReadHead,
    ReadKeys,
    ReadPages,
    ReadRecords,
    ReadState,
    Reseal,
    Stage,
    StorageRequest,
)
from perdure.errors import (
    PerdureError,
)

if TYPE_CHECKING:
    from perdure.reports import Upgraded

T = TypeVar("T")

_READS: dict[type[StorageRequest], Callable[[apsw.Connection, Any], Any]] = {
    ReadHead: sqlite_rows.read_head,
    ReadState: sqlite_rows.read_state,
    ReadRecords: sqlite_rows.read_records,
    ListRows: sqlite_rows.list_rows,
    ReadPages: sqlite_pages.read_pages,
    ListPages: sqlite_pages.list_pages,
    ListHeads: sqlite_rows.list_heads,
    ListStaged: sqlite_pages.list_staged,
    ListHeld: sqlite_pages.list_held,
    ReadKeys: sqlite_keys.read_keys,
    ListKeys: sqlite_keys.list_keys,
    ReadErased: sqlite_erased.read_erased,
    ListErased: sqlite_erased.list_erased,
}
_WRITES: dict[type[StorageRequest], tuple[str, Callable[[apsw.Connection, Any], Any]]] = {
    # A head that leads to a page is committed after it, and the sync of one is that of both.
    PutPages: ("NORMAL", sqlite_pages.put_pages),
    Stage: ("FULL", sqlite_rows.stage),
    Discard: ("FULL", sqlite_pages.discard),
    PutKey: ("FULL", sqlite_keys.put_key),
    Reseal: ("FULL", sqlite_keys.reseal),
    Erase: ("FULL", sqlite_rows.erase),
}


class SqliteBackend(Connections):
    """A store in one SQLite file; its arguments are those of `Connections`.

    Example:
        >>> backend = SqliteBackend("agents.db")
        >>> backend.connect().format
        1
    """

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request (a `Commit` as a batch of one)."""
        read = _READS.get(type(request))
        if read:
            return self._read(read, request)
        if isinstance(request, Commit):
            (outcome,) = self.commit((request,))
            if isinstance(outcome, PerdureError):
                raise outcome
            return outcome
        synchronous, work = _WRITES[type(request)]
        return self._write(work, request, synchronous)

    def wait_from(self, since: float) -> None:
        """Let the next commit's wait for other processes count from then, not from its call."""
        self._asked = since

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit of the batch in one transaction; one outcome per member."""
        asked, self._asked = self._asked or time.monotonic(), None
        with self._lock:
            self._since = asked
            writer = self._begin(_synchronous(batch))
            try:
                outcomes = [sqlite_rows.settle(writer, commit) for commit in batch]
            except BaseException as error:
                self._roll_back(writer)
                if isinstance(error, apsw.Error):
                    raise told(error, self._place) from error
                raise
            if sqlite_rows.COMMITTED in outcomes:
                self._end(writer)
            else:
                self._roll_back(writer)
        return outcomes

    def after_commit(self) -> None:
        """Move the log into the file when it has grown past `limits.wal_checkpoint_bytes`."""
        if self._closed:
            raise self._was_closed()
        if self._wal.bytes > self._wal.due_bytes:
            self._move_log(waits=False)

    def changed(self) -> object:
        """What is equal to an earlier answer only if nothing was committed since, by anyone."""
        return self._read(_version, None)

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Write a consistent copy of the store to `target`, as of now, while others write on.

        `progress(done, total)` counts pages. Never replaces a file.
        """
        self._read(
            lambda source, outside: back_up(source, Path(target), progress, outside),
            self._readers.outside,
        )

    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Give the file's free pages back to the file system; the bytes given back.

        If something was erased and is not wiped yet, that is done.
        """
        if not self._place.read_only and self._read(_unwiped, None) is not None:
            before = self.size_bytes()
            self.wipe()
            return max(before - self.size_bytes(), 0)
        given_back = sqlite_space.give_back(self._write, progress)
        # The file is cut when the log is moved into it.
        self._move_log(empties=True)
        return given_back

    def wipe(self, *, whole: bool = True) -> None:
        """Leave nothing in the log of what was removed or replaced, and if `whole` in the file.

        The file is written anew then. Nobody saves meanwhile.

        Raises:
            Busy: others read all the time from what the log still holds.
        """
        if not whole:
            self._empty_log()
            return
        mark = self._read(_unwiped, None)
        if mark is None:  # so that `compact` ends it, should it be broken off
            mark = os.urandom(_MARK_BYTES)
            self._write(sqlite_erased.mark, mark, "FULL")
        with self._lock:
            self._since = time.monotonic()
            writer = self._begin("FULL")
            self._roll_back(writer)
            try:
                writer.execute("VACUUM")
            except apsw.Error as error:
                raise told(error, self._place) from error
        self._empty_log()
        self._write(sqlite_erased.unmark, mark, "FULL")

    def upgrade(
        self,
        *,
        dry_run: bool,
        backup: bool | str | os.PathLike[str],
        progress: Callable[[int, int], None] | None = None,
    ) -> Upgraded:
        """Bring a store of an earlier form to the newest, before it is opened; see the contract."""
        return sqlite_upgrade.upgrade(
            self._place, dry_run=dry_run, backup=backup, progress=progress
        )

    def size_bytes(self) -> int:
        """Bytes of the store's file, its log and the log's index."""
        self.connect()
        return sqlite_files.size_bytes(self._place.path)


_MARK_BYTES = 16


def _unwiped(connection: apsw.Connection, _: None) -> bytes | None:
    return sqlite_erased.unwiped(connection)


def _version(connection: apsw.Connection, _: None) -> tuple[apsw.Connection, int]:
    # It is counted anew by each connection, from the commits of all others: we write with another.
    return connection, connection.pragma("data_version")


def _synchronous(batch: Sequence[Commit]) -> str:
    """What the most careful member of a batch needs."""
    for commit in batch:
        if commit.durability == "power":
            return "FULL"
    return "NORMAL"
