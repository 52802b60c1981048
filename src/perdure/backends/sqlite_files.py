"""What a SQLite store needs of the machine: a safe library, a local disk, a private file."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path

from perdure.errors import (
    InvalidStoreURL,
    NetworkFilesystem,
    ReadOnlyStore,
    StoreUnavailable,
    UnsafeLibrary,
)
from perdure.newfile import sync_directory

NETWORK_TYPES = frozenset(
    {
        *("9p", "afp", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs"),
        *("gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "webdav"),
        *("fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.smbnetfs", "fuse.sshfs"),
    }
)
"""File systems that other machines can write to, as the kernel names them."""

FILES = ("", "-wal", "-shm")
"""What SQLite adds to a store's name for each of its files."""


def is_safe_library(version: str) -> bool:
    """Whether this SQLite is free of the WAL-reset bug.

    Versions 3.7.0 to 3.51.2 can corrupt a database in WAL mode when two connections write or
    checkpoint at the same moment; 3.44.6 and 3.50.7 carry the correction back to their branches.
    (SQLite's release notes of 3.51.3.)
    """
    numbers = [int(part) for part in version.split(".")[:3]]
    major, minor, patch = (*numbers, 0, 0)[:3]
    if (major, minor) in ((3, 44), (3, 50)):
        return patch >= {44: 6, 50: 7}[minor]
    return (major, minor, patch) >= (3, 51, 3)


def check_library(version: str) -> None:
    """Raise `UnsafeLibrary` for a SQLite that can corrupt a store."""
    if not is_safe_library(version):
        raise UnsafeLibrary(
            f"SQLite {version} can corrupt a database that two connections write to. Install an "
            "apsw with SQLite 3.51.3 or newer: pip install --upgrade apsw"
        )


def absolute(path: str | os.PathLike[str]) -> str:
    """The store's file as an absolute path, whatever the process's directory becomes later.

    A `~` or `~user` that it begins with is that home directory; `./~` is a name.
    """
    name = os.fspath(path)
    if name == ":memory:":
        raise InvalidStoreURL(
            "':memory:' is SQLite's word. For a store in memory write 'memory:', or 'memory:NAME' "
            "to share one within the process."
        )
    if not name or "\0" in name:
        raise InvalidStoreURL(f"{name!r} is not the path of a file.")
    # Shells expand it only where it begins a word; PERDURE_STORE="~/agents.db" comes as it is.
    return os.path.abspath(os.path.expanduser(name))


def filesystem_type(mountinfo: str, path: str) -> str | None:
    """The type of the file system that holds `path`, by the text of /proc/self/mountinfo.

    The mount with the longest mount point above `path` counts; of several on one point, the last,
    which hides the others.
    """
    best, found = -1, None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        point = os.fsdecode(point.encode("latin-1", "surrogateescape")) if point else point
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= best:
            best, found = len(point), after.split(" ")[0]
    return found


def network_type(path: str) -> str | None:
    """The network file system that `path` lies on, as far as this system tells; else None."""
    if path.startswith(("\\\\", "//")) and sys.platform == "win32":
        return "a network share"
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().decode("latin-1")
    except OSError:
        return None
    kind = filesystem_type(mounts, os.path.realpath(path))
    return kind if kind in NETWORK_TYPES else None


def check_place(path: str, *, allow_network: bool) -> None:
    """Raise the error that names what keeps a store from being at `path`."""
    if os.path.isdir(path):
        raise StoreUnavailable(f"{path} is a directory; name a file in it, such as agents.db.")
    _check_directory(path, os.path.dirname(path))
    try:
        is_regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        is_regular = True  # as will be
        if os.path.islink(path):
            raise StoreUnavailable(
                f"{path} is a link to {os.path.realpath(path)}, which is not there. Make that, "
                "remove the link, or name the file itself."
            ) from None
    if not is_regular:
        raise StoreUnavailable(f"{path} is not a regular file; name a file for the store.")
    kind = None if allow_network else network_type(path)
    if kind:
        raise NetworkFilesystem(
            f"{path} is on a network file system ({kind}), where SQLite's locks cannot be trusted. "
            "Keep the store on a local disk."
        )


def _check_directory(path: str, directory: str) -> None:
    """Raise the error that names what is wrong with the directory of a store."""
    if os.path.isdir(directory):
        if may(directory, os.X_OK):
            return
        closed: str | None = directory
    else:
        closed = _closed_above(directory)
    if closed is not None:
        raise StoreUnavailable(
            f"Cannot see whether there is a store at {path}: no permission to look into {closed}."
        )
    if os.path.exists(directory):
        raise StoreUnavailable(f"Cannot have a store at {path}: {directory} is no directory.")
    raise StoreUnavailable(f"Cannot have a store at {path}: make the directory {directory}.")


def _closed_above(directory: str) -> str | None:
    """The directory above that keeps this process from seeing whether this one is there."""
    try:
        os.stat(directory)
    except PermissionError:
        above = os.path.dirname(directory)
        return _closed_above(above) or above
    except OSError:
        return None
    return None


def may(path: str, mode: int) -> bool:
    """Whether this process may use `path` so (`os.R_OK`, `os.W_OK`)."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def check_may_make(path: str) -> None:
    """Raise `ReadOnlyStore` if this process may make no file of that name."""
    if not may(os.path.dirname(path), os.W_OK | os.X_OK):
        raise _may_not_make(path)


def _may_not_make(path: str) -> ReadOnlyStore:
    return ReadOnlyStore(
        f"No permission to make {path}; let this user write to {os.path.dirname(path)}."
    )


def make_file(path: str) -> None:
    """Make the store's file, readable by its owner alone; SQLite gives -wal and -shm its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except PermissionError as error:
        raise _may_not_make(path) from error
    except OSError as error:
        raise StoreUnavailable(
            f"Cannot make {path} ({error.strerror}). Name a file where new ones can be made."
        ) from error
    sync_directory(os.path.dirname(path))


def identity(path: str) -> tuple[int, int] | None:
    """What tells the file of this name from every other; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def size_bytes(path: str) -> int:
    """Bytes of the store's files."""
    total = 0
    for suffix in FILES:
        with suppress(FileNotFoundError):
            total += os.stat(path + suffix).st_size
    return total
