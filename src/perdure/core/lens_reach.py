"""What lenses reach: which older sections become which newer ones, and what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from perdure.core.conversions import conversion, is_known, reverse
from perdure.core.lens import (
    KEPT,
    Convert,
    InItems,
    Lens,
    Lenses,
    MapValues,
    Remove,
    Unknown,
    home,
    news,
    olds,
    slot_of,
)
from perdure.core.paths import Path
from perdure.core.values import same

ALL: Final[Literal["all"]] = "all"
"""Every section: what a lens that is not known may reach."""

Names: TypeAlias = frozenset[str]
Pair: TypeAlias = tuple[str, str]


class Loss(msgspec.Struct, frozen=True):
    """What a lens loses, in words, and where: the path has no positions of items in it."""

    path: Path
    what: str


class Reach(msgspec.Struct, frozen=True):
    """Which older sections are one with which newer ones; those not in it stay as they are.

    Example:
        >>> from perdure.core.lens import Rename
        >>> reach((Rename(("topic",), "subject"),)).older_of("subject")
        frozenset({'topic'})
    """

    pairs: frozenset[Pair]
    older: Names
    """All older sections that lenses touch."""
    newer: Names
    """All newer sections that lenses touch."""

    def older_of(self, newer: str) -> Names:
        """The older sections whose values a newer section has a part in."""
        if newer not in self.newer:
            return frozenset({newer})
        return frozenset(old for old, new in self.pairs if new == newer)

    def newer_of(self, older: str) -> Names:
        """The newer sections that have a part in the value of an older one."""
        if older not in self.older:
            return frozenset({older})
        return frozenset(new for old, new in self.pairs if old == older)


def reach(lenses: Lenses) -> Reach:
    """What becomes of which section by all of the lenses, one after another."""
    sources: dict[str, set[str]] = {}
    older: set[str] = set()
    newer: set[str] = set()
    for lens in lenses:
        before, after = sections_of(lens)
        # What an earlier lens made is an older section only if it was there before that.
        for name in before - newer:
            older.add(name)
            sources[name] = {name}
        onward = {old for name in before for old in sources.pop(name, ())}
        for name in after:
            sources.setdefault(name, set()).update(onward)
        newer -= before
        newer |= after
    pairs = frozenset((old, new) for new, olds_of in sources.items() for old in olds_of)
    return Reach(pairs, frozenset(older), frozenset(newer))


def around(name: str, lenses: Lenses) -> tuple[Names, Lenses]:
    """All names that hang together with a name by lenses, and those lenses; unknown ones too."""
    names = frozenset({name})
    while True:
        near = [
            lens
            for lens in lenses
            if isinstance(lens, Unknown)
            or not names.isdisjoint(frozenset().union(*sections_of(lens)))
        ]
        found = names.union(*(each for lens in near for each in sections_of(lens)))
        if found == names:
            return names, tuple(near)
        names = found


def sections_of(lens: Lens) -> tuple[Names, Names]:
    """The sections that one lens takes from, and those that it makes."""
    if isinstance(lens, Unknown):
        return frozenset(), frozenset()
    if isinstance(lens, InItems | MapValues):
        return frozenset(lens.at[:1]), frozenset(lens.at[:1])
    before = {place[0] for place in olds(lens)}
    after = {place[0] for place in news(lens)}
    # A field of a section may go from it, or come into it: the section is on both sides.
    before |= {place[0] for place in news(lens) if len(place) > 1}
    after |= {place[0] for place in olds(lens) if len(place) > 1}
    if slot_of(lens) is not None and not home(lens):
        before.add(KEPT)
        after.add(KEPT)
    return frozenset(before), frozenset(after)


def not_understood(lenses: Lenses) -> Names | Literal["all"]:
    """The sections, older and newer, that lossy or unknown lenses reach; `ALL` if any may be."""
    found: set[str] = set()
    for at, lens in enumerate(lenses):
        if _is_unknown(lens):
            return ALL
        if losses((lens,)):
            before, after = sections_of(lens)
            found |= {old for name in before for old in reach(lenses[:at]).older_of(name)}
            found |= {new for name in after for new in reach(lenses[at + 1 :]).newer_of(name)}
    return frozenset(found)


def _is_unknown(lens: Lens) -> bool:
    if isinstance(lens, InItems | MapValues):
        return any(map(_is_unknown, lens.lenses))
    if isinstance(lens, Convert) and isinstance(lens.by, str):
        return not is_known(lens.by)
    return isinstance(lens, Unknown)


def losses(lenses: Iterable[Lens], path: Path = ()) -> list[Loss]:
    """Everything that the lenses lose, whether they say so or not.

    Example:
        >>> losses([Convert(("due",), "datetime->date")])
        [Loss(path=('due',), what='the time of day')]
    """
    found: list[Loss] = []
    for lens in lenses:
        if isinstance(lens, InItems | MapValues):
            found += losses(lens.lenses, (*path, *lens.at))
        elif isinstance(lens, Remove) and not lens.keep:
            found.append(Loss((*path, *lens.at), "the value"))
        elif isinstance(lens, Convert) and (what := _lost(lens)):
            found.append(Loss((*path, *lens.at), what))
    return found


def _lost(lens: Convert) -> str:
    if isinstance(lens.by, str):
        known = is_known(lens.by)
        rest = "what its values cannot be given back by" if lens.lossy else ""
        if not known:
            return rest
        if reverse(lens.by) is None:
            return conversion(lens.by).loses
        return conversion(lens.by).loses or rest
    for at, (older, newer) in enumerate(lens.by):
        for other, match in lens.by[:at]:
            if same(newer, match):
                return f"which of {other!r} and {older!r} it was"
            if same(older, other):
                return f"which of {match!r} and {newer!r} it is"
    return ""
