"""The rows of a SQLite file that SQLite may not be able to read any more, page by page.

Nothing here trusts a schema, an index or a list of free pages: every page that may hold rows is
taken by itself. What comes out may be anything; whoever asks has to know a right row by its
checksum. The file is only read. See `docs/design/0024-damage.md`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from perdure import limits
from perdure.errors import StoreUnavailable

Row: TypeAlias = tuple[Any, ...]
"""The values of a row: bytes (text too, as it is stored), integers, or None."""

_LEAF, _OTHERS = 0x0D, {0x02, 0x05, 0x0A}
"""Kinds of pages: those that hold rows of a table, and those that hold none."""
_KEYED, _INNER_KEYED = {0x02, 0x0A}, 0x02
"""Those of indexes, and of tables without row ids; of these, the ones above the lowest."""
_FILE_HEADER, _LEAF_HEADER, _INNER_HEADER = 100, 8, 12
_WAL_HEADER, _FRAME_HEADER = 32, 24
_WAL_MAGIC = 0x377F0682
_SIZES = [512 << shift for shift in range(8)]
_TRUNKS_MAX = 100_000


class SalvagedFile:
    """A SQLite file with its log, as bytes; use it as a context manager.

    Example:
        >>> with SalvagedFile(Path("broken.db")) as file:
        ...     rows = list(file.rows())
    """

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        self._data = self._mapped(path)
        self._log = self._mapped(path.with_name(path.name + "-wal"), must_exist=False)
        self.page_bytes = self._page_bytes()
        self._newer = self._frames()
        """Where in the log the newest version of a page is, by its number."""
        count = -(-len(self._data) // self.page_bytes)
        self.pages = max([count, *self._newer])
        """How many pages there are, the last of them perhaps in part."""

    def _mapped(self, path: Path, *, must_exist: bool = True) -> mmap.mmap | bytes:
        try:
            file = self._stack.enter_context(path.open("rb"))
        except OSError as error:
            if not must_exist:
                return b""
            raise StoreUnavailable(f"Cannot read {path}: {error.strerror}.") from error
        if not path.stat().st_size:
            return b""
        return self._stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the file."""
        self._stack.close()

    # ---- pages ------------------------------------------------------------------------------

    def _page_bytes(self) -> int:
        """The size of a page, as the header says; where it cannot be right, the likeliest."""
        size = int.from_bytes(self._data[16:18], "big")
        size = 65536 if size == 1 else size
        if size in _SIZES and self._looks_right(size):
            return size
        return max(_SIZES, key=self._likeliness)

    def _looks_right(self, size: int) -> bool:
        return self._likeliness(size) > 0 or len(self._data) <= size

    def _likeliness(self, size: int) -> int:
        """How many bytes are in pages of this size that begin as pages of rows do, and end so.

        A page of the right size begins where one of half the size does, too: only the end tells.
        """
        starts = range(size, len(self._data) - size + 1, size)
        return size * sum(_is_full(self._data[start : start + size]) for start in starts)

    def _frames(self) -> dict[int, int]:
        """The pages in the log that were committed, as far as its checksums agree."""
        log, size = self._log, self.page_bytes
        if len(log) < _WAL_HEADER:
            return {}
        magic, _, stated, _, salt, salt2, sum1, sum2 = struct.unpack_from(">8I", log, 0)
        stated = 65536 if stated == 1 else stated
        order = ">" if magic & 1 else "<"
        if magic & ~1 != _WAL_MAGIC or stated != size:
            return {}
        if _checksum(log[:24], order, (0, 0)) != (sum1, sum2):
            return {}
        committed: dict[int, int] = {}
        waiting: dict[int, int] = {}
        running = (sum1, sum2)
        for start in range(_WAL_HEADER, len(log) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
            number, commits, *salts, sum1, sum2 = struct.unpack_from(">6I", log, start)
            body = start + _FRAME_HEADER
            running = _checksum(log[start : start + 8], order, running)
            running = _checksum(log[body : body + size], order, running)
            if salts != [salt, salt2] or running != (sum1, sum2):
                break
            waiting[number] = body
            if commits:
                committed.update(waiting)
                waiting.clear()
        return committed

    def page(self, number: int) -> bytes:
        """The bytes of a page, the first being 1; fewer, or none, where the file ends."""
        size = self.page_bytes
        if number in self._newer:
            start = self._newer[number]
            return self._log[start : start + size]
        return self._data[(number - 1) * size : number * size]

    def _free(self) -> set[int]:
        """The pages that hold nothing any more, as far as the file tells: what was removed."""
        first = self.page(1)
        free: set[int] = set()
        trunk = int.from_bytes(first[32:36], "big")
        for _ in range(_TRUNKS_MAX):
            if not 1 < trunk <= self.pages or trunk in free:
                break
            free.add(trunk)
            page = self.page(trunk)
            count = min(int.from_bytes(page[4:8], "big"), len(page) // 4 - 2)
            leaves = struct.unpack_from(f">{max(count, 0)}I", page, 8) if count > 0 else ()
            free.update(leaf for leaf in leaves if 1 < leaf <= self.pages)
            trunk = int.from_bytes(page[:4], "big")
        return free

    # ---- rows -------------------------------------------------------------------------------

    def rows(self) -> Iterator[Row]:
        """Everything that can be read as a row of a table, page by page."""
        return (row for _, row in self.numbered_rows())

    def numbered_rows(self) -> Iterator[tuple[int, Row]]:
        """The same, each with the number of its page."""
        free = self._free()
        for number in range(1, self.pages + 1):
            if number not in free:
                for row in self._rows_of(self.page(number), _FILE_HEADER if number == 1 else 0):
                    yield number, row

    def _rows_of(self, page: bytes, start: int) -> Iterator[Row]:
        if len(page) < start + _LEAF_HEADER or page[start] in _OTHERS:
            return
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        for at in range(min(count, len(page) // 4)):
            cell = start + _LEAF_HEADER + 2 * at
            offset = int.from_bytes(page[cell : cell + 2], "big")
            row = self._row_at(page, offset)
            if row is not None:
                yield row

    def key_rows(self) -> Iterator[Row]:
        """Everything that can be read as a wrapped key."""
        return filter(_is_key, self._keyed_rows())

    def receipt_rows(self) -> Iterator[Row]:
        """Everything that can be read as the receipt of an erasure."""
        return filter(_is_receipt, self._keyed_rows())

    def _keyed_rows(self) -> Iterator[Row]:
        """Everything that can be read as a row of a table without row ids."""
        free = self._free()
        for number in range(1, self.pages + 1):
            page = self.page(number)
            if number in free or len(page) < _INNER_HEADER or page[0] not in _KEYED:
                continue
            # Pages above the lowest hold rows too, each after the number of the page below it.
            skipped = 4 if page[0] == _INNER_KEYED else 0
            header = _INNER_HEADER if skipped else _LEAF_HEADER
            count = int.from_bytes(page[3:5], "big")
            for at in range(min(count, len(page) // 4)):
                cell = header + 2 * at
                offset = int.from_bytes(page[cell : cell + 2], "big") + skipped
                size, offset = _varint(page, offset)
                row = self._payload(page, offset, size, (self.page_bytes - 12) * 64 // 255 - 23)
                if row is not None:
                    yield row

    def _row_at(self, page: bytes, offset: int) -> Row | None:
        """The row whose cell begins there; None: it cannot be one."""
        size, offset = _varint(page, offset)
        _, offset = _varint(page, offset)
        return self._payload(page, offset, size, self.page_bytes - 35)

    def _payload(self, page: bytes, offset: int, size: int, most: int) -> Row | None:
        """A row of `size` bytes, of which `most` are in its page if it does not go on elsewhere."""
        there = len(self._data) + len(self._log)
        if not 1 < size <= min(limits.salvaged_row_bytes_max, there) or offset >= len(page):
            return None
        if size <= most:
            return _values(page[offset : offset + size])
        local = _local(size, self.page_bytes, most)
        parts = [page[offset : offset + local]]
        following = int.from_bytes(page[offset + local : offset + local + 4], "big")
        left = size - local
        while left > 0:
            if not 1 < following <= self.pages:
                return None
            more = self.page(following)
            if len(more) < 5:
                return None
            following = int.from_bytes(more[:4], "big")
            parts.append(more[4 : 4 + min(left, self.page_bytes - 4)])
            left -= self.page_bytes - 4
        return _values(b"".join(parts))

    def after_each(self, mark: bytes, size: int) -> set[bytes]:
        """What stands after each occurrence of `mark` in the file or its log: so many bytes."""
        found: set[bytes] = set()
        for data in (self._data, self._log):
            at = data.find(mark)
            while at >= 0:
                found.add(bytes(data[at + len(mark) : at + len(mark) + size]))
                at = data.find(mark, at + 1)
        return found


def _is_full(page: bytes) -> bool:
    """Whether a page of rows has one that ends where the page does, as the first one put does."""
    size = len(page)
    cells = int.from_bytes(page[3:5], "big")
    if page[0] != _LEAF or not 0 < cells <= size // 4:
        return False
    last = max(struct.unpack_from(f">{cells}H", page, _LEAF_HEADER))
    row, at = _varint(page, last)
    _, at = _varint(page, at)
    return at + (row if row <= size - 35 else _local(row, size) + 4) == size


def _local(row: int, size: int, most: int | None = None) -> int:
    """How much of a row of so many bytes is in its page, which does not hold all of it."""
    least = (size - 12) * 32 // 255 - 23
    local = least + (row - least) % (size - 4)
    return local if local <= (size - 35 if most is None else most) else least


def _is_key(row: Row) -> bool:
    """Whether these values can be the owner of a key, and the key."""
    owner, blob = row if len(row) == 2 else (None, None)
    return isinstance(owner, bytes) and isinstance(blob, bytes) and len(owner) in (0, 16)


def _is_receipt(row: Row) -> bool:
    """Whether these values can be an incarnation, the time of its erasure, and a receipt."""
    incarnation, at_us, blob = row if len(row) == 3 else (None, None, None)
    is_life = isinstance(incarnation, bytes) and len(incarnation) == 16
    return is_life and isinstance(at_us, int) and isinstance(blob, bytes)


def _checksum(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """The log's running checksum after `data`."""
    one, two = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        one = (one + words[at] + two) & 0xFFFFFFFF
        two = (two + words[at + 1] + one) & 0xFFFFFFFF
    return one, two


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends; 0 where the bytes end before it."""
    value = 0
    for count in range(9):
        if at >= len(data):
            return 0, at
        byte = data[at]
        at += 1
        if count == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at


_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _values(record: bytes) -> Row | None:
    """The values of a row; None: its header makes no sense."""
    header, at = _varint(record, 0)
    if not at <= header <= min(len(record), limits.salvaged_header_bytes_max):
        return None
    kinds = []
    while at < header:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values: list[Any] = []
    at = header
    for kind in kinds:
        size = (kind - 12) // 2 if kind >= 12 else _INTEGERS.get(kind, 8 * (kind == 7))
        part = record[at : at + size]
        if len(part) < size or kind in (10, 11):
            return None
        at += size
        if kind >= 12:
            values.append(part)
        elif kind in _INTEGERS:
            values.append(int.from_bytes(part, "big", signed=True))
        else:
            values.append({8: 0, 9: 1}.get(kind))
    return tuple(values)
