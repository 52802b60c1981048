"""The write-ahead log of a SQLite store: how long it is, and when it is moved into the file."""

from __future__ import annotations

import apsw

from perdure import limits

RESTART_BYTES = 7 * 1024 * 1024
"""A log past this is worth keeping writers away for a moment (bytes)."""

RETRY_BYTES = 256 * 1024
"""How much a log that could not be checkpointed grows before the next try (bytes)."""

RESTART_WAIT_MS = 50


class Wal:
    """How long the log is, as the last commit found it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.due_bytes = limits.wal_checkpoint_bytes
        self.page_bytes = 4096

    def committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """SQLite's hook: called in every commit, so it only takes note."""
        size = pages * (self.page_bytes + 24)
        if size < self.bytes:
            self.due_bytes = limits.wal_checkpoint_bytes
        self.bytes = size
        return apsw.SQLITE_OK

    def checkpoint(
        self, connection: apsw.Connection, busy_timeout: float, *, empties: bool = False
    ) -> bool:
        """Checkpoint beside the writer; keep writers away for a moment only if the log is long.

        Whether all of it is in the file; if it `empties` the log, whether nothing is left of it.

        Args:
            connection: One that reads.
            busy_timeout: How long it waits otherwise (seconds).
            empties: Also keep them away to cut the log's file to nothing.
        """
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if empties else apsw.SQLITE_CHECKPOINT_RESTART
        try:
            pages, moved = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
            # Even if all was moved, a commit made meanwhile keeps the log from beginning anew.
            if empties or self.bytes > RESTART_BYTES:
                connection.set_busy_timeout(RESTART_WAIT_MS)
                try:
                    pages, moved = connection.wal_checkpoint("main", mode)
                finally:
                    connection.set_busy_timeout(round(busy_timeout * 1000))
        except (apsw.BusyError, apsw.LockedError):
            pages, moved = 1, 0
        is_done = moved >= pages
        self.due_bytes = limits.wal_checkpoint_bytes if is_done else self.bytes + RETRY_BYTES
        self.bytes = 0 if is_done else self.bytes
        return is_done
