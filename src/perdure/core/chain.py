"""The hash chain over a line's records: it commits to what was saved, not to how it is stored.

    leaf   = H(salt ‖ incarnation ‖ line ‖ number ‖ canonical record)
    hash_n = H(hash_{n-1} ‖ leaf_n)          hash_0 = 32 zero bytes

H is BLAKE2b-256 (RFC 7693); line and number are 8 bytes, big-endian. The salt is stored inside the
sealed body, so that a leaf left behind by redaction does not let anyone guess what was redacted.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

HASH_BYTES = 32
SALT_BYTES = 16
ORIGIN = bytes(HASH_BYTES)
"""The hash before a line's first record."""

_numbers = struct.Struct(">QQ").pack
_hash = blake2b(digest_size=HASH_BYTES).copy
"""A hash of nothing yet: to copy one takes a fraction of what making one does."""


def leaf(salt: bytes, incarnation: bytes, line: int, number: int, canonical: bytes) -> bytes:
    """What the chain commits to for one record."""
    digest = _hash()
    digest.update(salt + incarnation + _numbers(line, number))
    digest.update(canonical)
    return digest.digest()


def link(parent: bytes, leaf_hash: bytes) -> bytes:
    """The chain hash after a record, from the one before it."""
    digest = _hash()
    digest.update(parent + leaf_hash)
    return digest.digest()
