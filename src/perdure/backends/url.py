"""From the URL of a store to its backend."""

from __future__ import annotations

import os
import re
from typing import Any

from perdure.backends.protocol import Backend
from perdure.errors import InvalidStoreURL

KNOWN = (
    "agents.db or another path",
    "sqlite:///relative.db",
    "sqlite:////absolute/path.db",
    "memory:",
    "memory:NAME",
    "memory+objects:NAME",
)
"""The forms of a store's URL."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
"""Two letters or more: one letter and a colon begin a path on Windows."""


def backend_for(url: str | os.PathLike[str], **options: Any) -> Backend:
    """The backend that a URL or path names; nothing is opened yet.

    `options` are those of `SqliteBackend`; a store in memory has none and ignores them.

    Raises:
        InvalidStoreURL: it is no URL of a store; the message lists what is.

    Example:
        >>> backend_for("memory:scratch").connect().format
        1
    """
    if not isinstance(url, str):
        return _sqlite(os.fspath(url), options)
    if not url:
        raise _unknown(url)
    matched = _SCHEME.fullmatch(url)
    if matched is None or url == ":memory:":
        return _sqlite(url, options)
    scheme, rest = matched[1].lower(), matched[2]
    match scheme:
        case "sqlite":
            if not rest.startswith("///") or len(rest) == 3:
                raise _unknown(url)
            return _sqlite(rest[3:], options)
        case "memory":
            from perdure.backends.memory import MemoryBackend

            return MemoryBackend(rest)
        case "memory+objects":
            from perdure.backends.objects import ObjectBackend

            return ObjectBackend(rest)
        case _:
            raise _unknown(url)


def _sqlite(path: str, options: dict[str, Any]) -> Backend:
    from perdure.backends.sqlite import SqliteBackend

    return SqliteBackend(path, **options)


def _unknown(url: str) -> InvalidStoreURL:
    hint = ""
    if _SCHEME.fullmatch(url):
        hint = f" (a file of that name: './{url}')"
    return InvalidStoreURL(f"{url!r} is not the URL of a store{hint}. Known: {', '.join(KNOWN)}.")
