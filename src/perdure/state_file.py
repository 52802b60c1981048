"""The file that one state is exported to: frames that prove themselves, and how it is opened.

`magic(8) ‖ id(16)`, then frames of `length(4, big-endian) ‖ blob`. Blobs are sealed as everything
stored is (`perdure.core.seal`), their place being the file's id and the frame's number: a frame
damaged, moved, or taken from another file does not verify.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.core.seal import EXPORT_OWNER, HEADER_BYTES, TAG_BYTES, Kind, Place, seal, unseal
from perdure.errors import (
    GIVE_KEY,
    Damaged,
    KeyMissing,
    Malformed,
    StorageFull,
    Tampered,
    UsageError,
)
from perdure.newfile import give_name, partial_name, require_place

if TYPE_CHECKING:
    from perdure.keys.export import FileKeys
    from perdure.keys.ring import RootKey

MAGIC = b"PERDSTAT"
MAGIC_KEYED = b"PERDSEAL"
"""What an encrypted file begins with: its keys stand before its frames."""
File: TypeAlias = str | os.PathLike[str] | BinaryIO

_length = struct.Struct(">I")


class Writer:
    """Writes such a file: encrypted, if it is given a root key."""

    def __init__(self, file: BinaryIO, root: RootKey | None = None) -> None:
        self._file = file
        self._number = 0
        self.id = os.urandom(16)
        self.bytes = 0
        self._keys: FileKeys | None = None
        if root is None:
            self._put(MAGIC + self.id)
            return
        from perdure.keys.export import FileKeys

        self._keys, start = FileKeys.drawn(self.id, root)
        self._put(MAGIC_KEYED + self.id + start)

    def write(self, value: object, flags: int = 0) -> None:
        """Write the next frame."""
        self._number += 1
        place = Place(self.id, EXPORT_OWNER, 0, self._number)
        blob = seal(Kind.EXPORT, place, pack(value), flags=flags)
        if self._keys is not None:
            blob = self._keys.seal(place, blob)
        self._put(_length.pack(len(blob)))
        self._put(blob)

    def _put(self, data: bytes) -> None:
        """All of it, also into a stream that takes less at a time."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self.bytes += len(data)


class Reader:
    """Reads such a file, and believes nothing of it.

    Raises:
        Malformed: it is none.
        KeyMissing: it is encrypted, and no root key was given.
    """

    def __init__(self, file: BinaryIO, root: RootKey | None = None) -> None:
        self._file = file
        self._number = 0
        self.name = str(getattr(file, "name", "the file"))
        self._keys: FileKeys | None = None
        magic = self._up_to(len(MAGIC))
        if magic not in (MAGIC, MAGIC_KEYED):
            raise Malformed(
                f"{self.name} is not a state exported by Perdure. A backup is a whole store: "
                "open it as one (on the command line with --store). What another library kept is "
                "for perdure import langgraph or perdure import openai-agents"
            )
        self.id = self._exactly(16)
        if magic == MAGIC_KEYED:
            self._keys = self._read_keys(root)

    def _read_keys(self, root: RootKey | None) -> FileKeys:
        if root is None:
            raise KeyMissing(
                f"{self.name} is encrypted: import it into a store with the root key that it was "
                f"exported under; {GIVE_KEY}"
            )
        from perdure.keys.export import FileKeys

        return FileKeys.read(self.id, root, self._exactly)

    def next(self) -> object:
        """What the next frame holds.

        Raises:
            Damaged: it is not what was exported.
        """
        self._number += 1
        (length,) = _length.unpack(self._exactly(_length.size))
        if not HEADER_BYTES + TAG_BYTES <= length <= limits.record_bytes_max * 2:
            raise Damaged(f"{self.name}: frame {self._number} claims {length} bytes")
        place = Place(self.id, EXPORT_OWNER, 0, self._number)
        blob = self._exactly(length)
        if self._keys is not None:
            blob = self._keys.locked(blob)
        try:
            return unpack(unseal(Kind.EXPORT, place, blob, limits.export_bytes_max))
        except (Damaged, Malformed) as error:
            kind = Tampered if isinstance(error, Tampered) else Damaged
            raise kind(
                f"{self.name}: frame {self._number} is not what was exported; it was changed, "
                "moved or cut"
            ) from error

    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return not self._file.read(1)

    def _exactly(self, size: int) -> bytes:
        data = self._up_to(size)
        if len(data) != size:
            raise Damaged(f"{self.name} is cut short in frame {self._number}")
        return data

    def _up_to(self, size: int) -> bytes:
        """The next bytes, also of a stream that gives less at a time; fewer only at its end."""
        data = self._file.read(size)
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        return data


@contextmanager
def opened_new(target: File) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is whole; never over another."""
    if not isinstance(target, str | os.PathLike):
        if isinstance(target, io.TextIOBase):
            raise UsageError("a state is exported to a binary file: open it with mode 'wb'")
        yield target
        return
    require_place(target)
    path = Path(target)
    if path.exists():
        raise _taken(path)
    partial = partial_name(path)
    try:
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        give_name(partial, path)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No room left for {path}; nothing is left of it.") from error
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists already; choose another name or remove it")


@contextmanager
def opened(source: File) -> Iterator[BinaryIO]:
    """A file to read, by its path or as it is given."""
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, io.TextIOBase):
            raise UsageError("a state is imported from a binary file: open it with mode 'rb'")
        yield source
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(source, "rb"))
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cannot read {os.fspath(source)}: {reason}") from error
        yield file
