"""Anchors: what knows, outside of a store, how far its states had come."""

from __future__ import annotations

from perdure.anchors.file import FileAnchor
from perdure.anchors.protocol import Anchor

__all__ = ["Anchor", "FileAnchor"]
