"""The receipt of an erasure: what is left of a life of a state, which says what there was (P7, P8).

It has no content of the state, and the state's name only where that was asked for; a hash of the
name, keyed with the store's id, lets who knows the name find it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from perdure import limits
from perdure.core.codec import unpack
from perdure.core.seal import ERASED_OWNER, Kind, Place, damaged_at, located, seal, unseal
from perdure.errors import Malformed, NewerFormat

NAME_BYTES = 32


class Receipt(msgspec.Struct, frozen=True):
    """What is kept of one life of a state that was erased."""

    at: int
    """When (microseconds since 1970 UTC)."""
    name: Annotated[bytes, msgspec.Meta(min_length=NAME_BYTES, max_length=NAME_BYTES)]
    """`name_hash` of the state's key."""
    life: int
    """Which life of the key it was, from 1 on."""
    made: int
    """When the life began (microseconds since 1970 UTC)."""
    checkpoints: int
    """Records that were stored, on whatever line."""
    rows: int
    """Rows that held them."""
    pages: int
    size: int = msgspec.field(name="bytes")
    """What rows and pages took (bytes)."""
    hash: bytes
    """Chain hash of the newest checkpoint of `main`."""
    reason: str | None = None
    key: str | None = None
    """The state's key, if it was to be kept."""


_encode = msgspec.msgpack.Encoder().encode


def name_hash(store: bytes, key: str) -> bytes:
    """What a receipt has of a name.

    Example:
        >>> name_hash(bytes(16), "support/alice").hex()[:16]
        'b8f1a5a6a9660634'
    """
    named = key.encode(errors="surrogateescape")
    return blake2b(named, digest_size=NAME_BYTES, key=store, person=b"perdure.erased").digest()


def place_of(store: bytes, incarnation: bytes) -> Place:
    """Where the receipt of an incarnation belongs."""
    return Place(store, ERASED_OWNER + incarnation)


def seal_receipt(receipt: Receipt, *, store: bytes, incarnation: bytes) -> bytes:
    """A receipt as stored."""
    return seal(Kind.ERASED, place_of(store, incarnation), _encode(receipt))


def open_receipt(blob: bytes, *, store: bytes, incarnation: bytes) -> Receipt:
    """Verify and decode a stored receipt (P5).

    Raises:
        Damaged: it is not the receipt that was stored for this incarnation.
        NewerFormat: it needs a newer Perdure.
    """
    place = place_of(store, incarnation)
    payload = unseal(Kind.ERASED, place, blob, limits.receipt_bytes_max)
    try:
        wire: Any = unpack(payload)
        return msgspec.convert(wire, Receipt)
    except NewerFormat as error:
        raise located(place, error) from error
    except (Malformed, msgspec.ValidationError) as error:
        raise damaged_at(place, f"does not hold a receipt ({error})") from error
