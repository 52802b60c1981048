"""A disk whose sync takes its time: an apsw VFS over the real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

NAME = "perdure-slow-disk"


class _File(apsw.VFSFile):
    """A real file, synced for real, after a wait during which other threads run."""

    def __init__(
        self, name: apsw.URIFilename | str | None, flags: list[int], wait_s: float
    ) -> None:
        super().__init__("", name, flags)
        self._wait_s = wait_s

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        time.sleep(self._wait_s)
        super().xSync(flags)


class _Disk(apsw.VFS):
    def __init__(self, wait_s: float) -> None:
        super().__init__(NAME, "")
        self._wait_s = wait_s

    def xOpen(  # noqa: N802 - SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(name, flags, self._wait_s)


@contextmanager
def slow_disk(wait_s: float) -> Iterator[str]:
    """Name of a VFS whose every sync takes `wait_s` seconds more."""
    disk = _Disk(wait_s)
    try:
        yield NAME
    finally:
        disk.unregister()
