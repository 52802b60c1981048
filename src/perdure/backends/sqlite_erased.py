"""The SQL of erasures, on a connection that is given.

What is deleted here is overwritten as it is (`secure_delete`). What earlier transactions left in
free pages, and in unused parts of pages in use, `SqliteBackend.wipe` takes away, and a mark in the
file says that this is due.
"""

from __future__ import annotations

import apsw

from perdure.backends.lines import was_erased
from perdure.engine.requests import Erase, ErasedRow, ListErased, ReadErased
from perdure.errors import Erased

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS erased (incarnation BLOB PRIMARY KEY, at_us INTEGER NOT NULL,"
    " blob BLOB NOT NULL) WITHOUT ROWID"
)
"""Made with the first erasure: a store in which nothing was erased goes without."""

_IS_THERE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'erased'"
_ROW = (
    "SELECT incarnation, IFNULL(CAST(at_us AS INTEGER), 0), IFNULL(CAST(blob AS BLOB), x'')"
    " FROM erased"
)

UNWIPED = "unwiped"
"""In `perdure`, from an erasure, or whatever else wants it, until the files were written anew."""


def erased(connection: apsw.Connection, incarnation: bytes) -> Erased | None:
    """The error for who would store something of an incarnation, if it was erased."""
    found = read_erased(connection, ReadErased((incarnation,)))
    return was_erased(incarnation, found[0].at_us) if found else None


def read_erased(connection: apsw.Connection, request: ReadErased) -> tuple[ErasedRow, ...]:
    """Answer a `ReadErased`."""
    if not connection.execute(_IS_THERE).get:
        return ()
    sql = f"{_ROW} WHERE incarnation = ?"
    found = (connection.execute(sql, (each,)) for each in request.incarnations)
    return tuple(ErasedRow(*row) for rows in found for row in rows)


def list_erased(connection: apsw.Connection, request: ListErased) -> tuple[ErasedRow, ...]:
    """Answer a `ListErased`."""
    if not connection.execute(_IS_THERE).get:
        return ()
    # Every incarnation is a blob, and sorts after every number.
    after = -1 if request.after is None else request.after
    sql = f"{_ROW} WHERE incarnation > ? ORDER BY incarnation LIMIT ?"
    return tuple(ErasedRow(*row) for row in connection.execute(sql, (after, request.count)))


def erase(connection: apsw.Connection, request: Erase) -> bool:
    """Let an `Erase` take effect in the open transaction; False if the head is another."""
    key = request.key.encode(errors="surrogateescape")
    there = connection.execute("SELECT token FROM heads WHERE key = ?", (key,)).get
    if there != request.expect:
        return False
    connection.execute(SCHEMA)
    # Of what goes, nothing stays behind in the pages.
    connection.pragma("secure_delete", True)
    try:
        for each in request.receipts:
            remove(connection, each.incarnation)
            row = each.incarnation, each.at_us, each.blob
            connection.execute("INSERT INTO erased VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
        _replace_head(connection, key, request)
        mark(connection, request.receipts[-1].incarnation)
    finally:
        connection.pragma("secure_delete", False)
    return True


def _replace_head(connection: apsw.Connection, key: bytes, request: Erase) -> None:
    head, tail = request.head, request.tail
    if head is None or tail is None:
        connection.execute("DELETE FROM heads WHERE key = ?", (key,))
        return
    row = head.token, head.blob, tail.incarnation, tail.line, tail.after, tail.page, key
    connection.execute(
        "UPDATE heads SET token = ?, head = ?, incarnation = ?, line = ?, after = ?, page = ?"
        " WHERE key = ?",
        row,
    )


def remove(connection: apsw.Connection, incarnation: bytes) -> None:
    """Delete all rows of an incarnation."""
    has_keys = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keys'"
    ).get
    for table in ("records", "pages", "staged"):
        connection.execute(f"DELETE FROM {table} WHERE incarnation = ?", (incarnation,))
    if has_keys:
        connection.execute("DELETE FROM keys WHERE owner = ?", (incarnation,))


# ---- writing the files anew -----------------------------------------------------------------


def unwiped(connection: apsw.Connection) -> bytes | None:
    """What marks that the files have to be written anew; None: they need not."""
    found: bytes | None = connection.execute(
        "SELECT value FROM perdure WHERE name = ?", (UNWIPED,)
    ).get
    return found


def mark(connection: apsw.Connection, value: bytes) -> None:
    """Have the files written anew, by whoever comes to it."""
    connection.execute("INSERT OR REPLACE INTO perdure VALUES (?, ?)", (UNWIPED, value))


def unmark(connection: apsw.Connection, mark: bytes) -> None:
    """Take the mark away, unless something else was erased meanwhile."""
    connection.execute("DELETE FROM perdure WHERE name = ? AND value = ?", (UNWIPED, mark))
