"""What comes after what: plans as graphs of names, pure.

A name that nobody knows yet may be come after; it is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

After: TypeAlias = Mapping[str, Sequence[str]]
"""By name, the names that it comes after."""


def order(after: After) -> list[str]:
    """The names, each after all that it comes after, and else as they are given.

    Of a graph with a cycle, the cycle is cut where it was entered.

    Example:
        >>> order({"tell": ["pay"], "read": [], "pay": ["read"]})
        ['read', 'pay', 'tell']
    """
    found: dict[str, None] = {}
    begun: set[str] = set()
    for name in after:
        path: list[tuple[str, Iterator[str]]] = []
        _enter(name, after, begun, path)
        while path:
            above, rest = path[-1]
            behind = next(rest, None)
            if behind is None:
                found[above] = None
                path.pop()
            else:
                _enter(behind, after, begun, path)
    return list(found)


def _enter(name: str, after: After, begun: set[str], path: list[tuple[str, Iterator[str]]]) -> None:
    if name in after and name not in begun:
        begun.add(name)
        path.append((name, iter(after[name])))


def cycle(after: After) -> list[str] | None:
    """Names of which each comes after the next, the first again at the end; None if none do.

    Example:
        >>> cycle({"a": ["b"], "b": ["c"], "c": ["a"], "d": []})
        ['a', 'b', 'c', 'a']
    """
    through: set[str] = set()
    for name in after:
        if name in through:
            continue
        path = {name: iter(after[name])}
        while path:
            last = next(reversed(path))
            behind = next(path[last], None)
            if behind is None:
                through.add(last)
                del path[last]
            elif behind in path:
                names = list(path)
                return [*names[names.index(behind) :], behind]
            elif behind in after and behind not in through:
                path[behind] = iter(after[behind])
    return None
