"""From what `Store` is given for a key to the backend of an encrypted store."""

from __future__ import annotations

import os
from typing import Any

from perdure.backends.protocol import Backend
from perdure.backends.url import backend_for
from perdure.keys.backend import KeyedBackend
from perdure.keys.providers import root_key


def keyed(
    backend: Backend,
    key: Any,
    keys_url: str | os.PathLike[str] | Backend | None,
    hide_names: bool,
    options: dict[str, Any],
) -> KeyedBackend:
    """A backend with the root key that was given; nothing is opened yet.

    Raises:
        UsageError: it is no key.
        InvalidStoreURL: `keys_url` names no store.
    """
    apart: Backend | None = None
    if isinstance(keys_url, str | os.PathLike):
        apart = backend_for(keys_url, **options)
    elif keys_url is not None:
        apart = keys_url
    return KeyedBackend(backend, root_key(key), apart=apart, hide_names=hide_names)
