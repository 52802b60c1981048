"""Sealing: turning a payload into stored bytes bound to their place, and back (P5).

A blob is `magic(4) ‖ format(1) ‖ kind(1) ‖ flags(2, big-endian) ‖ body ‖ tag(16)`. The body is the
payload, compressed when flag bit 8 says so. The tag is BLAKE2b-128 over the place, the header and
the body, so a blob that was damaged, moved or cut does not verify. Flags in the high byte are
required: a reader that does not know one refuses the blob.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b

import msgspec

from perdure import limits
from perdure.core import compress
from perdure.errors import UPGRADE, Damaged, Malformed, NewerFormat

MAGIC = b"PERD"
FORMAT = 0
TAG_BYTES = 16
HEADER_BYTES = 8

COMPRESSED = 0x0100
ENCRYPTED = 0x0200
"""Set apart for stores with a key; this version has no key to open such a blob with."""

_header = struct.Struct(">4sBBH")
_length = struct.Struct(">Q").pack
_numbers = struct.Struct(">QQ").pack


EXPORT_OWNER = b"export"
"""The owner of an export file's frames. Incarnations are longer, and heads have no number."""


class Kind(IntEnum):
    """What a blob holds; part of its place."""

    HEAD = 1
    RECORD = 2
    EXPORT = 3
    PACK = 4
    PAGE = 5


class Place(msgspec.Struct, frozen=True):
    """Where a blob belongs. Not stored in it: known to whoever reads it."""

    store: bytes
    owner: bytes
    """Incarnation of a record, pack or page; key (UTF-8) of a head; identity of an export file."""
    line: int = 0
    number: int = 0
    page: bytes = b""
    """Id of a page; in what the tag covers it follows the owner."""

    def bound(self) -> bytes:
        """The bytes the tag covers: lengths make every field's end unambiguous."""
        owner = self.owner + self.page
        return self.store + _length(len(owner)) + owner + _numbers(self.line, self.number)

    def __str__(self) -> str:
        if self.owner == EXPORT_OWNER and self.number:
            return f"frame {self.number} of an exported file"
        if self.number:
            return f"record {self.number} on line {self.line} of {self.owner.hex()[:12]}"
        if self.page:
            return f"page {self.page.hex()[:12]} of {self.owner.hex()[:12]}"
        return f"head of {self.owner.decode('utf-8', 'replace')!r}"


def seal(
    kind: Kind,
    place: Place,
    payload: bytes,
    *,
    level: int = compress.LEVEL,
    random_bytes: int = 0,
) -> bytes:
    """Payload to stored bytes.

    `level` is zstd's. So many of the first bytes are random, and are kept apart from the rest.

    Example:
        >>> place = Place(store=bytes(16), owner=b"support/alice")
        >>> unseal(Kind.HEAD, place, seal(Kind.HEAD, place, b"hello"), 1024)
        b'hello'
    """
    flags = 0
    body = payload
    if len(payload) >= limits.compress_bytes_min:
        packed = compress.compress(payload, level, random_bytes)
        if len(packed) < len(payload):
            flags, body = COMPRESSED, packed
    head = _header.pack(MAGIC, FORMAT, kind, flags)
    return head + body + _tag(place, head, body)


def unseal(kind: Kind, place: Place, blob: bytes, bytes_max: int) -> bytes:
    """Stored bytes to payload, verified before anything in it is used.

    Raises:
        Damaged: it is not what was sealed for this place.
        NewerFormat: its format, its kind or a required flag is not known to this version.
    """
    if len(blob) < HEADER_BYTES + TAG_BYTES:
        raise Damaged(f"{place}: only {len(blob)} bytes are left of it")
    head, body, tag = blob[:HEADER_BYTES], blob[HEADER_BYTES:-TAG_BYTES], blob[-TAG_BYTES:]
    magic, version, found, flags = _header.unpack(head)
    if magic != MAGIC:
        raise Damaged(f"{place}: does not begin as Perdure's bytes do")
    if version > FORMAT:
        what = f"is of format {version}, and this version reads up to {FORMAT}"
        raise NewerFormat(f"{place}: {what}; {UPGRADE}")
    if tag != _tag(place, head, body):
        raise Damaged(f"{place}: its checksum does not match; it was changed, moved or cut")
    if flags & ENCRYPTED:
        raise NewerFormat(f"{place}: is encrypted, which this version cannot open; {UPGRADE}")
    if flags & 0xFF00 & ~COMPRESSED:
        what = f"uses a feature unknown to this version (flags {flags:#06x})"
        raise NewerFormat(f"{place}: {what}; {UPGRADE}")
    if found > max(Kind):
        raise NewerFormat(f"{place}: holds kind {found}, unknown to this version; {UPGRADE}")
    if found != kind:
        raise Damaged(f"{place}: holds kind {found}, not {kind.name.lower()}")
    if not flags & COMPRESSED:
        return body
    try:
        return compress.decompress(body, bytes_max)
    except Malformed as error:
        raise Damaged(f"{place}: {error}") from error


def located(place: Place, error: Malformed | NewerFormat) -> Damaged | NewerFormat:
    """What is wrong with a verified payload, with the place it is at."""
    kind = NewerFormat if isinstance(error, NewerFormat) else Damaged
    return kind(f"{place}: {error}")


def payload_bytes(start: bytes, stored_bytes: int) -> int:
    """How long the payload of a blob claims to be, by its first `HEADER_BYTES + 18` bytes.

    For plans only: nothing is verified, and what makes no sense counts as it is stored.

    Example:
        >>> blob = seal(Kind.RECORD, Place(bytes(16), bytes(16), 0, 1), bytes(5000))
        >>> len(blob) < 100, payload_bytes(blob[:26], len(blob))
        (True, 5000)
    """
    size = stored_bytes - HEADER_BYTES - TAG_BYTES
    if len(start) < HEADER_BYTES or not _header.unpack_from(start)[3] & COMPRESSED:
        return max(size, 0)
    return compress.claimed_bytes(start[HEADER_BYTES:], size)


def _tag(place: Place, head: bytes, body: bytes) -> bytes:
    digest = blake2b(place.bound() + head, digest_size=TAG_BYTES, person=b"perdure.seal")
    digest.update(body)
    return digest.digest()
