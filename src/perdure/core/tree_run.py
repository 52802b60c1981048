"""One page of content of a tree that is being edited."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from perdure.core.codec import pack
from perdure.core.page import Ref


class Run:
    """A page of content as it is edited: not read yet, or read, or changed."""

    __slots__ = ("content", "hashes", "is_changed", "ref", "size")

    def __init__(self, ref: Ref | None, content: Any = None) -> None:
        self.ref = ref
        self.content = content
        self.hashes: array[int] | None = None
        """Of the packed keys of a map's page that was looked at, in order."""
        self.is_changed = ref is None
        self.size = ref.count if ref is not None else len(content)

    def set(self, content: Any) -> None:
        """Hold other content."""
        self.content, self.size, self.is_changed = content, len(content), True

    def know(self, packed_keys: Iterable[bytes]) -> None:
        """Know the keys of a map's page again, which is not kept."""
        if self.hashes is None:
            self.hashes = array("q", sorted(map(hash, packed_keys)))

    def may_hold(self, key: str | int) -> bool:
        """Whether a map's page that is not in memory may hold a key."""
        if self.hashes is None:
            return True
        digest = hash(pack(key))
        at = bisect_left(self.hashes, digest)
        return at < len(self.hashes) and self.hashes[at] == digest
