"""Where a page ends: decided by what is in it, so that equal content is cut equally.

A page ends after an entry if it is large enough and the hash of its last entries says so, or if it
is full. Neither looks at what follows. So after an edit the cuts soon fall where they fell before,
and whichever way a content came about, its pages are the same (P6). The chance that an entry ends a
page goes by its bytes, so pages of small and of large entries are of one size. The hash is keyed:
nobody can choose entries that never cut without knowing the state's secret.

It is of several entries together, because a list may hold few distinct ones: of a million bools,
each alone would cut either everywhere or nowhere. What repeats itself (a run of one value) is not
cut by this, nor could it be by any rule that looks at content alone: pages end there when full.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from perdure import limits
from perdure.core.pieces import VALUE_BYTES, Pieces

_HASH_BITS = 64
_HASH_MAX = 1 << _HASH_BITS
_MASK = _HASH_MAX - 1
_ENTRIES_AT_ONCE = limits.piece_bytes_max // VALUE_BYTES
"""So many are looked at in a piece."""


class Bounds(msgspec.Struct, frozen=True):
    """How large pages become (bytes of packed entries)."""

    least: int
    """Below this none ends."""
    aim: int
    """How many bytes come on average between two entries whose hash ends a page."""
    full: int
    """From here on each ends; the last entry may take it beyond."""

    @property
    def step(self) -> int:
        """So many bytes of entries make the rolling hash forget one bit (bytes).

        What it depends on is then at most half of the least that a page holds: where a page began
        has no influence on where it ends.
        """
        return max(self.least // (2 * _HASH_BITS), 1)


LEAVES = Bounds(limits.page_bytes_min, limits.page_bytes_aim, limits.page_bytes_full)
INNER = Bounds(limits.page_bytes_min // 8, limits.page_bytes_aim // 8, limits.page_bytes_full // 8)
"""References do not compress, and every snapshot writes those on the way to the root anew."""


def first_cut(packed: Sequence[bytes], start: int, secret: bytes, bounds: Bounds) -> Pieces[int]:
    """How many of the entries from `start` on make the first page; 0 if it does not end in them.

    What decides is a rolling hash: each entry moves it up by a bit for every `step` bytes begun and
    adds its own; what leaves its 64 bits is forgotten. So it is of at most 64 entries, and of few
    where they are long.
    """
    yield ()  # a page at a time at most
    size, rolling, step = 0, 0, bounds.step
    keyed = blake2b(digest_size=_HASH_BITS // 8, key=secret, person=b"perdure.cut").copy
    # What comes before this is forgotten when the page can end.
    hashed_from = bounds.least - _HASH_BITS * step
    for at in range(start, len(packed)):
        entry = packed[at]
        size += len(entry)
        if size >= bounds.full:
            return at + 1 - start
        if size > hashed_from:
            # Written out here: it is done for every entry of whatever is stored.
            one = keyed()
            one.update(entry)
            moved = rolling << -(-len(entry) // step)
            rolling = (moved + int.from_bytes(one.digest(), "big")) & _MASK
            if size >= bounds.least and rolling * bounds.aim < _HASH_MAX * len(entry):
                return at + 1 - start
        if not at % _ENTRIES_AT_ONCE:
            yield ()
    return 0
