"""Root keys of encrypted stores: `Store(url, key=…)` takes any of these.

Nothing here is loaded for a store without a key.

Example:
    >>> from perdure.keys import EnvironmentKey
    >>> perdure.Store("agents.db", key=EnvironmentKey("PERDURE_KEY"))
"""

from __future__ import annotations

from perdure.keys.providers import (
    EnvironmentKey,
    FileKey,
    KeyringKey,
    LocalKey,
    PassphraseKey,
)
from perdure.keys.ring import RootKey

__all__ = [
    "EnvironmentKey",
    "FileKey",
    "KeyringKey",
    "LocalKey",
    "PassphraseKey",
    "RootKey",
]
