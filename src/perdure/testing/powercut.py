"""A disk that loses power: what SQLite wrote but did not sync may be lost, kept or torn.

`PowerCut` is an apsw VFS. It passes every write through to real files, so that SQLite works as
usual, and keeps beside them what a disk would hold: each file as of its last sync, and the writes
since. `survivors` then makes the files that a power cut at this moment could leave: of the writes
since the last sync each is kept, dropped, or kept in part, sector by sector, as the seed says. They
need not survive in the order in which they were made. A file that was never synced may be missing.

Example:
    >>> with PowerCut() as disk:
    ...     backend = SqliteBackend("agents.db", vfs=disk.name)
    ...     ...
    ...     disk.survivors(Path("after"), seed=1)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import apsw

SECTOR_BYTES = 512

_KEPT_FLAGS = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written at an offset, or the file cut to a size."""

    offset: int
    data: bytes | None

    def apply(self, image: bytearray) -> None:
        """Do to `image` what the write does to a file."""
        if self.data is None:
            del image[self.offset :]
            return
        if len(image) < self.offset:
            image.extend(bytes(self.offset - len(image)))
        image[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, random: Random) -> list[Write]:
        """The sectors of the write that reached the disk."""
        if self.data is None:
            return [self]
        parts, start, end = [], self.offset, self.offset + len(self.data)
        while start < end:
            stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
            if random.random() < 0.5:
                parts.append(Write(start, self.data[start - self.offset : stop - self.offset]))
            start = stop
        return parts


@dataclass(slots=True)
class Image:
    """One file as the disk holds it."""

    synced: bytearray = field(default_factory=bytearray)
    writes: list[Write] = field(default_factory=list)
    is_named: bool = False
    """Whether its name is certain to survive."""

    def sync(self) -> None:
        """All that was written is on the disk now."""
        for write in self.writes:
            write.apply(self.synced)
        self.writes.clear()
        self.is_named = True

    def give_up(self) -> None:
        """A sync failed: what was written since the last one is read as before, and never kept."""
        self.writes.clear()

    def survivor(self, random: Random) -> bytes | None:
        """What is left of it after a power cut; None: not even the name."""
        if not self.is_named and random.random() < 0.5:
            return None
        image = bytearray(self.synced)
        # Some cuts lose nearly all, some nearly nothing: both ends are where bugs are.
        keep = random.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        for write in self.writes:
            if random.random() < keep:
                write.apply(image)
            elif random.random() < 0.3:
                for part in write.torn(random):
                    part.apply(image)
        return bytes(image)


class PowerCut(apsw.VFS):
    """A VFS that knows what a power cut would leave; use it as a context manager.

    `on_operation` is called after each write, truncation and sync, with its name: the moments at
    which a cut makes a difference. `syncs_to_fail` makes that many of the next syncs fail as Linux
    lets them: what could not be written is given up, and later syncs succeed without it.
    """

    def __init__(self, on_operation: Callable[[str], None] | None = None) -> None:
        self.name = f"powercut-{uuid4().hex}"
        self.images: dict[str, Image] = {}
        self.on_operation = on_operation
        self.syncs_to_fail = 0
        super().__init__(self.name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()

    def did(self, operation: str) -> None:
        """Tell the observer of an operation."""
        if self.on_operation:
            self.on_operation(operation)

    def survivors(self, directory: Path, *, seed: int) -> None:
        """Write the files that a power cut now could leave to `directory`."""
        random = Random(seed)
        for path, image in list(self.images.items()):
            left = image.survivor(random)
            if left is not None:
                (directory / os.path.basename(path)).write_bytes(left)

    def xOpen(  # noqa: N802 (SQLite's name)
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file; the database and its logs are followed."""
        if name is None or not flags[0] & _KEPT_FLAGS:
            return super().xOpen(name, flags)
        path = name if isinstance(name, str) else name.filename()
        if path not in self.images:
            there = Path(path).read_bytes() if os.path.exists(path) else b""
            self.images[path] = Image(bytearray(there), is_named=os.path.exists(path))
        return CutFile(self, self.images[path], name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 (SQLite's name)
        """Delete a file. Its name is taken to be gone: SQLite has no use of one it deleted."""
        super().xDelete(filename, syncdir)
        self.images.pop(filename, None)
        self.did("delete")


class CutFile(apsw.VFSFile):
    """A file whose unsynced writes are known."""

    def __init__(
        self, disk: PowerCut, image: Image, name: str | apsw.URIFilename, flags: list[int]
    ) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._image = image

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 (SQLite's name)
        """Write through, and take note."""
        super().xWrite(data, offset)
        self._image.writes.append(Write(offset, bytes(data)))
        self._disk.did("write")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 (SQLite's name)
        """Truncate, and take note."""
        super().xTruncate(newsize)
        self._image.writes.append(Write(newsize, None))
        self._disk.did("truncate")

    def xSync(self, flags: int) -> None:  # noqa: N802 (SQLite's name)
        """Sync: from now on what was written survives."""
        # A cut in the middle of a sync may leave anything: the observer sees the state before it.
        self._disk.did("syncing")
        if self._disk.syncs_to_fail:
            self._disk.syncs_to_fail -= 1
            self._image.give_up()
            raise apsw.IOError("the sync failed, as planted")
        super().xSync(flags)
        self._image.sync()
        self._disk.did("sync")
