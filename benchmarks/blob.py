"""The floor of loading: everything as one row, read and decoded, and nothing kept of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.floor import Floor
from benchmarks.messages import packed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def reading(floor: Floor, what: Any, *, compressed: bool) -> Callable[[], Any]:
    """Put `what` into a row of its own; how to get it back."""
    blob = packed(what)
    floor.insert(zstd.compress(blob, 3) if compressed else blob)
    number = floor.last()

    def read() -> Any:
        row = floor.read(number)
        return msgspec.msgpack.decode(zstd.decompress(row) if compressed else row)

    if read() != what:
        raise RuntimeError("the floor does not give back what was put in")
    return read
