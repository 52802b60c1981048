"""Deriving keys from keys: HKDF-SHA256 (RFC 5869), of one block."""

from __future__ import annotations

import hmac

KEY_BYTES = 32
"""Every key is one of AES-256."""


def derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    """The key of `KEY_BYTES` that a key, a salt and a purpose give.

    Example:
        >>> derive(bytes(32), bytes(16), b"a purpose") == derive(bytes(32), bytes(16), b"another")
        False
    """
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
