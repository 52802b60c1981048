"""Projects: a key for the state of an agent that belongs to a directory, wherever that is moved."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from perdure.errors import Malformed, StoreUnavailable, UsageError
from perdure.newfile import give_name, partial_name

FILE = Path(".perdure", "project")
"""Where a project's key is kept, below its root."""

KEY = re.compile(r"[\w.-]{1,64}-[0-9a-f]{16}")
"""What a key looks like: what its directory was called once, and what tells it from all others."""

NAME_CHARS_MAX = 64
RANDOM_BYTES = 8


def project_key(root: str | os.PathLike[str] = ".") -> str:
    """A key for the state of an agent that works on a directory; renamed or moved, it has the same.

    It is made when it is first asked for, and kept in the file `.perdure/project` in that
    directory. A copy of the directory has the same key: remove the file there, and it gets its own.

    Args:
        root: the directory.

    Raises:
        UsageError: it is no directory.
        StoreUnavailable: the file cannot be read or written.
        Malformed: what is in the file is no key.

    Example:
        >>> with store.open(f"coder/{project_key()}") as session:
        ...     session.environment(files=["src/**/*.py"], git=True)
    """
    directory = Path(root)
    if not directory.is_dir():
        raise UsageError(f"{os.fspath(root)!r} is no directory: give the root of the project")
    file = directory / FILE
    try:
        with suppress(FileNotFoundError):
            return _read(file)
        with suppress(FileExistsError):  # another process made it just now
            _make(file, directory.resolve().name)
        return _read(file)
    except OSError as error:
        raise StoreUnavailable(
            f"The key of the project {os.fspath(root)!r} is kept in {file}: {error.strerror}. Let "
            "this user read and write there, or use a key of your own."
        ) from error


def _read(file: Path) -> str:
    text = file.read_bytes().decode(errors="replace").strip()
    if not KEY.fullmatch(text):
        raise Malformed(
            f"{file} holds no key of a project: {text[:80]!r}. Put back what was in it, as its "
            "states are found by that; removed, it is made anew, with another key."
        )
    return text


def _make(file: Path, name: str) -> None:
    """Write the file with a new key, whole or not at all.

    Raises:
        FileExistsError: it is there.
    """
    words = re.sub(r"[^\w.-]+", "-", name).strip("-")[:NAME_CHARS_MAX] or "project"
    file.parent.mkdir(exist_ok=True)
    partial = partial_name(file)
    try:
        with open(partial, "xb") as handle:
            handle.write(f"{words}-{secrets.token_hex(RANDOM_BYTES)}\n".encode())
            handle.flush()
            os.fsync(handle.fileno())
        give_name(partial, file)
    finally:
        partial.unlink(missing_ok=True)
