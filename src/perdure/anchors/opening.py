"""From what `Store` is given for an anchor to the backend of a store that has one."""

from __future__ import annotations

import os

from perdure.anchors.backend import AnchoredBackend
from perdure.anchors.file import FileAnchor
from perdure.anchors.protocol import Anchor
from perdure.backends.protocol import Backend
from perdure.errors import UsageError


def anchored(
    backend: Backend, anchor: str | os.PathLike[str] | Anchor, *, read_only: bool
) -> AnchoredBackend:
    """A backend with the anchor that was given; nothing is read of it yet.

    Raises:
        UsageError: it is none.
    """
    if isinstance(anchor, str | os.PathLike):
        return AnchoredBackend(backend, FileAnchor(anchor), read_only=read_only)
    if not (hasattr(anchor, "get") and hasattr(anchor, "put")):
        raise UsageError(
            f"an anchor is a path, or an object with get(name) and put(name, mark), not {anchor!r}"
        )
    return AnchoredBackend(backend, anchor, read_only=read_only)
