"""The SQL of each storage request, on a connection that is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from perdure import limits
from perdure.backends import sqlite_erased, sqlite_keys, sqlite_pages
from perdure.backends.lines import place_taken, unknown_of
from perdure.engine.requests import (
    ROW_START_BYTES,
    Answer,
    Commit,
    Committed,
    Erase,
    HeadRow,
    ListHeads,
    ListRows,
    Moved,
    ReadHead,
    ReadRecords,
    ReadState,
    RecordRow,
    Run,
    Stage,
    StateAnswer,
    StateRows,
    Tail,
    Unchanged,
)
from perdure.errors import PerdureError, StateExists

COMMITTED = Committed()
"""The outcome of every member that takes effect."""

# ---- reading --------------------------------------------------------------------------------

# A damaged row may hold values of any type. They are read as bytes and ints, so that whoever
# verifies them finds the damage, and one row keeps nobody from reading the others.
_HEAD = "IFNULL(CAST(token AS BLOB), x''), IFNULL(CAST(head AS BLOB), x'')"
_LINE, _NUMBER, _COUNT = (
    f"IFNULL(CAST({column} AS INTEGER), 0)" for column in ("line", "number", "count")
)
_NUMBERS = f"{_NUMBER}, {_COUNT}"
_RECORD = f"{_LINE}, {_NUMBER}, IFNULL(CAST(blob AS BLOB), x''), {_COUNT}"


def read_head(connection: apsw.Connection, request: ReadHead) -> HeadRow | None:
    """Answer a `ReadHead`."""
    found = connection.execute(
        f"SELECT {_HEAD} FROM heads WHERE key = ?", (_stored(request.key),)
    ).fetchone()
    return HeadRow(*found) if found else _misplaced(connection, request.key)


UNCHANGED = Unchanged()
"""The answer to who knows the head that is there."""


def read_state(connection: apsw.Connection, request: ReadState) -> StateAnswer:
    """Answer a `ReadState`: one row is looked at, or all in one read transaction."""
    known = request.known
    if known and connection.execute(_IS_THERE, (_stored(request.key), known.token)).get:
        return UNCHANGED
    connection.execute("BEGIN")
    try:
        found = connection.execute(
            f"SELECT {_HEAD}, incarnation, page, line, after FROM heads WHERE key = ?",
            (_stored(request.key),),
        ).fetchone()
        if found is None:
            misplaced = _misplaced(connection, request.key)
            return StateRows(misplaced, (), ()) if misplaced else None
        token, head, incarnation, page, line, after = found
        after, page = unknown_of(Tail(incarnation, line, after, page), known)
        rows = connection.execute(
            f"SELECT {_RECORD} FROM records"
            " WHERE incarnation = ? AND line = ? AND number > ? ORDER BY number",
            (incarnation, line, after),
        )
        records = tuple(RecordRow(*row) for row in rows)
        pages = () if page is None else sqlite_pages.found(connection, incarnation, (page,))
        return StateRows(HeadRow(token, head), records, pages)
    finally:
        connection.execute("COMMIT")


_IS_THERE = "SELECT 1 FROM heads WHERE key = ? AND token = ?"

# Rows never overlap, so the only one that can reach beyond ?4 is the first that ends there or
# after. Naming it closes the range: the records after it are not looked at.
_HOLDING = (
    "incarnation = ?1 AND line = ?2 AND number >= ?3 AND number <= IFNULL("
    "(SELECT number FROM records WHERE incarnation = ?1 AND line = ?2 AND number >= ?4"
    " ORDER BY number LIMIT 1), ?4) AND number - count < ?4 AND ?3 <= ?4"
)
_VISIBLE = f"{_HOLDING} AND NOT EXISTS (SELECT 1 FROM staged WHERE incarnation = ?1)"
_RECORDS = f"SELECT {_RECORD} FROM records WHERE {_VISIBLE} ORDER BY number"
_RECORDS_NEWEST_FIRST = f"{_RECORDS} DESC"
_ROWS = (
    f"SELECT rowid, {_NUMBERS}, IFNULL(length(blob), 0) FROM records"
    f" WHERE {_VISIBLE} ORDER BY number LIMIT ?5"
)


# What _RECORDS would give of one record, in half the time.
_ONE = (
    f"SELECT {_RECORD} FROM records WHERE incarnation = ?1 AND line = ?2 AND number >= ?3"
    " AND NOT EXISTS (SELECT 1 FROM staged WHERE incarnation = ?1) ORDER BY number LIMIT 1"
)


def read_records(connection: apsw.Connection, request: ReadRecords) -> tuple[RecordRow, ...]:
    """Answer a `ReadRecords`."""
    if request.first == request.last:
        return _read_record(connection, request)
    cursor = connection.execute(
        _RECORDS_NEWEST_FIRST if request.newest_first else _RECORDS,
        (request.incarnation, request.line, request.first, request.last),
    )
    page: list[RecordRow] = []
    size = 0
    for row in cursor:
        record = RecordRow(*row)
        size += len(record.blob)
        if page and size > request.bytes_max:
            # Left unfinished, the statement would hold its read transaction open.
            cursor.close()
            break
        page.append(record)
    return tuple(page)


def _read_record(connection: apsw.Connection, request: ReadRecords) -> tuple[RecordRow, ...]:
    """The row that holds one record: rows never overlap, so only the first that ends there does."""
    place = request.incarnation, request.line, request.first
    row = connection.execute(_ONE, place).fetchone()
    found = RecordRow(*row) if row else None
    return (found,) if found and found.number - found.count < request.first else ()


def list_rows(
    connection: apsw.Connection, request: ListRows
) -> tuple[tuple[int, int, int, bytes], ...]:
    """Answer a `ListRows`."""
    rows = connection.execute(
        _ROWS, (request.incarnation, request.line, request.first, request.last, request.count)
    ).fetchall()
    return tuple([(*sizes, _start_of(connection, row)) for row, *sizes in rows])  # type: ignore[misc, arg-type]  # all are ints


def _start_of(connection: apsw.Connection, row: int) -> bytes:
    """What a row's blob begins with; a query would read all of it for that."""
    try:
        blob = connection.blob_open("main", "records", "blob", row, False)
    except apsw.Error:
        return b""  # it gave way meanwhile, or is damaged: whoever reads it will be told
    try:
        return blob.read(ROW_START_BYTES)
    finally:
        blob.close()


