"""Telling an encrypted store from one in the clear, without loading what opens it."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.backends.protocol import Backend
from perdure.engine.requests import ReadKeys
from perdure.errors import GIVE_KEY, KeyMissing

STORE = b""
"""The owner of the store's own key row."""


def root_id(backend: Backend) -> str | None:
    """The id of the root key that a store is encrypted under; None: it is in the clear."""
    found = backend.perform(ReadKeys((STORE,)))
    if not found:
        return None
    try:
        row: Any = msgspec.msgpack.decode(found[0].blob)
        return str(row[2])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return "(which cannot be read)"


def require_key(backend: Backend) -> None:
    """That whoever opened a store can read it.

    Raises:
        KeyMissing: it is encrypted, and no key was given.
    """
    if getattr(backend, "is_keyed", False):
        return  # it opened its keys
    root = root_id(backend)
    if root is not None:
        raise KeyMissing(f"the store is encrypted under root key {root}; {GIVE_KEY}")
