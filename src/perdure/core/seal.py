"""Sealing: turning a payload into stored bytes bound to their place, and back (P5).

A blob is `magic(4) ‖ format(1) ‖ kind(1) ‖ flags(2, big-endian) ‖ body ‖ tag(16)`. The body is the
payload, compressed when flag bit 8 says so. The tag is BLAKE2b-128 over the place, the header and
the body, so a blob that was damaged, moved or cut does not verify. What a store with a key holds is
encrypted instead (flag bit 9), and comes with what opens it. Flags in the high byte are
required: a reader that does not know one refuses the blob.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from perdure import limits
from perdure.core import compress
from perdure.errors import (
    GIVE_KEY,
    UPGRADE,
    Damaged,
    Form,
    KeyMissing,
    Malformed,
    NewerFormat,
    Tampered,
)

MAGIC = b"PERD"
FORMAT = 1
"""Of blobs and of stores. Those of format 0, which was never frozen, are laid out the same."""
TAG_BYTES = 16
HEADER_BYTES = 8

COMPRESSED = 0x0100
ENCRYPTED = 0x0200
"""The body is encrypted, and the tag its cipher's: `perdure.keys` seals and opens such blobs."""
REDACTED = 0x0800
"""Among what it holds are redacted records: `perdure.core.redacted`."""
NAMED = 0x0400
"""Of an encrypted head: the state's name stands before the payload, and a hash of it for a key."""

_header = struct.Struct(">4sBBH")
_claimed = struct.Struct(">I")
CLAIMED_AT = HEADER_BYTES + 2
"""Where an encrypted blob says how long its payload is: after the generation of its key."""
_length = struct.Struct(">Q").pack
numbered = struct.Struct(">QQ").pack
"""What ends the bytes that stand for a place: its line and its number."""


EXPORT_OWNER = b"export"
"""The owner of an export file's frames. Incarnations are longer, and heads have no number."""


ERASED_OWNER = b"erased"
"""What the owner of an erasure's receipt begins with; the incarnation follows."""


class Kind(IntEnum):
    """What a blob holds; part of its place."""

    HEAD = 1
    RECORD = 2
    EXPORT = 3
    PACK = 4
    PAGE = 5
    ERASED = 6


_KIND_MAX = max(Kind)


class KeyedStore(bytes):
    """The id of a store with a key: what is sealed for it gets its tag from the cipher."""


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
        return self.store + _length(len(owner)) + owner + numbered(self.line, self.number)

    def __str__(self) -> str:
        if self.owner == EXPORT_OWNER and self.number:
            return f"frame {self.number} of an exported file"
        if self.number:
            return f"record {self.number} on line {self.line} of {self.owner.hex()[:12]}"
        if self.page:
            return f"page {self.page.hex()[:12]} of {self.owner.hex()[:12]}"
        if len(self.owner) == len(ERASED_OWNER) + 16 and self.owner.startswith(ERASED_OWNER):
            return f"receipt of the erasure of {self.owner[len(ERASED_OWNER) :].hex()[:12]}"
        return f"head of {self.owner.decode('utf-8', 'replace')!r}"


Opener: TypeAlias = Callable[[Place, bytes], tuple[int, bytes]]
"""Verifies a blob at its place; gives the flags that are left, and the body in the clear."""


class Locked(bytes):
    """A stored blob, with what opens it: how those of a store with a key come to who reads them."""

    opener: Opener

    @classmethod
    def by(cls, opener: Opener, blob: bytes) -> Locked:
        """A blob that `opener` opens."""
        locked = cls(blob)
        locked.opener = opener
        return locked


def damaged(store: bytes, message: str, form: Form, place: object = "") -> Damaged:
    """What to raise of what is not as it was saved: in a store with a key it is `Tampered`."""
    kind = Tampered if type(store) is KeyedStore else Damaged
    return kind(message, form=form, place=str(place))


def damaged_at(place: Place, what: str, form: Form = "content") -> Damaged:
    """The same of one blob; the message begins with its place."""
    return damaged(place.store, f"{place}: {what}", form, place)


def seal(
    kind: Kind,
    place: Place,
    payload: bytes,
    *,
    level: int = compress.LEVEL,
    random_bytes: int = 0,
    flags: int = 0,
) -> bytes:
    """Payload to stored bytes.

    `level` is zstd's. So many of the first bytes are random, and are kept apart from the rest.
    `flags` are those that say what it holds.

    Example:
        >>> place = Place(store=bytes(16), owner=b"support/alice")
        >>> unseal(Kind.HEAD, place, seal(Kind.HEAD, place, b"hello"), 1024)
        b'hello'
    """
    body = payload
    if len(payload) >= limits.compress_bytes_min:
        packed = compress.compress(payload, level, random_bytes)
        if len(packed) < len(payload):
            flags, body = flags | COMPRESSED, packed
    head = _header.pack(MAGIC, FORMAT, kind, flags)
    return head + body + (_NO_TAG if type(place.store) is KeyedStore else _tag(place, head, body))


_NO_TAG = bytes(TAG_BYTES)
"""Verifies nowhere: only the layer that encrypts takes such a blob."""


