"""What `perdure doctor` looks at, one function a question."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

import perdure
from perdure.backends import sqlite_files
from perdure.backends.protocol import Backend
from perdure.cli.context import require_store
from perdure.cli.words import bytes_of
from perdure.core.abbreviate import count
from perdure.errors import (
    Damaged,
    KeyMissing,
    NetworkFilesystem,
    NewerFormat,
    NotAStore,
    NotEncrypted,
    OlderFormat,
    PerdureError,
    Retryable,
    UsageError,
    WrongKey,
)

PYTHON_MIN = (3, 11)
WAL_BYTES_MAX = 8 * 1024 * 1024
"""A log longer than this is not being checkpointed (bytes)."""

FREE_BYTES_MIN = 256 * 1024 * 1024
"""With less room than this, saves may soon fail (bytes)."""

PASSING_TYPES = frozenset({"tmpfs", "ramfs"})
"""File systems that a restart empties."""

WAYS_OUT: tuple[tuple[type[PerdureError], str], ...] = (
    (NotAStore, "name the file of a store with --store"),
    (Damaged, "restore the store from a backup"),
    (NewerFormat, "upgrade Perdure, or use the version that wrote the store"),
    (OlderFormat, "upgrade the store: perdure upgrade"),
    (NetworkFilesystem, "move the store to a local disk"),
    (KeyMissing, "name its root key: --key FORM, or PERDURE_KEY"),
    (WrongKey, "name the root key that it is under: --key FORM, or PERDURE_KEY"),
    (NotEncrypted, "leave the key out, or encrypt the store: perdure keys init"),
    (Retryable, "try again"),
    (UsageError, "name a path, such as --store agents.db"),
    (PerdureError, "check the path, and that this user may read it"),
)
"""What to do about a store that cannot be examined; the first that fits counts."""

KEYS_SHOWN_MAX = 3
PAGE = 1000


class Finding(msgspec.Struct, frozen=True):
    """One thing examined."""

    check: str
    status: Literal["ok", "warn", "fail"]
    found: str
    way_out: str | None = None


def of_machine() -> Iterator[Finding]:
    """What does not depend on a store."""
    version = platform.python_version()
    if sys.version_info >= PYTHON_MIN:
        yield Finding("python", "ok", version)
    else:
        wanted = ".".join(map(str, PYTHON_MIN))
        yield Finding("python", "fail", version, f"install Python {wanted} or newer")
    yield Finding("perdure", "ok", perdure.__version__)
    yield _library()


def _library() -> Finding:
    try:
        import apsw
    except ImportError as error:
        return Finding("sqlite", "fail", str(error), "pip install apsw")
    return library(apsw.sqlite_lib_version())


def library(version: str) -> Finding:
    """Whether a SQLite library can be trusted with a store."""
    if sqlite_files.is_safe_library(version):
        return Finding("sqlite", "ok", f"{version}, free of the WAL-reset bug")
    return Finding(
        "sqlite",
        "fail",
        f"{version} has the WAL-reset bug: it can corrupt a store that two connections write to",
        "pip install --upgrade apsw (SQLite 3.51.3 or newer)",
    )


def of_store(
    url: str | None,
    key: str | None = None,
    keys_url: str | None = None,
    anchor: str | None = None,
) -> Iterator[Finding]:
    """What can be said of the store that was named, with its key and its anchor if it has them."""
    if url is None:
        way_out = "name one with --store PATH or PERDURE_STORE to have it examined"
        yield Finding("store", "warn", "none was named", way_out)
        return
    try:
        backend = _backend(url, key, keys_url, anchor)
    except PerdureError as error:
        yield _failed(error)
        return
    try:
        # Before anything is said of a file that may be a stranger's.
        info = backend.connect()
    except PerdureError as error:
        yield _failed(error)
    else:
        yield Finding("store", "ok", url)
        yield from _of_file(getattr(backend, "path", None), str(info.format))
        yield _encryption(backend)
        yield from _states(backend)
    finally:
        backend.close()


def _backend(url: str, key: str | None, keys_url: str | None, anchor: str | None) -> Backend:
    """What the store is read through."""
    from perdure.backends.url import backend_for

    backend: Backend = backend_for(url, create=False, read_only=True)
    require_store(backend)
    if key is not None:
        from perdure.keys.opening import keyed

        backend = keyed(backend, key, keys_url, False, {"create": False, "read_only": True})
    if anchor is not None:
        from perdure.anchors.opening import anchored

        backend = anchored(backend, anchor, read_only=True)
    return backend


def _failed(error: PerdureError, check: str = "store") -> Finding:
    way_out = next(way for kind, way in WAYS_OUT if isinstance(error, kind))
    return Finding(check, "fail", f"{error.kind}: {error}", way_out)


def _of_file(path: str | None, stored_format: str) -> Iterator[Finding]:
    if path is not None:
        yield _filesystem(path)
        if os.name == "posix":
            yield _permissions(path)
    yield Finding("format", "ok", stored_format)
    if path is not None:
        yield from _sizes(path)


def _filesystem(path: str) -> Finding:
    network = sqlite_files.network_type(path)
    if network:
        return Finding(
            "file system",
            "fail",
            f"{network} is on the network, where SQLite's locks cannot be trusted",
            "keep the store on a local disk",
        )
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        mounts = ""
    kind = sqlite_files.filesystem_type(mounts, os.path.realpath(path)) or "local"
    if kind in PASSING_TYPES:
        return Finding(
            "file system", "warn", f"{kind} is emptied by a restart", "keep the store on a disk"
        )
    return Finding("file system", "ok", kind)


def _permissions(path: str) -> Finding:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if not os.access(path, os.R_OK):
        way_out = "give this user the right to read it"
        return Finding("permissions", "fail", f"{mode:04o}: this user cannot read it", way_out)
    if not os.access(path, os.W_OK):
        way_out = "give this user the right to write to it, if agents run as this user"
        return Finding("permissions", "warn", f"{mode:04o}: this user cannot write to it", way_out)
    if mode & 0o077:
        return Finding(
            "permissions", "warn", f"{mode:04o}: other users may reach it", f"chmod 600 {path}"
        )
    return Finding("permissions", "ok", f"{mode:04o}")


def _sizes(path: str) -> Iterator[Finding]:
    yield Finding("size", "ok", bytes_of(os.stat(path).st_size))
    wal = path + "-wal"
    wal_bytes = os.stat(wal).st_size if os.path.exists(wal) else 0
    yield wal_size(wal_bytes)
    free = shutil.disk_usage(os.path.dirname(path)).free
    if free < FREE_BYTES_MIN:
        yield Finding("free space", "warn", bytes_of(free), "make room: saves may soon fail")
    else:
        yield Finding("free space", "ok", bytes_of(free))


def wal_size(size_bytes: int) -> Finding:
    """Whether the write-ahead log is kept short."""
    if size_bytes > WAL_BYTES_MAX:
        way_out = "a process keeps reading and holds it back: find and end it (lsof shows it)"
        return Finding("write-ahead log", "warn", bytes_of(size_bytes), way_out)
    return Finding("write-ahead log", "ok", bytes_of(size_bytes))


def _encryption(backend: Backend) -> Finding:
    store = perdure.Store(backend)  # not closed: the backend's owner does that
    try:
        if not store.is_encrypted():
            return Finding("encryption", "ok", "none")
        info = store.key_info()
    except PerdureError as error:
        return _failed(error, "encryption")
    under = f"under root key {info.root}"
    if info.stage != "sealed":
        return Finding("encryption", "warn", f"under way, {under}", "perdure keys init goes on")
    if info.rewrap:
        way_out = f"perdure keys rewrap{' --deep' * (info.rewrap == 'deep')} goes on"
        return Finding("encryption", "warn", f"{under}; a rewrap has not ended", way_out)
    return Finding("encryption", "ok", under)


def _states(backend: Backend) -> Iterator[Finding]:
    number, damaged, interrupted = 0, [], []
    store = perdure.Store(backend)  # not closed: the backend's owner does that
    after = None
    try:
        while page := store.states(limit=PAGE, after=after):
            number += len(page)
            damaged += [info.key for info in page if info.problem]
            interrupted += [info.key for info in page if info.status == "interrupted"]
            after = page[-1].key
    except PerdureError as error:
        yield _failed(error, "states")
        return
    yield Finding("states", "ok", f"{number:,}")
    yield _named(
        Finding("damaged states", "ok", "none by their heads; perdure verify reads everything"),
        damaged,
        "fail",
        "perdure verify KEY tells more, and what helps",
    )
    yield _named(
        Finding("last session interrupted", "ok", "of no state"),
        interrupted,
        "warn",
        "nothing saved was lost; the next session on its branch resumes where it stopped: perdure "
        "branches KEY tells which there are",
    )


def _named(
    none: Finding, keys: list[str], status: Literal["warn", "fail"], way_out: str
) -> Finding:
    """The finding that there are such states, if there are any."""
    if not keys:
        return none
    named = ", ".join(keys[:KEYS_SHOWN_MAX])
    more = len(keys) - KEYS_SHOWN_MAX
    found = f"{count(len(keys), 'state')}: {named}" + (f" and {more:,} more" if more > 0 else "")
    return Finding(none.check, status, found, way_out)
