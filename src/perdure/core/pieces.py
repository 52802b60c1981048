"""Long computations in pieces: generators that let go of the processor now and then.

While Python code runs, no other thread of the process does. So what may take long yields `()`, a
bounded amount of work after the last time, and whoever runs it lets others have a turn, or goes on
at once. A `Reading` of pages, which yields the ids that it needs, may be made of such pieces: where
it lets go it needs none.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from perdure import limits

T = TypeVar("T")

Pieces: TypeAlias = Generator[tuple[()], Any, T]
"""A computation at work: yields where it lets go, and returns a `T`."""

VALUE_BYTES = 256
"""What it costs to look at a value, however small, in bytes packed at the same cost."""

RECORD_BYTES = 2048
"""The same of a record."""


def at_once(pieces: Pieces[T]) -> T:
    """What they compute, without a break.

    Example:
        >>> def added(numbers):
        ...     total = 0
        ...     for number in numbers:
        ...         total += number
        ...         yield ()
        ...     return total
        >>> at_once(added([1, 2, 3]))
        6
    """
    while True:
        try:
            next(pieces)
        except StopIteration as stop:
            result: T = stop.value
            return result


class Meter:
    """Counts work, to tell where to let go."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = limits.piece_bytes_max

    def is_full(self, size_bytes: int = 0) -> bool:
        """Count one more value of so many bytes; whether that fills a piece, and a new one begins.

        Example:
            >>> meter = Meter()
            >>> [meter.is_full(20_000) for _ in range(4)]
            [False, False, False, True]
        """
        self._left -= size_bytes + VALUE_BYTES
        if self._left > 0:
            return False
        self._left = limits.piece_bytes_max
        return True
