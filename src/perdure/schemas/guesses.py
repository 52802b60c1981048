"""What fields that went and came look like, but renames: moves, splits and merges, as comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from perdure.schemas.drafted import Place, Step, literal, placed

PARTS_MAX = 4
"""Texts that one is taken to be split into, or made of (fields)."""

Kinds = list[str]
"""The kinds of values that a field may hold."""
_TEXT, _NONE = "string", "null"


class Guesses:
    """The fields that went and came, of all mappings that a lens can name from the state."""

    def __init__(self) -> None:
        self._gone: list[tuple[Place, Kinds]] = []
        self._came: list[tuple[Place, Kinds]] = []
        self._aside = 0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Note nothing meanwhile: what is looked at is only tried, or not named from the state."""
        self._aside += 1
        try:
            yield
        finally:
            self._aside -= 1

    def note(
        self,
        gone: Mapping[str, Kinds],
        came: Mapping[str, Kinds],
        renames: Mapping[str, str],
        place: Place,
    ) -> None:
        """Note what went from a mapping and came into it, unless one became the other."""
        if self._aside:
            return
        taken = set(renames.values())
        self._gone += [((*place, name), gone[name]) for name in gone if name not in renames]
        self._came += [((*place, name), came[name]) for name in came if name not in taken]

    def moves(self) -> Iterator[Step]:
        """What went from one mapping and came into another, under its name and of its kind."""
        for at, kinds in self._gone:
            there = [to for to, other in self._came if to[-1] == at[-1] and other == kinds]
            if len(there) == 1 and there[0] != at and at[-1]:
                moved = f"move({placed(at)}, {placed(there[0])})"
                why = f"{'/'.join(at)} went and {'/'.join(there[0])} came: if it was moved, write"
                yield Step(f"{why} {moved} in place of what is said of both below")


def parted(gone: Mapping[str, Kinds], came: Mapping[str, Kinds], place: Place) -> Iterator[Step]:
    """What of one mapping looks split, or merged: one text went and several came, or otherwise."""
    old, new = _texts(gone), _texts(came)
    if len(old) == 1 and 1 < len(new) <= PARTS_MAX:
        lens = f"split({placed((*place, old[0]))}, into={literal(new)})"
        yield _looks(old, new, "split", lens)
    if len(new) == 1 and 1 < len(old) <= PARTS_MAX:
        parts = ", ".join(placed((*place, name)) for name in old)
        yield _looks(old, new, "merged", f"merge([{parts}], into={new[0]!r})")


def _looks(old: list[str], new: list[str], what: str, lens: str) -> Step:
    why = f"{', '.join(old)} went and {', '.join(new)} came: if it was {what}, write"
    return Step(f"{why} {lens} in place of what is said of these below")


def _texts(fields: Mapping[str, Kinds]) -> list[str]:
    """The names of those that hold text."""
    return [name for name, kinds in fields.items() if name and {*kinds} - {_NONE} == {_TEXT}]
