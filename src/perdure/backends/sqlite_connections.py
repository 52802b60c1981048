"""The connections of one process to a store in a SQLite file: one that writes, a few that read.

They are opened on first use, and anew after a fork. What is done on them is in `sqlite`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, TypeVar

import apsw

from perdure.backends import sqlite_files, sqlite_fork, sqlite_open
from perdure.backends.protocol import StoreInfo
from perdure.backends.sqlite_log import Wal
from perdure.backends.sqlite_open import Place, told
from perdure.backends.sqlite_readers import Readers
from perdure.errors import Busy, CommitUnknown, Forked, ReadOnlyStore, StoreClosed, StoreUnavailable

T = TypeVar("T")

_inherited: set[str] = set()
"""In a child: files of which it was forked with open connections, so that it may not open them."""


class Connections:
    """A SQLite file as one process has it open.

    Args:
        path: the file.
        create: whether it may be made.
        read_only: whether nothing is written to it.
        busy_timeout: how long to wait for other processes (seconds).
        allow_network_filesystem: whether it may be where SQLite's locks cannot be relied on.
        vfs: name of an apsw VFS that stands between SQLite and the disk, for tests.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        read_only: bool = False,
        busy_timeout: float = 5.0,
        allow_network_filesystem: bool = False,
        vfs: str | None = None,
    ) -> None:
        self._place: Final = Place(
            sqlite_files.absolute(path),
            create,
            read_only,
            busy_timeout,
            allow_network_filesystem,
            vfs,
        )
        self._closed = False
        self._forget()
        sqlite_fork.join(self)

    def _forget(self) -> None:
        """Begin as if never connected."""
        self._lock = threading.RLock()  # of the connection that writes, for a whole commit
        self._info: StoreInfo | None = None
        self._writer: apsw.Connection | None = None
        self._file: tuple[str, tuple[int, int] | None] = "", None
        self._synchronous = ""
        self._asked: float | None = None
        """When the next commit was asked for (a time of `time.monotonic`), if not when it comes."""
        self._since = 0.0
        """When that was asked for whose turn it is."""
        self._wait_ms = -1
        """How long the connection that writes waits for others, as it was last told."""
        self._is_doubtful = False
        """Whether a sync failed: the system may have given up what later syncs then leave out."""
        self._wal = Wal()
        self._moving = threading.Lock()  # of who moves the log into the file
        self._open: set[apsw.Connection] = set()
        self._readers = Readers(self._place, self._open)

    # ---- around a fork ----------------------------------------------------------------------

    def hold(self, deadline: float) -> Callable[[], None]:
        """Keep other threads out of SQLite until what this gives is called (`sqlite_fork`)."""
        stack = ExitStack()
        lock, readers = self._lock, self._readers
        is_locked = sqlite_fork.acquire(lock, deadline)
        if is_locked:
            stack.callback(lock.release)
        stack.callback(readers.let_go)
        if readers.hold(deadline) and is_locked:
            self._disconnect()
        return stack.close

    def _disconnect(self) -> None:
        """Close what is open; the next use opens it again.

        SQLite keeps the locks of a process in tables of its own. A child that inherits them takes
        locks for held that the system does not know of, and the parent's last connection then
        deletes the log under the child's, acknowledged saves included.
        """
        if self._writer is not None and not self._writer.in_transaction:
            writer, self._writer = self._writer, None
            self._drop(writer)
        for connection in self._readers.idle():
            self._drop(connection)
        if self._writer is None:
            self._info = None

    def renew(self) -> None:
        """In a child: leave the parent's connections exactly as they are, and open our own."""
        inherited = self._open
        if inherited:
            import ctypes  # only a child that was forked while its store was in use needs it

            _inherited.add(self._place.path)
            for connection in inherited:
                # Closing one, even at the child's end, could write to what the parent is writing.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._forget()

    # ---- opening and closing ----------------------------------------------------------------

    def connect(self) -> StoreInfo:
        """Open the store, making it if it is not there and may be made."""
        info = self._info
        if info is None or self._closed:
            with self._lock:
                info = self._connected()
        return info

    def is_made(self) -> bool:
        """Whether there is a store, or something in its place; opens and makes nothing.

        Where there is none, raises what would keep one from being made.
        """
        return self._info is not None or sqlite_open.is_made(self._place)

    def close(self) -> None:
        """Close every connection; the last one to a store moves its log into its file."""
        with self._lock:
            self._closed = True
            closing = self._readers.close()
            if self._writer:
                closing.append(self._writer)
                self._writer = None
            for connection in closing:
                self._drop(connection)

    @property
    def busy_timeout(self) -> float:
        """How long a commit waits for other processes (seconds)."""
        return self._place.busy_timeout

    @property
    def path(self) -> str:
        """The store's file."""
        return self._place.path

    def _was_closed(self) -> StoreClosed:
        return StoreClosed(f"The store {self._place.path} was closed; make a new one.")

    # ---- writing ----------------------------------------------------------------------------

    def _connected(self) -> StoreInfo:
        if self._closed:
            raise self._was_closed()
        if self._info is None:
            if self._place.path in _inherited:
                raise Forked(
                    f"{self._place.path} was in use in the parent at the moment of the fork, which "
                    "this process cannot undo for SQLite: fork when no thread uses the store, or "
                    'start processes by "spawn" or "forkserver"'
                )
            first, self._info = sqlite_open.open_store(self._place)
            self._open.add(first)
            if self._place.read_only:
                self._readers.add(first)
            else:
                self._wal.page_bytes = first.pragma("page_size")
                # The hook also takes the place of SQLite's own checkpoints within a commit.
                first.set_wal_hook(self._wal.committed)
                self._synchronous, self._wait_ms = "", -1
                self._file = first.filename, sqlite_files.identity(first.filename)
                self._writer = first
        return self._info

    def _begin(self, synchronous: str) -> apsw.Connection:
        writer = self._writer
        if writer is None:
            self._connected()
            writer = self._writer
        if writer is None:
            raise ReadOnlyStore(f"{self._place.path} was opened with read_only=True.")
        if synchronous == "FULL":
            self._require_file()
        try:
            if writer.in_transaction:  # an interrupt came between two statements
                writer.execute("ROLLBACK")
            self._limit_wait(writer)
            if self._is_doubtful:
                self._renew_log(writer)
                self._limit_wait(writer)
            if synchronous != self._synchronous:
                writer.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            writer.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise told(error, self._place) from error
        self._require_format(writer)
        return writer

    def _require_format(self, writer: apsw.Connection) -> None:
        """Raise if a newer version upgraded the store since: what this one writes would not fit."""
        try:
            # Some two microseconds: it is in a page that is read anyway.
            if writer.execute("PRAGMA user_version").get > sqlite_open.FORMAT:
                sqlite_open.known_format(writer, self._place)
        except BaseException as error:
            self._roll_back(writer)
            if isinstance(error, apsw.Error):
                raise told(error, self._place) from error
            raise

    def _limit_wait(self, writer: apsw.Connection) -> None:
        """Let SQLite wait for others only as long as is left to what was asked for."""
        left = self._place.busy_timeout - (time.monotonic() - self._since)
        wait_ms = max(round(left * 1000), 0)
        if wait_ms != self._wait_ms:
            writer.set_busy_timeout(wait_ms)
            self._wait_ms = wait_ms

    def _require_file(self) -> None:
        """Raise if the store's name leads elsewhere by now: what is written would be lost."""
        name, opened = self._file
        if sqlite_files.identity(name) != opened:
            raise StoreUnavailable(
                f"{name} was removed, moved or replaced while it was open. Nothing was written: "
                "bring the file back, or make a new Store of what is there now."
            )

    def _end(self, writer: apsw.Connection) -> None:
        try:
            writer.execute("COMMIT")
        except (apsw.BusyError, apsw.FullError) as error:
            self._roll_back(writer)
            raise told(error, self._place) from error
        except apsw.Error as error:
            # The log may hold the whole transaction, for a later recovery to find.
            self._is_doubtful = True
            self._roll_back(writer)
            raise self._unknown(error) from error
        if self._is_doubtful:  # a checkpoint's sync failed meanwhile, and took ours with it
            raise self._unknown("a checkpoint could not be synced")

    def _unknown(self, reason: object) -> CommitUnknown:
        return CommitUnknown(
            f"{self._place.path} failed while committing ({reason}): the save may have taken "
            "effect. Save again; it commits once (P4)."
        )

    def _renew_log(self, writer: apsw.Connection) -> None:
        """After a failed sync, move the log into the file, and begin it anew.

        What is appended behind frames that never reached the disk does not survive a power cut,
        whatever later syncs say; what is written anew does.
        """
        self._is_doubtful = False
        try:
            writer.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except BaseException:
            self._is_doubtful = True
            raise
        self._wal.bytes = 0

    def _roll_back(self, writer: apsw.Connection) -> None:
        """Leave no transaction open; a connection that cannot even do that is given up."""
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except apsw.Error:
            self._writer = self._info = None
            self._drop(writer)

    def _write(
        self, work: Callable[[apsw.Connection, Any], T], request: Any, synchronous: str
    ) -> T:
        asked = time.monotonic()
        with self._lock:
            self._since = asked
            writer = self._begin(synchronous)
            try:
                answer = work(writer, request)
            except BaseException as error:
                self._roll_back(writer)
                if isinstance(error, apsw.Error):
                    raise told(error, self._place) from error
                raise
            self._end(writer)
        if self._wal.bytes > self._wal.due_bytes:
            # Who writes much waits for the log; who saves goes on while another moves it.
            self._move_log()
        return answer

    # ---- reading ----------------------------------------------------------------------------

    def _read(self, work: Callable[[apsw.Connection, Any], Any], request: Any) -> Any:
        if self._info is None or self._closed:
            self.connect()
        readers = self._readers
        connection = readers.take()
        try:
            return work(connection, request)
        except apsw.Error as error:
            raise told(error, self._place) from error
        finally:
            readers.give_back(connection)

    def _drop(self, connection: apsw.Connection) -> None:
        self._open.discard(connection)
        # What closing cannot move out of the log, whoever opens the store next does.
        with suppress(apsw.Error):
            connection.close()

    # ---- the log ----------------------------------------------------------------------------

    def _empty_log(self) -> None:
        """Leave nothing in the log; wait for those who read from it.

        Raises:
            Busy: they did so for too long.
        """
        deadline = time.monotonic() + self._place.busy_timeout
        while not self._move_log(empties=True):
            if time.monotonic() >= deadline:
                raise Busy(
                    f"others read from the log of {self._place.path} for more than "
                    f"{self._place.busy_timeout:g} s, so that it still holds what was removed"
                )
            time.sleep(_LOG_PAUSE_S)

    def _move_log(self, *, waits: bool = True, empties: bool = False) -> bool:
        """Checkpoint; if another thread does so, wait for it first, or leave it at that.

        Whether the whole log was moved.
        """
        if not self._moving.acquire(blocking=waits):
            return False
        try:
            is_moved: bool = self._read(self._checkpoint, empties)
            return is_moved
        finally:
            self._moving.release()

    def _checkpoint(self, connection: apsw.Connection, empties: bool) -> bool:
        try:
            return self._wal.checkpoint(connection, self._place.busy_timeout, empties=empties)
        except apsw.IOError:
            self._is_doubtful = True
            raise


_LOG_PAUSE_S = 0.01
"""How long to wait for who reads from the log before it is emptied again (seconds)."""
