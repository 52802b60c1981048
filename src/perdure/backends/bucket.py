"""An object store in memory, and what the store of states keeps in it."""

from __future__ import annotations

import threading

import msgspec

from perdure.backends.in_process import new_store
from perdure.backends.lines import holds
from perdure.engine.requests import HeadRow, RecordRow, Tail


class Bucket:
    """An object store: each operation is atomic, and no two of them are."""

    def __init__(self) -> None:
        self.info = new_store()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[int, bytes]] = {}
        self._versions = 0

    def get(self, name: str) -> tuple[int, bytes] | None:
        """The object's version and bytes, or None."""
        return self._objects.get(name)

    def put(self, name: str, data: bytes, *, version: int | None = None) -> bool:
        """Put an object if the one there has `version` (None: if there is none)."""
        with self._lock:
            present = self._objects.get(name)
            if (present[0] if present else None) != version:
                return False
            self._versions += 1
            self._objects[name] = self._versions, bytes(data)
            return True

    def replace(self, name: str, data: bytes) -> None:
        """Put an object whatever is there, as a new version of it."""
        with self._lock:
            self._versions += 1
            self._objects[name] = self._versions, bytes(data)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Remove an object, if it is there and has `version` (None: any)."""
        with self._lock:
            present = self._objects.get(name)
            if present and version in (None, present[0]):
                del self._objects[name]

    def sizes(self, prefix: str) -> dict[str, int]:
        """All names with this prefix, in order, and the bytes of each object."""
        with self._lock:
            there = sorted(name for name in self._objects if name.startswith(prefix))
            return {name: len(self._objects[name][1]) for name in there}

    def names(self, prefix: str) -> list[str]:
        """All names with this prefix, in order."""
        return list(self.sizes(prefix))

    def size_bytes(self) -> int:
        """Bytes of all objects."""
        with self._lock:
            return sum(len(data) for _, data in self._objects.values())


class Row(msgspec.Struct, array_like=True, frozen=True):
    """Records within an object."""

    incarnation: bytes
    line: int
    number: int
    blob: bytes
    count: int = 1

    @classmethod
    def of(cls, incarnation: bytes, row: RecordRow) -> Row:
        """A row as it is kept."""
        return cls(bytes(incarnation), row.line, row.number, bytes(row.blob), row.count)

    @property
    def record(self) -> RecordRow:
        """The row as it was given."""
        return RecordRow(self.line, self.number, self.blob, self.count)

    def is_in(self, incarnation: bytes, line: int, first: int, last: int) -> bool:
        """Whether it holds any of these records."""
        is_of_line = self.incarnation == incarnation and self.line == line
        return is_of_line and holds(self.number, self.count, first, last)


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """Where records of one line that are no longer inline are kept."""

    name: str
    incarnation: bytes
    line: int
    first: int
    last: int

    def may_hold(self, incarnation: bytes, line: int, first: int, last: int) -> bool:
        """Whether any of these records may be in it."""
        is_of_line = self.incarnation == incarnation and self.line == line
        return is_of_line and self.first <= last and first <= self.last


class HeadObject(msgspec.Struct, array_like=True, frozen=True):
    """All that decides what a state is."""

    token: bytes
    blob: bytes
    incarnation: bytes
    line: int
    after: int
    page: bytes | None = None
    lives: list[bytes] = []
    """Every incarnation of the key, this one included."""
    inline: list[Row] = []
    segments: list[Segment] = []

    @classmethod
    def decoded(cls, data: bytes) -> HeadObject:
        """A head object as it was put."""
        return msgspec.msgpack.decode(data, type=cls)

    @property
    def row(self) -> HeadRow:
        """The head, without what the backend keeps beside it."""
        return HeadRow(self.token, self.blob)

    @property
    def tail(self) -> Tail:
        """What belongs in one round trip with it."""
        return Tail(self.incarnation, self.line, self.after, self.page)


def head_name(key: str) -> str:
    """The head object of a key."""
    return f"head/{key}"


def page_name(incarnation: bytes, id_: bytes = b"") -> str:
    """The object of a page; without an id, what the names of all pages begin with."""
    return f"page/{incarnation.hex()}/{id_.hex()}"


def key_name(owner: bytes) -> str:
    """The object of a wrapped key; without an owner the store's own."""
    return f"key/{owner.hex()}"


def erased_name(incarnation: bytes) -> str:
    """The receipt of an incarnation that was erased."""
    return f"erased/{incarnation.hex()}"


def segment_name(incarnation: bytes) -> str:
    """What the names of an incarnation's segments begin with."""
    return f"segment/{incarnation.hex()}/"


def staged_name(incarnation: bytes) -> str:
    """What the names of an incarnation's staged rows begin with; line, number and count follow."""
    return f"staged/{incarnation.hex()}/"


def staging_name(incarnation: bytes) -> str:
    """The object that tells when a staging was last added to."""
    return f"staging/{incarnation.hex()}"