def unseal(kind: Kind, place: Place, blob: bytes, bytes_max: int) -> bytes:
    """Stored bytes to payload, verified before anything in it is used.

    Raises:
        Damaged: it is not what was sealed for this place.
        NewerFormat: its format, its kind or a required flag is not known to this version.
    """
    found, flags = header_of(place, blob)
    if isinstance(blob, Locked):
        flags, body = blob.opener(place, blob)
    else:
        flags, body = opened(place, blob)
    if flags & 0xFF00 & ~(COMPRESSED | REDACTED):
        what = f"uses a feature unknown to this version (flags {flags:#06x})"
        raise NewerFormat(f"{place}: {what}; {UPGRADE}")
    if found > _KIND_MAX:
        raise NewerFormat(f"{place}: holds kind {found}, unknown to this version; {UPGRADE}")
    if found != kind:
        raise damaged_at(place, f"holds kind {found}, not {kind.name.lower()}", "metadata")
    if not flags & COMPRESSED:
        return body
    try:
        return compress.decompress(body, bytes_max)
    except Malformed as error:
        raise damaged_at(place, str(error)) from error


def header_of(place: Place, blob: bytes) -> tuple[int, int]:
    """The kind and the flags that a blob begins with; not verified.

    Raises:
        Damaged: it does not begin as blobs do.
        NewerFormat: its format is not known to this version.
    """
    if len(blob) < HEADER_BYTES + TAG_BYTES:
        raise damaged_at(place, f"only {len(blob)} bytes are left of it")
    magic, version, found, flags = _header.unpack_from(blob)
    if magic != MAGIC:
        raise damaged_at(place, "does not begin as Perdure's bytes do")
    if version > FORMAT:
        what = f"is of format {version}, and this version reads up to {FORMAT}"
        raise NewerFormat(f"{place}: {what}; {UPGRADE}")
    return found, flags


def header(kind: int, flags: int) -> bytes:
    """What a blob begins with."""
    return _header.pack(MAGIC, FORMAT, kind, flags)


def closed(place: Place, kind: int, flags: int, body: bytes) -> bytes:
    """A blob in the clear, of a body as it is stored."""
    head = header(kind, flags)
    return head + body + _tag(place, head, body)


def opened(place: Place, blob: bytes) -> tuple[int, bytes]:
    """Verify a blob that is in the clear: its flags, and its body as it is stored.

    Raises:
        Damaged: it is not what was sealed for this place.
        KeyMissing: it is encrypted.
    """
    head, body, tag = blob[:HEADER_BYTES], blob[HEADER_BYTES:-TAG_BYTES], blob[-TAG_BYTES:]
    flags: int = _header.unpack(head)[3]
    if tag == _tag(place, head, body):
        if flags & ENCRYPTED:
            raise damaged_at(place, "says that it is encrypted, and is not")
        return flags, body
    if flags & ENCRYPTED and tag != _tag(place, _without(head), body):
        raise KeyMissing(f"{place}: is encrypted, and this store has no key; {GIVE_KEY}")
    raise damaged_at(place, "its checksum does not match; it was changed, moved or cut")


def is_encrypted(blob: bytes) -> bool:
    """Whether bytes say of themselves that they are an encrypted blob; nothing is verified."""
    if len(blob) < HEADER_BYTES or not blob.startswith(MAGIC):
        return False
    return bool(_header.unpack_from(blob)[3] & ENCRYPTED)


def _without(head: bytes) -> bytes:
    """The header without the flag: where nothing but that was damaged, no key is missing."""
    magic, version, kind, flags = _header.unpack(head)
    return _header.pack(magic, version, kind, flags & ~ENCRYPTED)


def located(place: Place, error: Malformed | NewerFormat) -> Damaged | NewerFormat:
    """What is wrong with a verified payload, with the place it is at."""
    if isinstance(error, NewerFormat):
        return NewerFormat(f"{place}: {error}")
    return Damaged(f"{place}: {error}", form="content", place=str(place))


def payload_bytes(start: bytes, stored_bytes: int) -> int:
    """How long the payload of a blob claims to be, by its first `HEADER_BYTES + 18` bytes.

    For plans only: nothing is verified, and what makes no sense counts as it is stored.

    Example:
        >>> blob = seal(Kind.RECORD, Place(bytes(16), bytes(16), 0, 1), bytes(5000))
        >>> len(blob) < 100, payload_bytes(blob[:26], len(blob))
        (True, 5000)
    """
    size = stored_bytes - HEADER_BYTES - TAG_BYTES
    flags = _header.unpack_from(start)[3] if len(start) >= HEADER_BYTES else 0
    if flags & ENCRYPTED and len(start) >= CLAIMED_AT + _claimed.size:
        claimed: int = _claimed.unpack_from(start, CLAIMED_AT)[0]
        return claimed
    if not flags & COMPRESSED:
        return max(size, 0)
    return compress.claimed_bytes(start[HEADER_BYTES:], size)


def _tag(place: Place, head: bytes, body: bytes) -> bytes:
    digest = blake2b(place.bound() + head, digest_size=TAG_BYTES, person=b"perdure.seal")
    digest.update(body)
    return digest.digest()
