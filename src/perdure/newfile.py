"""New files: they appear under their name when they are whole, and never over another."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from perdure.errors import StoreUnavailable


def require_place(target: str | os.PathLike[str]) -> None:
    """Raise the error that says why no new file can have this name.

    Asked beforehand because until a file is whole it has another name, which would be told.

    Raises:
        StoreUnavailable: it has no directory, or one in which this user may make no files.
    """
    file, directory = os.fspath(target), os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(directory):
        if os.path.exists(directory):
            raise StoreUnavailable(
                f"Cannot write {file}: {directory} is no directory; name another place."
            )
        raise StoreUnavailable(f"Cannot write {file}: make the directory {directory}.")
    if not may_write(directory):
        raise StoreUnavailable(f"Cannot write {file}: let this user write to {directory}.")


def may_write(directory: str) -> bool:
    """Whether this user may make files in a directory."""
    return os.access(directory, os.W_OK)


def partial_name(target: Path) -> Path:
    """A name beside `target` to write under until the file is whole."""
    return target.with_name(f"{target.name}.{os.urandom(4).hex()}.partial")


def give_name(partial: Path, target: Path) -> None:
    """Rename a file that was written and synced, and make its name survive a power cut.

    Raises:
        FileExistsError: something has the name `target`; it was not touched.
    """
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except (OSError, AttributeError, NotImplementedError):  # a place without links
        _rename(partial, target)
    else:
        os.unlink(partial)
    sync_directory(str(target.parent))


def _rename(partial: Path, target: Path) -> None:
    if sys.platform == "win32":
        os.rename(partial, target)  # which there replaces nothing
        return
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        os.replace(partial, target)
    except BaseException:
        os.unlink(target)
        raise


def sync_directory(directory: str) -> None:
    """Make new names in a directory survive a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
