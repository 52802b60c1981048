"""Where a page ends: decided by what is in it, so that equal content is cut equally.

A page ends after an entry if it is large enough and the entry's hash says so, or if it is full.
Neither looks at what follows. So after an edit the cuts soon fall where they fell before, and
whichever way a content came about, its pages are the same (P6). The chance that an entry ends a
page goes by its bytes, so pages of small and of large entries are of one size. The hash is keyed:
nobody can choose entries that never cut without knowing the state's secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from perdure import limits
from perdure.core.pieces import Meter, Pieces

_HASH_MAX = 2**64


class Bounds(msgspec.Struct, frozen=True):
    """How large pages become (bytes of packed entries)."""

    least: int
    """Below this none ends."""
    aim: int
    """How many bytes come on average between two entries whose hash ends a page."""
    full: int
    """From here on each ends; the last entry may take it beyond."""


LEAVES = Bounds(limits.page_bytes_min, limits.page_bytes_aim, limits.page_bytes_full)
INNER = Bounds(limits.page_bytes_min // 8, limits.page_bytes_aim // 8, limits.page_bytes_full // 8)
"""References do not compress, and every snapshot writes those on the way to the root anew."""


def first_cut(packed: Sequence[bytes], start: int, secret: bytes, bounds: Bounds) -> Pieces[int]:
    """How many of the entries from `start` on make the first page; 0 if it does not end in them."""
    size, meter = 0, Meter()
    for at in range(start, len(packed)):
        entry = packed[at]
        size += len(entry)
        if size >= bounds.least and (size >= bounds.full or ends_page(entry, secret, bounds)):
            return at + 1 - start
        if meter.is_full():
            yield ()
    return 0


def ends_page(entry: bytes, secret: bytes, bounds: Bounds) -> bool:
    """Whether the hash of an entry ends a page that is large enough."""
    digest = blake2b(entry, digest_size=8, key=secret, person=b"perdure.cut").digest()
    return int.from_bytes(digest, "big") * bounds.aim < _HASH_MAX * len(entry)
