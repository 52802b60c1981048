"""Sections that are not loaded: what stands in their place, and whom to ask for them.

A section that is not loaded has its name and its place in the mapping of sections, and no value.
In its place stands an `Unloaded`, which counts as a value still to be wrapped: whoever reads it by
a method meets the wrapper first, and that loads. So no method ever hands one out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from perdure.core.changes import Change, Delete, Set
from perdure.errors import SectionNotLoaded
from perdure.state.place import WRAPPERS, Place

Loader = Callable[[str], Any]


class Unloaded:
    """The place of one section that is not loaded; each section has one of its own."""

    __slots__ = ("load",)

    def __init__(self, load: Loader) -> None:
        self.load = load
        """Gives the section's plain value, by its name."""

    def __repr__(self) -> str:
        return "<not loaded>"


def wrap_unloaded(held: Unloaded, parent: Place, at: str | int) -> Any:
    """The value of the section, tracked. Nothing has changed if the loader raises."""
    value = held.load(str(at))
    wrap = WRAPPERS.get(type(value))
    return value if wrap is None else wrap(value, parent, at)


def refuse(name: str) -> Any:
    """Be the loader where nothing loads by being touched.

    Raises:
        SectionNotLoaded: always.
    """
    quoted = f'"{name}"' if name.isprintable() and not set(name) & {'"', "\\"} else repr(name)
    raise SectionNotLoaded(
        f"section {quoted} is not loaded, and here nothing is loaded by being touched: "
        f"await session.load({quoted}) first, or name it when you open the session"
    )


def is_whole(change: Change) -> bool:
    """Whether it sets or deletes a whole section, whatever that is now."""
    return len(change.path) == 1 and isinstance(change, Set | Delete)


def sort_out(changes: Iterable[Change], unloaded: set[str]) -> tuple[list[Change], list[Change]]:
    """The changes to be made now, and those left to the loader of sections that are not loaded.

    A change of a whole section is made at once: it needs no old value, and makes void what would
    have been left to the loader.
    """
    now: list[Change] = []
    later: list[Change] = []
    waiting = set(unloaded)
    for change in changes:
        name = str(change.path[0])
        if name not in waiting:
            now.append(change)
        elif is_whole(change):
            waiting.remove(name)
            later = [each for each in later if each.path[0] != name]
            now.append(change)
        else:
            later.append(change)
    return now, later
