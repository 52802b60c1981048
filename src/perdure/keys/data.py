"""The data keys of one state, and the blobs that they seal and open (P5).

An encrypted blob is a prefix in the clear and what AES-256-GCM makes of the body:

    magic(4) ‖ format(1) ‖ kind(1) ‖ flags(2) ‖ generation(2) ‖ length(4) ‖ nonce(12) ‖ salt(16)
    ‖ incarnation(16), of a head only ‖ ciphertext ‖ tag(16)

A writer draws a salt, derives a key from the data key by it, and seals under random nonces. So a
key has one process that counts what it sealed, and the limit of such nonces is kept exactly,
whatever was forked, copied or restored.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from itertools import count

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perdure import limits
from perdure.core.compress import claimed_bytes
from perdure.core.seal import (
    CLAIMED_AT,
    COMPRESSED,
    ENCRYPTED,
    FORMAT,
    HEADER_BYTES,
    MAGIC,
    NAMED,
    TAG_BYTES,
    Kind,
    Place,
    numbered,
)
from perdure.engine.requests import HeadRow, RecordRow
from perdure.errors import KeyMissing, Tampered
from perdure.keys.derive import KEY_BYTES, derive

NONCE_BYTES = 12
SALT_BYTES = 16
OWNER_BYTES = 16
_clear = struct.Struct(f">HI{NONCE_BYTES}s{SALT_BYTES}s")
_pack = struct.Struct(f">4sBBHHI{NONCE_BYTES}s{SALT_BYTES}s").pack
PREFIX_BYTES = HEADER_BYTES + _clear.size
assert CLAIMED_AT == HEADER_BYTES + 2

HEADS, ROWS = b"perdure.heads", b"perdure.rows"
"""What a key is derived for: heads are replaced, and everything else stays."""

_HEAD = int(Kind.HEAD)
_name_length = struct.Struct(">H")


_forks = [0]
"""How often this process was forked from another since it began: a child seals with other keys."""


def _note_fork() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class _Writer:
    """A derived key that this process alone seals with."""

    __slots__ = ("encrypt", "forks", "generation", "salt", "sealed")

    def __init__(self, generation: int, key: bytes, purpose: bytes) -> None:
        self.salt = os.urandom(SALT_BYTES)
        self.encrypt = AESGCM(derive(key, self.salt, purpose)).encrypt
        self.generation = generation
        self.sealed = count(2)
        """Counts messages, but for the first, for which it is made; one step of it is atomic."""
        self.forks = _forks[0]


class _Bounds:
    """What the blobs of a state's saves are bound to, made once for all of them."""

    __slots__ = ("head", "key", "line", "store")

    def __init__(self, store: bytes, key: str, owner: bytes) -> None:
        self.store, self.key = store, key
        self.head = Place(store, key.encode()).bound()
        self.line = Place(store, owner).bound()[: -len(numbered(0, 0))]
        """Of a record, without its numbers."""


