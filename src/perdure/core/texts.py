"""How much of a text stays at both its ends, found without looking at each character."""

from __future__ import annotations

from collections.abc import Callable
from operator import eq
from typing import AnyStr

SHORT = 64
"""Below this it takes less to compare one by one than in pieces (characters or bytes)."""


def same_ends(base: AnyStr, new: AnyStr) -> tuple[int, int]:
    """How many characters or bytes two texts that differ have in common at the start, at the end.

    None counts for both.

    Example:
        >>> same_ends("2026-11-27T05:39", "2026-11-27T06:40")
        (12, 0)
        >>> same_ends("aa", "aaa")
        (2, 0)
    """
    shorter = min(len(base), len(new))
    if shorter < SHORT:
        head = _same_start(base, new)
        rest = shorter - head
        return head, _same_start(base[: -rest - 1 : -1], new[: -rest - 1 : -1])
    head = _longest(shorter, lambda at, size: new.startswith(base[at : at + size], at))
    ends = len(base), len(new)
    tail = _longest(
        shorter - head,
        lambda at, size: new.endswith(base[ends[0] - at - size : ends[0] - at], 0, ends[1] - at),
    )
    return head, tail


def _same_start(base: AnyStr, new: AnyStr) -> int:
    same = list(map(eq, base, new))
    return same.index(False) if False in same else len(same)


def _longest(limit: int, equal: Callable[[int, int], bool]) -> int:
    """How long both texts are equal, `limit` at most; `equal(at, size)` compares a piece of them.

    Pieces double until one differs, then halve: as many steps as the answer has binary digits.
    """
    found, size = 0, 256
    while found < limit:
        size = min(size, limit - found)
        if not equal(found, size):
            break
        found += size
        size *= 2
    else:
        return limit
    while size > 1:
        half = size // 2
        if equal(found, half):
            found += half
            size -= half
        else:
            size = half
    return found
