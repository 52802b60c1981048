"""An anchor in a file: marks are added at its end, and it is written anew when it has grown."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec

from perdure import limits
from perdure.errors import Malformed, StoreUnavailable
from perdure.events import log
from perdure.newfile import sync_directory

MAGIC = b"PERDANCH"
_length = struct.Struct(">I")
_SUM_BYTES = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes | None]).decode


class FileAnchor:
    """Marks in a file of this machine, which any number of processes may share.

    Keep it where whoever can write to the store cannot write. A lock file stands beside it.

    Args:
        path: the file; it is made when the first mark is kept.

    Example:
        >>> anchor = FileAnchor("anchors.db")
        >>> anchor.get("support/alice") is None
        True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.fspath(path))
        self._renew()

    def _renew(self) -> None:
        self._pid, self._door = os.getpid(), threading.RLock()
        self._marks: dict[str, bytes] = {}
        self._seen: tuple[int, int, int] | None = None
        """The file's number, size and time when it was read last."""
        self._end = 0
        """Where what was read of it ends; what comes after is torn."""

    # ---- reading ----------------------------------------------------------------------------

    def get(self, name: str) -> bytes | None:
        """The mark that is kept under a name, or None."""
        return self._now().get(name)

    def names(self) -> list[str]:
        """All names that there is a mark of."""
        return sorted(self._now())

    def _now(self) -> dict[str, bytes]:
        if self._pid != os.getpid():
            self._renew()
        with self._door:
            if self._stat() != self._seen:
                with self._locked():
                    self._read()
            return self._marks

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> None:
        """Read what was added; the lock is held."""
        now = self._stat()
        is_same = now and self._seen and now[0] == self._seen[0] and now[1] >= self._end
        if not is_same:
            self._marks, self._end = {}, 0
        if now is not None:
            with self.path.open("rb") as file:
                file.seek(self._end)
                data = file.read()
            if self._end == 0:
                if data and not MAGIC.startswith(data[: len(MAGIC)]):
                    raise Malformed(f"{self.path} is no anchor; it was not touched")
                if len(data) >= len(MAGIC):
                    data, self._end = data[len(MAGIC) :], len(MAGIC)
                else:
                    data = b""
            self._take(data)
            left = now[1] - self._end
            if left > 0 and self._end:
                log.warning(
                    "%s: its last %d bytes are torn or damaged, and left out: what the anchor was "
                    "told there it does not know",
                    self.path,
                    left,
                )
        self._seen = now

    def _take(self, data: bytes) -> None:
        try:
            for name, mark, size in _entries(data):
                self._end += size
                if mark is None:
                    self._marks.pop(name, None)
                else:
                    self._marks[name] = mark
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(
                f"{self.path} has marks of a kind that is not known here; it was not touched"
            ) from error

    # ---- writing ----------------------------------------------------------------------------

    def put(self, name: str, mark: bytes) -> None:
        """Keep `mark` under `name`, whatever is kept there."""
        self._write({name: mark}, is_forward=False, sync=True)

    def advance(self, name: str, mark: bytes) -> None:
        """Keep `mark` under `name`, unless the one that is kept there is newer."""
        self.advance_all({name: mark}, sync=True)

    def advance_all(self, marks: Mapping[str, bytes], *, sync: bool) -> None:
        """The same for many `marks`, by name; if `sync`, they survive a power cut."""
        self._write(marks, is_forward=True, sync=sync)

    def forget(self, name: str) -> None:
        """Keep nothing under a name any more, nor the name: the file is written anew."""
        self._write({name: None}, is_forward=False, sync=True)

    def _write(self, marks: Mapping[str, bytes | None], *, is_forward: bool, sync: bool) -> None:
        if self._pid != os.getpid():
            self._renew()
        with self._door, self._locked():
            if self._stat() != self._seen:
                self._read()
            new = {
                name: mark
                for name, mark in marks.items()
                if not (is_forward and mark is not None and self._marks.get(name, b"") >= mark)
            }
            if not new:
                if sync and marks and self._end:
                    self._sync()  # who kept it, such as a reader, may not have
                return
            data = b"".join(_entry(name, mark) for name, mark in new.items())
            kept = {k: v for k, v in {**self._marks, **new}.items() if v is not None}
            if None in new.values() or self._is_grown(len(data), kept):
                self._replace(kept)
            else:
                self._append(data, sync=sync)
            self._marks, self._seen = kept, self._stat()

    def _is_grown(self, more: int, kept: Mapping[str, bytes]) -> bool:
        """Whether so little of the file is of use that it is written anew."""
        size = self._end + more
        if size < limits.anchor_grown_bytes:
            return False
        return size > 2 * sum(len(mark) + 4 * len(name) + 32 for name, mark in kept.items())

    def _append(self, data: bytes, *, sync: bool) -> None:
        start = b"" if self._end else MAGIC
        with self.path.open("r+b" if self._stat() else "w+b") as file:
            file.truncate(self._end)  # what a crash left of an entry
            file.seek(self._end)
            try:
                file.write(start + data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(self._end)  # a second sync would not tell what the first one lost
                raise
        if start and sync:
            sync_directory(str(self.path.parent))
        self._end += len(start) + len(data)

    def _sync(self) -> None:
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        sync_directory(str(self.path.parent))

    def _replace(self, kept: Mapping[str, bytes]) -> None:
        data = MAGIC + b"".join(_entry(name, mark) for name, mark in kept.items())
        new = self.path.with_name(self.path.name + ".new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        sync_directory(str(self.path.parent))
        self._end = len(data)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes; where nothing can be written, reading goes without."""
        try:
            handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if not self.path.parent.is_dir():
                raise StoreUnavailable(f"the anchor cannot be at {self.path}: {error}") from error
            yield
            return
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)


def _entry(name: str, mark: bytes | None) -> bytes:
    body = _encode((name.encode(errors="surrogateescape"), mark))
    return _length.pack(len(body)) + body + blake2b(body, digest_size=_SUM_BYTES).digest()


def _entries(data: bytes) -> Iterator[tuple[str, bytes | None, int]]:
    """What was added whole: name, mark, and the bytes it takes."""
    at = 0
    while at + _length.size <= len(data):
        end = at + _length.size + _length.unpack_from(data, at)[0]
        body, total = data[at + _length.size : end], data[end : end + _SUM_BYTES]
        if blake2b(body, digest_size=_SUM_BYTES).digest() != total:
            return
        name, mark = _decode(body)
        yield name.decode(errors="surrogateescape"), mark, end + _SUM_BYTES - at
        at = end + _SUM_BYTES


def _lock(handle: int) -> None:
    """Wait for the lock of a file; it is given back when the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined, unused-ignore]  # of Windows alone
    else:
        fcntl.flock(handle, fcntl.LOCK_EX)