class DataKeys:
    """The data keys of one incarnation: the newest seals, and all open."""

    __slots__ = (
        "_bounds",
        "_of_heads",
        "_of_rows",
        "_readers",
        "is_new",
        "keys",
        "newest",
        "owner",
        "row",
    )

    def __init__(self, owner: bytes, keys: Mapping[int, bytes], row: bytes = b"") -> None:
        self.owner = owner
        """The incarnation, or the id of an export file."""
        self.keys = dict(keys)
        """By generation."""
        self.newest = max(keys)
        self.row = row
        """Where they were read from, as it was stored."""
        self.is_new = False
        """Whether the row has yet to be stored, by a commit of its state: none was told to land."""
        self._bounds: _Bounds | None = None
        self._of_heads: _Writer | None = None
        self._of_rows: _Writer | None = None
        self._readers: dict[tuple[int, bytes, bytes], AESGCM] = {}

    @classmethod
    def drawn(cls, owner: bytes) -> DataKeys:
        """A new key, of which nobody knows yet."""
        return cls(owner, {1: os.urandom(KEY_BYTES)})

    def renewed(self) -> DataKeys:
        """These, and a new one that seals from now on."""
        return DataKeys(self.owner, {**self.keys, self.newest + 1: os.urandom(KEY_BYTES)})

    def only_newest(self) -> DataKeys:
        """These without the former ones, which nothing is sealed with any more."""
        return DataKeys(self.owner, {self.newest: self.keys[self.newest]})

    # ---- sealing ----------------------------------------------------------------------------

    def seal(self, place: Place, blob: bytes, name: bytes | None = None) -> bytes:
        """A blob in the clear as one that only these keys open, at the same place.

        `name` goes with it, before the body.
        """
        return self._sealed(place.bound(), blob, os.urandom(NONCE_BYTES), name)

    def seal_save(
        self,
        store: bytes,
        key: str,
        head: HeadRow,
        records: tuple[RecordRow, ...],
        name: bytes | None = None,
    ) -> tuple[HeadRow, tuple[RecordRow, ...]]:
        """A head, which is stored under `key`, and records: each as `seal` makes it, in less time.

        `name` goes with the head.
        """
        bounds = self._bounds
        if bounds is None or bounds.key != key or bounds.store is not store:
            bounds = self._bounds = _Bounds(store, key, self.owner)
        nonces = os.urandom(NONCE_BYTES * (1 + len(records)))  # a call to the system: only one
        blob = self._sealed(bounds.head, head.blob, nonces[:NONCE_BYTES], name)
        rows: list[RecordRow] = []
        at = NONCE_BYTES
        for row in records:
            end = at + NONCE_BYTES
            bound = bounds.line + numbered(row.line, row.number)
            sealed = self._sealed(bound, row.blob, nonces[at:end], None)
            rows.append(RecordRow(row.line, row.number, sealed, row.count))
            at = end
        return HeadRow(head.token, blob), tuple(rows)

    def _sealed(self, bound: bytes, blob: bytes, nonce: bytes, name: bytes | None) -> bytes:
        kind, flags = blob[5], blob[6] << 8 | blob[7]
        if flags & ENCRYPTED:
            return bytes(blob)
        body = blob[HEADER_BYTES:-TAG_BYTES]
        claimed = claimed_bytes(body, len(body)) if flags & COMPRESSED else len(body)
        if name is not None:
            flags, body = flags | NAMED, _name_length.pack(len(name)) + name + body
        writer = self._of_heads if kind == _HEAD else self._of_rows
        if (
            writer is None
            or writer.forks != _forks[0]
            or next(writer.sealed) > limits.key_messages_max
        ):
            writer = self._renewed_writer(kind == _HEAD)
        prefix = _pack(
            MAGIC, FORMAT, kind, flags | ENCRYPTED, writer.generation, claimed, nonce, writer.salt
        )
        if kind == _HEAD:
            prefix += self.owner
        return prefix + writer.encrypt(nonce, body, bound + prefix)

    def _renewed_writer(self, is_head: bool) -> _Writer:
        writer = _Writer(self.newest, self.keys[self.newest], HEADS if is_head else ROWS)
        if is_head:
            self._of_heads = writer
        else:
            self._of_rows = writer
        return writer

    # ---- opening ----------------------------------------------------------------------------

    def open(self, place: Place, blob: bytes) -> tuple[int, bytes, bytes]:
        """Verify and decrypt a blob at its place: the flags left, the name with it, the body.

        Raises:
            Tampered: it is not what was sealed for this place.
            KeyMissing: it was sealed with a key of a generation that is not here.
        """
        kind, flags = blob[5:6], int.from_bytes(blob[6:HEADER_BYTES], "big")
        is_head = kind == bytes([Kind.HEAD])
        size = PREFIX_BYTES + (OWNER_BYTES if is_head else 0)
        if len(blob) < size + TAG_BYTES:
            raise Tampered(
                f"{place}: only {len(blob)} bytes are left of it", form="content", place=str(place)
            )
        generation, _, nonce, salt = _clear.unpack_from(blob, HEADER_BYTES)
        prefix = blob[:size]
        cipher = self._reader(place, generation, salt, HEADS if is_head else ROWS)
        try:
            body = cipher.decrypt(nonce, blob[size:], place.bound() + prefix)
        except InvalidTag:
            raise Tampered(
                f"{place}: is not what was sealed there with the store's key; it was changed, "
                "moved, cut or forged",
                form="content",
                place=str(place),
            ) from None
        name = b""
        if flags & NAMED:
            end = _name_length.size + _name_length.unpack_from(body)[0]
            name, body = body[_name_length.size : end], body[end:]
        return flags & ~(ENCRYPTED | NAMED), name, body

    def _reader(self, place: Place, generation: int, salt: bytes, purpose: bytes) -> AESGCM:
        found = self._readers.get((generation, salt, purpose))
        if found is None:
            key = self.keys.get(generation)
            if key is None:
                raise KeyMissing(
                    f"{place}: was sealed with data key {generation} of {self.owner.hex()[:12]}, "
                    f"and there is no such key here (there {_are(self.keys)})"
                )
            found = AESGCM(derive(key, salt, purpose))
            if len(self._readers) >= limits.derived_keys_kept_max:
                self._readers.clear()
            self._readers[generation, salt, purpose] = found
        return found


def owner_of_head(blob: bytes) -> bytes | None:
    """The incarnation that an encrypted head names in the clear; None of any other blob."""
    is_locked = len(blob) >= PREFIX_BYTES + OWNER_BYTES + TAG_BYTES and is_encrypted(blob)
    return blob[PREFIX_BYTES : PREFIX_BYTES + OWNER_BYTES] if is_locked else None


def is_encrypted(blob: bytes) -> bool:
    """Whether a blob says that it is."""
    return len(blob) >= HEADER_BYTES and bool(blob[6] << 8 & ENCRYPTED)


def generation_of(blob: bytes) -> int:
    """Which data key an encrypted blob was sealed with; 0: it is in the clear."""
    if not is_encrypted(blob) or len(blob) < CLAIMED_AT:
        return 0
    return int.from_bytes(blob[HEADER_BYTES:CLAIMED_AT], "big")


def _are(keys: Mapping[int, bytes]) -> str:
    return "are " + ", ".join(map(str, sorted(keys))) if len(keys) > 1 else f"is {max(keys)}"
