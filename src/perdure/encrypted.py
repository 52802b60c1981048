"""Telling an encrypted store from one in the clear, without loading what opens it."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.backends.protocol import Backend, StoreInfo
from perdure.engine.requests import ReadKeys
from perdure.errors import GIVE_KEY, KeyMissing

STORE = b""
"""The owner of the store's own key row."""
ERASURES = b"perdure.erasures"
"""The owner of the data key that receipts of erasures are sealed with; no incarnation is so."""


def root_id(backend: Backend) -> str | None:
    """The id of the root key that a store is encrypted under; None: it is in the clear."""
    found = backend.perform(ReadKeys((STORE,)))
    return _root_of(found[0].blob) if found else None


def _root_of(blob: bytes) -> str:
    try:
        row: Any = msgspec.msgpack.decode(blob)
        return str(row[2])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return "(which cannot be read)"


def require_key(backend: Backend, info: StoreInfo) -> None:
    """That whoever opened a store can read it.

    Raises:
        KeyMissing: it is encrypted, and no key was given.
    """
    if info.key and not getattr(backend, "is_keyed", False):
        root = _root_of(info.key)
        raise KeyMissing(f"the store is encrypted under root key {root}; {GIVE_KEY}")
