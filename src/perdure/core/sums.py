"""Sums of a row of numbers up to any place, while the numbers change."""

from __future__ import annotations

from collections.abc import Iterable


class Sums:
    """The sizes of things in a row: finds which one a position is in (a Fenwick tree).

    Both finding and changing take time in proportion to the logarithm of how many there are.

    Example:
        >>> sums = Sums([5, 0, 3])
        >>> sums.find(4), sums.find(5), sums.find(8)
        ((0, 0), (2, 5), (2, 5))
        >>> sums.add(1, 10)
        >>> sums.total, sums.find(14)
        (18, (1, 5))
    """

    __slots__ = ("_sums", "total")

    def __init__(self, sizes: Iterable[int]) -> None:
        # Each place holds the sum of as many before it as its lowest bit says.
        self._sums = [0, *sizes]
        self.total = sum(self._sums)
        """The sum of all."""
        for place in range(1, len(self._sums)):
            above = place + (place & -place)
            if above < len(self._sums):
                self._sums[above] += self._sums[place]

    def add(self, index: int, change: int) -> None:
        """Make the one at `index` larger by `change`."""
        self.total += change
        place = index + 1
        while place < len(self._sums):
            self._sums[place] += change
            place += place & -place

    def find(self, position: int) -> tuple[int, int]:
        """Which one a position is in, and where that begins; the last one for the end of all.

        There must be one at least.
        """
        place, begins, left = 0, 0, position
        last = len(self._sums) - 2
        step = 1 << last.bit_length()
        while step:
            there = place + step
            # Never past the last one: what ends all is at its end.
            if there <= last and self._sums[there] <= left:
                place = there
                left -= self._sums[there]
                begins += self._sums[there]
            step >>= 1
        return place, begins
