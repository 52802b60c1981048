"""The keys of an encrypted export file: of its own, wrapped by the root key of its store."""

from __future__ import annotations

import struct
from collections.abc import Callable

from perdure.core.seal import Locked, Place
from perdure.errors import Damaged
from perdure.keys.data import DataKeys, is_encrypted
from perdure.keys.ring import Ring, RootKey, Settings

_length = struct.Struct(">I")
ROW_BYTES_MAX = 64 * 1024
"""Neither of the two rows is nearly so long (bytes)."""


class FileKeys:
    """What seals and opens the frames of one file."""

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    @classmethod
    def drawn(cls, file_id: bytes, root: RootKey) -> tuple[FileKeys, bytes]:
        """Keys for a new file, and what stands at its beginning to find them by."""
        ring = Ring.drawn(file_id, root, Settings())
        keys = DataKeys.drawn(file_id)
        rows = ring.blob, ring.wrap(keys)
        return cls(keys), b"".join(_length.pack(len(row)) + row for row in rows)

    @classmethod
    def read(cls, file_id: bytes, root: RootKey, take: Callable[[int], bytes]) -> FileKeys:
        """The keys of a file, from its beginning.

        Raises:
            WrongKey: it was written under another root key.
            Tampered: they are not what was written.
        """
        ring = Ring.read(file_id, _row(take), root)
        return cls(ring.unwrap(file_id, _row(take)))

    def seal(self, place: Place, blob: bytes) -> bytes:
        """A frame as it stands in the file."""
        return self._keys.seal(place, blob)

    def locked(self, blob: bytes) -> Locked:
        """A frame of the file, to be verified."""
        return Locked.by(self._open, blob)

    def _open(self, place: Place, blob: bytes) -> tuple[int, bytes]:
        if not is_encrypted(blob):
            raise Damaged(f"{place}: is in the clear, in a file that is encrypted")
        flags, _, body = self._keys.open(place, blob)
        return flags, body


def _row(take: Callable[[int], bytes]) -> bytes:
    (size,) = _length.unpack(take(_length.size))
    if size > ROW_BYTES_MAX:
        raise Damaged(f"the keys at its beginning claim {size} bytes")
    return take(size)
