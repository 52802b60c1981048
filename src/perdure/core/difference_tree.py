"""Differences by their places: a tree, for who goes through a state once and not once for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from perdure.core.diff import Difference


class Place(msgspec.Struct):
    """What differs at one place and below it."""

    children: dict[str | int, Place] = {}
    """By key, or position in the later list."""
    changed: tuple[Any, Any] | None = None
    """The value before and after, if it is another one; then there is nothing below."""
    gone: list[str | int] = []
    """Keys, or positions in the earlier list."""
    come: dict[str | int, Any] = {}
    """What is new, by key or position in the later list."""
    moved: dict[int, int] = {}
    """Of items that moved, the position in the earlier list by that in the later one."""

    def take(self, difference: Difference) -> None:
        """Note a difference, seen from here; orders of keys are not noted."""
        if difference.kind == "moved" and not difference.is_move:
            return
        *way, last = difference.path
        place = self
        for part in way:
            place = place.children.setdefault(part, Place())
        match difference.kind:
            case "removed":
                place.gone.append(last)
            case "added":
                place.come[last] = difference.after
            case "moved":
                place.moved[difference.after] = difference.before
            case "changed":
                child = place.children.setdefault(last, Place())
                child.changed = difference.before, difference.after


def tree_of(differences: Iterable[Difference]) -> Place:
    """All differences between two states, as seen from the whole state.

    Example:
        >>> from perdure.core.diff import diff
        >>> tree_of(diff({"plan": ["a", "b"]}, {"plan": ["b"]})).children["plan"].gone
        [0]
    """
    root = Place()
    for difference in differences:
        root.take(difference)
    return root