def list_heads(connection: apsw.Connection, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
    """Answer a `ListHeads`."""
    prefix = _stored(request.prefix)
    # The bytes after a key are the key and a NUL; what is no UTF-8 may begin with 0xff.
    first = prefix if request.after is None else max(prefix, _stored(request.after) + b"\0")
    rows = connection.execute(
        f"SELECT key, {_HEAD} FROM heads WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        (first, prefix + b"\xff" * (limits.key_bytes_max + 1), request.count),
    )
    found: list[tuple[Any, HeadRow]] = [(key, HeadRow(*row)) for key, *row in rows]
    # Values of other types sort before all blobs; there are none but in a damaged store.
    others: list[Any] = connection.execute(_KEYS_NO_BLOBS).fetchall()
    if others:
        lost = [key for (key,) in others if key >= first and key.startswith(prefix)]
        found = sorted(dict([*found, *((key, MISPLACED) for key in lost)]).items())
        found = found[: request.count]
    return tuple((key.decode(errors="surrogateescape"), row) for key, row in found)


_KEYS_NO_BLOBS = "SELECT CAST(key AS BLOB) FROM heads WHERE key < x''"

MISPLACED = HeadRow(b"", b"")
"""Stands for a head whose key is not stored as bytes, where no commit would find it."""


def _misplaced(connection: apsw.Connection, key: str) -> HeadRow | None:
    """What is read where a key is not found: nothing, unless it is stored as a text."""
    sql = "SELECT 1 FROM heads WHERE key = CAST(? AS TEXT)"
    return MISPLACED if connection.execute(sql, (_stored(key),)).get else None


def _stored(key: str) -> bytes:
    """A key as it is stored, also one that `list_heads` found damaged."""
    return key.encode(errors="surrogateescape")


# ---- writing, inside a transaction ----------------------------------------------------------


def settle(connection: apsw.Connection, commit: Commit) -> Answer | PerdureError:
    """Let one commit take effect in the open transaction, or leave the transaction as it was."""
    key, head, tail = commit.key.encode(), commit.head, commit.tail
    execute = connection.execute
    present = execute("SELECT token, incarnation FROM heads WHERE key = ?", (key,)).fetchone()
    if (present[0] if present else None) != commit.expect:
        return Moved(read_head(connection, ReadHead(commit.key)))
    # An incarnation that a head has was not erased.
    is_new = present is None or present[1] != tail.incarnation
    if is_new and (late := sqlite_erased.erased(connection, tail.incarnation)):
        return late
    refused: PerdureError | None
    if commit.removed:
        refused = _exchange(connection, tail.incarnation, commit.removed, commit.records)
    else:
        refused = _insert(connection, tail.incarnation, commit.records)
    if refused:
        return refused
    if commit.dropped:
        sqlite_pages.drop(connection, tail.incarnation, commit.dropped)
    row = (head.token, head.blob, tail.incarnation, tail.line, tail.after, tail.page, key)
    execute(_UPDATE if present else _ADD, row)
    if commit.keys:
        sqlite_keys.add_keys(connection, commit.keys)
    if is_new:
        execute("DELETE FROM staged WHERE incarnation = ?", (tail.incarnation,))
    return COMMITTED


_UPDATE = (
    "UPDATE heads SET token = ?, head = ?, incarnation = ?, line = ?, after = ?, page = ?"
    " WHERE key = ?"
)
_ADD = (
    "INSERT INTO heads (token, head, incarnation, line, after, page, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_HOLDS = (
    "SELECT 1 FROM records WHERE incarnation = ? AND line = ? AND number >= ?"
    " AND number - count < ? LIMIT 1"
)
_INSERT = "INSERT INTO records (incarnation, line, number, count, blob) VALUES (?, ?, ?, ?, ?)"


def _insert(
    connection: apsw.Connection, incarnation: bytes, rows: Sequence[RecordRow]
) -> StateExists | None:
    """Insert all of `rows`, or none if the place of one is taken."""
    done = 0
    try:
        for row in rows:
            if row.count > 1:
                _require_free(connection, incarnation, row)
            connection.execute(_INSERT, (incarnation, row.line, row.number, row.count, row.blob))
            done += 1
    except (apsw.ConstraintError, StateExists):
        connection.executemany(
            "DELETE FROM records WHERE incarnation = ? AND line = ? AND number = ?",
            ((incarnation, row.line, row.number) for row in rows[:done]),
        )
        return place_taken(rows[done].line, rows[done].number)
    return None


def _require_free(connection: apsw.Connection, incarnation: bytes, row: RecordRow) -> None:
    """Raise if another row holds a record of this one.

    A row of one record is not put through this, which every save would feel. It follows a head
    that was compared, and the number is still its own.
    """
    first = row.number - row.count + 1
    if connection.execute(_HOLDS, (incarnation, row.line, first, row.number)).fetchone():
        raise place_taken(row.line, row.number)


def _exchange(
    connection: apsw.Connection,
    incarnation: bytes,
    removed: Sequence[Run],
    rows: Sequence[RecordRow],
) -> StateExists | None:
    """Insert `rows` in place of those in `removed`; if one is taken, all is as it was."""
    try:
        with connection:  # a savepoint: what was removed comes back
            connection.executemany(
                "DELETE FROM records WHERE incarnation = ? AND line = ?"
                " AND number BETWEEN ? AND ? AND number - count + 1 >= ?",
                ((incarnation, run.line, run.first, run.last, run.first) for run in removed),
            )
            if refused := _insert(connection, incarnation, rows):
                raise refused
    except StateExists as error:
        return error
    return None


def stage(connection: apsw.Connection, request: Stage) -> None:
    """Answer a `Stage`; raises `StateExists` for the transaction to be rolled back."""
    incarnation = request.incarnation
    if late := sqlite_erased.erased(connection, incarnation):
        raise late
    if not sqlite_pages.is_staged(connection, incarnation) and sqlite_pages.is_known(
        connection, incarnation
    ):
        raise StateExists("These records belong to a state that is already there.")
    sqlite_pages.mark_staged(connection, incarnation, request.at_us)
    if refused := _insert(connection, incarnation, request.records):
        raise refused


def erase(connection: apsw.Connection, request: Erase) -> Answer:
    """Answer an `Erase`."""
    if sqlite_erased.erase(connection, request):
        return COMMITTED
    return Moved(read_head(connection, ReadHead(request.key)))
