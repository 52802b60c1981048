"""Opening a SQLite database as a store, and telling SQLite's errors in our words."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import apsw

from perdure import limits
from perdure.backends import sqlite_files, sqlite_keys
from perdure.backends.protocol import StoreInfo
from perdure.core import seal
from perdure.errors import (
    UPGRADE,
    Busy,
    Damaged,
    NewerFormat,
    NotAStore,
    OlderFormat,
    PerdureError,
    ReadOnlyStore,
    StorageFull,
    StoreUnavailable,
)

T = TypeVar("T")

APPLICATION_ID = 0x50455244
"""Marks a SQLite file as a store of ours ("PERD"), at offset 68 of the file."""
FORMAT = seal.FORMAT
"""What `user_version` says: of the tables and of the blobs in them."""

PAGE_BYTES_MIN = 512
"""No SQLite database but an empty one is smaller (bytes)."""

# Large blobs are in tables with row ids: a search in one without reads the whole of every large
# row that it passes, to compare it (docs/design/0002).
SCHEMA = """
CREATE TABLE perdure (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE heads (
    key BLOB NOT NULL UNIQUE,
    token BLOB NOT NULL,
    head BLOB NOT NULL,
    incarnation BLOB NOT NULL,
    line INTEGER NOT NULL,
    after INTEGER NOT NULL,
    page BLOB
);
CREATE TABLE records (
    incarnation BLOB NOT NULL,
    line INTEGER NOT NULL,
    number INTEGER NOT NULL,
    count INTEGER NOT NULL,
    blob BLOB NOT NULL,
    UNIQUE (incarnation, line, number)
);
CREATE TABLE pages (
    incarnation BLOB NOT NULL,
    id BLOB NOT NULL,
    blob BLOB NOT NULL,
    UNIQUE (incarnation, id)
);
CREATE TABLE staged (incarnation BLOB PRIMARY KEY, at_us INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, and how it may be opened."""

    path: str
    create: bool = True
    read_only: bool = False
    busy_timeout: float = 5.0
    allow_network_filesystem: bool = False
    vfs: str | None = None


def connection(place: Place) -> apsw.Connection:
    """A connection with our settings, on a file that is a store or may become one."""
    only_reads = place.read_only and not _can_tidy_up(place)
    flags = apsw.SQLITE_OPEN_READONLY if only_reads else apsw.SQLITE_OPEN_READWRITE
    opened = apsw.Connection(place.path, flags=flags, vfs=place.vfs)
    wait_for_others(opened, place)
    # Defensive: no SQL, ours included, can write to the schema's own pages.
    opened.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    if sys.platform == "darwin":
        # There, fsync leaves the bytes in the drive's cache; this asks for them to leave it.
        opened.execute("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1")
    return opened


def wait_for_others(opened: apsw.Connection, place: Place) -> None:
    """Let a connection wait as long as the place says."""
    opened.set_busy_timeout(round(place.busy_timeout * 1000))


def _can_tidy_up(place: Place) -> bool:
    """Whether to read by a connection that could write, were it not for `query_only`.

    SQLite lets no other remove the log and the index that it makes beside the store for reading.
    Where a log or a journal holds something, that is its writer's to move.
    """
    path, both = place.path, os.R_OK | os.W_OK
    try:
        is_quiet = os.path.getsize(path + "-wal") == 0
    except FileNotFoundError:
        is_quiet = True
    if not is_quiet or os.path.exists(path + "-journal"):
        return False
    return sqlite_files.may(path, both) and sqlite_files.may(os.path.dirname(path), os.W_OK)


def reader(place: Place) -> apsw.Connection:
    """A connection to read with, or to checkpoint with."""
    opened = immutable(place) if _needs_immutable(place) else connection(place)
    opened.execute("PRAGMA query_only = 1")
    # SQLite joins the log at the first read; until then it would checkpoint nothing.
    opened.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return opened


def immutable(place: Place) -> apsw.Connection:
    """A connection to a database that nobody has open, in a directory that is not ours to write."""
    uri = f"{Path(place.path).as_uri()}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(uri, flags=flags, vfs=place.vfs)


def _needs_immutable(place: Place) -> bool:
    """SQLite reads a WAL database by files beside it, which here it can neither find nor make."""
    if not place.read_only or sqlite_files.may(os.path.dirname(place.path), os.W_OK):
        return False
    return not os.path.exists(place.path + "-wal")


def open_store(place: Place) -> tuple[apsw.Connection, StoreInfo]:
    """The first connection to a store, which is made if it is not there and may be."""
    sqlite_files.check_library(apsw.sqlite_lib_version())
    sqlite_files.check_place(place.path, allow_network=place.allow_network_filesystem)
    if not os.path.exists(place.path):
        if place.read_only or not place.create:
            how = "without read_only=True" if place.read_only else "with create=True"
            raise StoreUnavailable(
                f"There is no store at {place.path}. Name another path, or open it {how} to make "
                "one there."
            )
        sqlite_files.make_file(place.path)
    elif 0 < os.stat(place.path).st_size < PAGE_BYTES_MIN:
        # SQLite would take it for an empty database, and write over it.
        raise _no_database(place.path)
    opened, info = patiently(place, _open_file)
    wait_for_others(opened, place)
    return opened, info


def is_made(place: Place) -> bool:
    """Whether `open_store` would find something: a store, something else, or a file it may not use.

    Raises:
        PerdureError: nothing is there, and no store can be made.
    """
    sqlite_files.check_library(apsw.sqlite_lib_version())
    sqlite_files.check_place(place.path, allow_network=place.allow_network_filesystem)
    if place.read_only or not place.create:
        return True  # what is not there is told by opening it
    if not os.path.exists(place.path):
        sqlite_files.check_may_make(place.path)
        return False
    is_empty = not os.path.getsize(place.path) and not os.path.exists(place.path + "-wal")
    return not (is_empty and sqlite_files.may(place.path, os.R_OK | os.W_OK))


def patiently(place: Place, work: Callable[[Place], T]) -> T:
    """Do `work`, again while others are in the way, for as long as the place says.

    SQLite itself does not wait where two connections turn a file to WAL mode. `work` is given the
    place with the time that is left, which its connection may keep: `wait_for_others` sets it anew.
    """
    deadline = time.monotonic() + place.busy_timeout
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return work(replace(place, busy_timeout=left))
        except apsw.BusyError as error:
            if time.monotonic() >= deadline:
                raise told(error, place) from error
            time.sleep(0.005)
        except apsw.Error as error:
            raise told(error, place) from error


def _open_file(place: Place) -> tuple[apsw.Connection, StoreInfo]:
    has_wal = os.path.exists(place.path + "-wal")
    opened = reader(place) if place.read_only else connection(place)
    try:
        return opened, _identified(opened, place)
    except BaseException as error:
        if has_wal:
            # Someone else's database: closing it must not move its WAL into it.
            opened.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        opened.close()
        if isinstance(error, UnicodeDecodeError):
            what = "what names its tables is no text any more"
            raise _damaged(place, what) from error
        raise


def _identified(opened: apsw.Connection, place: Place) -> StoreInfo:
    if is_unmarked(opened, place):
        if place.read_only or not place.create:
            how = "without read_only=True" if place.read_only else "with create=True"
            error = NotAStore(
                f"{place.path} is empty: nobody has made a store in it. Open it {how} to make one."
            )
            error.is_empty = True
            raise error
        check_writable(opened, place)
        _make(opened, place)
    known_format(opened, place)
    if not place.read_only:
        check_writable(opened, place)
        turn_to_wal(opened, place)
    return described(opened, place)


def known_format(opened: apsw.Connection, place: Place) -> int:
    """The format that the file says it is of.

    Raises:
        NewerFormat: this version does not know it; nothing was touched (P10).
    """
    format_: int = opened.pragma("user_version")
    if format_ > FORMAT:
        raise NewerFormat(
            f"{place.path} is of format {format_}, and this version knows formats up to {FORMAT}; "
            f"{UPGRADE}"
        )
    return format_


_TABLES = {
    line.split("(")[0].removeprefix("CREATE TABLE ").strip()
    for line in SCHEMA.splitlines()
    if line.startswith("CREATE TABLE ")
}


def described(opened: apsw.Connection, place: Place) -> StoreInfo:
    """What the file says of itself.

    Raises:
        Damaged: it lacks what every store has.
        NewerFormat: a newer version made it.
        OlderFormat: an earlier version made it, in a form that has to be upgraded.
    """
    format_ = known_format(opened, place)
    found = {name for (name,) in opened.execute("SELECT name FROM sqlite_schema")}
    missing = sorted(_TABLES - found)
    columns = {row[1] for row in opened.execute("PRAGMA table_info(records)")}
    if 0 <= format_ < FORMAT or (columns and "count" not in columns):
        raise OlderFormat(
            f"{place.path} was made by an earlier version, in a form that has to be upgraded "
            f"first; nothing was touched: perdure --store {shlex.quote(place.path)} upgrade"
        )
    meta: dict[Any, Any] = {}
    if not missing:
        meta.update(opened.execute("SELECT name, value FROM perdure"))
    match meta.get("store_id"), meta.get("created_us"):
        case bytes(store_id), int(created_us) if len(store_id) == 16 and format_ >= 0:
            key = sqlite_keys.store_key(opened) if "keys" in found else b""
            return StoreInfo(store_id, format_, created_us, key)
    what = f"the table {missing[0]} is missing" if missing else "what it says of itself is no store"
    raise _damaged(place, what)


def _damaged(place: Place, what: str) -> Damaged:
    return Damaged(
        f"{place.path} is damaged: {what}. Restore it from a backup, or see what `perdure recover` "
        "finds in it.",
        form="metadata",
        place=str(place.path),
    )


def is_unmarked(opened: apsw.Connection, place: Place) -> bool:
    """Whether the database is an empty one. Raises `NotAStore` if it is somebody else's."""
    with opened:
        mark = opened.pragma("application_id")
        tables = opened.execute("SELECT count(*) FROM sqlite_schema").get
        format_ = opened.pragma("user_version")
    if mark == APPLICATION_ID:
        return False
    if mark or tables or format_:
        raise NotAStore(
            f"{place.path} is a SQLite database of another program; it was not touched. "
            "Name another file for the store."
        )
    return True


def check_writable(opened: apsw.Connection, place: Place) -> None:
    """Raise `ReadOnlyStore` where the connection can only read."""
    if opened.readonly("main"):
        raise ReadOnlyStore(
            f"No permission to write to {place.path}. Change that, or open it with read_only=True."
        )


def turn_to_wal(opened: apsw.Connection, place: Place) -> None:
    """Have the file keep a write-ahead log, as every store does."""
    mode = opened.pragma("journal_mode", "wal")
    if mode != "wal":
        raise StoreUnavailable(f"{place.path} is where SQLite cannot keep a write-ahead log.")
    # What one large commit made of the log is given back when the log begins anew.
    opened.pragma("journal_size_limit", limits.wal_checkpoint_bytes)


def _make(opened: apsw.Connection, place: Place) -> None:
    # Before anything is in the file; later it would take a VACUUM. See `sqlite_space`.
    opened.pragma("auto_vacuum", "INCREMENTAL")
    turn_to_wal(opened, place)
    opened.execute("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
    try:
        # Another process may have made it since we looked.
        if opened.pragma("application_id") != APPLICATION_ID:
            opened.execute(SCHEMA)
            meta = (("store_id", os.urandom(16)), ("created_us", time.time_ns() // 1000))
            opened.executemany("INSERT INTO perdure VALUES (?, ?)", meta)
            opened.pragma("application_id", APPLICATION_ID)
            opened.pragma("user_version", FORMAT)
        opened.execute("COMMIT")
    except BaseException:
        if opened.in_transaction:
            opened.execute("ROLLBACK")
        raise


def told(error: apsw.Error, place: Place) -> PerdureError:
    """SQLite's error in our words. All of these mean that nothing was written."""
    path, said = place.path, str(error)
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return Busy(
                f"Others kept {path} for more than {place.busy_timeout:g} s. Nothing was written; "
                "try again, or raise busy_timeout."
            )
        case apsw.FullError():
            return StorageFull(f"No room left for {path}. Nothing was written.")
        case apsw.ReadOnlyError():
            return ReadOnlyStore(f"{path} cannot be written to: {_why_not(place) or said}.")
        case apsw.NotADBError():
            return _no_database(path)
        case apsw.CorruptError():
            return _damaged(place, f"SQLite says: {said}")
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreUnavailable(f"Cannot open {path}: {_why_not(place) or said}.")
        case _:
            return StoreUnavailable(f"SQLite cannot use {path} ({said}).")


def _no_database(path: str) -> NotAStore:
    return NotAStore(
        f"{path} is not a SQLite database; it was not touched. Name another file for the store; "
        "if it was one and is broken: perdure recover FILE NEW."
    )


def _why_not(place: Place) -> str | None:
    path, directory = place.path, os.path.dirname(place.path)
    only_read = "" if place.read_only else "; to only read it, open it with read_only=True"
    if not os.path.exists(path):
        return "it is not there"
    if not sqlite_files.may(path, os.R_OK):
        return "no permission to read it"
    if place.read_only and os.path.exists(path + "-journal"):
        return "a process died while it upgraded the store; undo that by opening it to write"
    if not place.read_only and not sqlite_files.may(path, os.W_OK):
        return f"no permission to write to it{only_read}"
    if not sqlite_files.may(directory, os.W_OK):
        return f"SQLite has to make files beside it, and may not write to {directory}{only_read}"
    return None
