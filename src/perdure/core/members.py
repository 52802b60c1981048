"""Members of sets, told apart by their bytes, as all that is stored is.

Python tells a nan, and what holds one, only by which object it is: it finds none by another, and a
set may hold several. So which objects a set happens to share with a change must not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure.core.codec import pack, unpack
from perdure.core.values import same


def member_of(target: set[Any], member: Any) -> Any:
    """What stands for `member` in the set: it can be removed by that.

    Raises:
        KeyError: nothing does.

    Example:
        >>> nan = float("nan")
        >>> member_of({nan}, float("nan")) is nan
        True
    """
    if member in target:
        return member
    for candidate in target:
        if same(candidate, member):
            return candidate
    raise KeyError(member)


def newcomer(target: set[Any], member: Any) -> Any:
    """What adds `member` to the set: a copy of it if the set holds that very nan.

    Raises:
        KeyError: it is in the set, and no nan.

    Example:
        >>> nan = float("nan")
        >>> len({nan, newcomer({nan}, nan)})
        2
    """
    if member not in target:
        return member
    copy = unpack(pack(member))
    if copy in target:
        raise KeyError(member)
    return copy


def by_bytes(members: Iterable[Any]) -> dict[bytes, list[Any]]:
    """The members by their packed bytes; only of nans are there several of the same."""
    found: dict[bytes, list[Any]] = {}
    for member in members:
        found.setdefault(pack(member), []).append(member)
    return found
