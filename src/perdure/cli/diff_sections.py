"""Differences by section: how many of what kind, and neighbours in a list as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from perdure.adapters.bookkeeping import is_bookkeeping
from perdure.cli.places import parts_of
from perdure.core.abbreviate import ELLIPSIS
from perdure.core.diff import Difference
from perdure.core.matching import Id, id_of
from perdure.core.paths import WHOLE_STATE, Path, format_path

KINDS = ("changed", "added", "removed", "moved", "reordered")
"""In this order they are counted; "reordered" are mappings whose keys have another order."""

ID_CHARACTERS_MAX = 40
"""How much of an item's id is shown."""


class Section(NamedTuple):
    """What differs in one section."""

    name: str
    """As paths are written; that of the whole state for the order of its sections."""
    differences: list[Difference]

    def counts(self) -> Counter[str]:
        """How many differences there are of each of `KINDS`."""
        return Counter(_kind(each) for each in self.differences)

    def is_bookkeeping(self) -> bool:
        """Whether it is a library's own."""
        path = self.differences[0].path
        return bool(path) and is_bookkeeping(str(path[0]))

    def is_whole(self) -> bool:
        """Whether there is one difference, and it is of the section as a whole."""
        return len(self.differences) == 1 and len(self.differences[0].path) <= 1

    def told(self) -> str:
        """What became of it: `added`, or how much in it: `2 changed, 1 added`."""
        return _kind(self.differences[0]) if self.is_whole() else in_words(self.counts())


def in_words(counts: Counter[str]) -> str:
    """Counts of differences in one line.

    Example:
        >>> in_words(Counter(changed=2, added=1))
        '2 changed, 1 added'
    """
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])


def _kind(difference: Difference) -> str:
    is_order = difference.kind == "moved" and not difference.is_move
    return "reordered" if is_order else difference.kind


def by_section(found: Iterable[Difference]) -> list[Section]:
    """The differences of each section, in the order in which they were found; bookkeeping last.

    Example:
        >>> from perdure.core.diff import diff
        >>> [each.name for each in by_section(diff({"a": 1, "b": [1]}, {"a": 2, "b": [1, 2]}))]
        ['a', 'b']
    """
    sections: dict[Path, Section] = {}
    for each in found:
        name = each.path[:1]
        sections.setdefault(name, Section(format_path(name), [])).differences.append(each)
    return sorted(sections.values(), key=Section.is_bookkeeping)


def below(found: Iterable[Difference], path: str) -> list[Difference]:
    """The differences at a path and below it, and of wholes that it is part of.

    Args:
        found: all differences.
        path: as `perdure show` takes it, or as a place is shown.

    Example:
        >>> from perdure.core.diff import diff
        >>> found = diff({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}})
        >>> [each.path for each in below(found, "a/c")]
        [('a', 'c')]
    """
    wanted = parts_of(path)
    return [each for each in found if _is_at(each, wanted)]


def _is_at(difference: Difference, wanted: list[str]) -> bool:
    ids = _ids(difference)
    for at, (part, text) in enumerate(zip(difference.path, wanted, strict=False)):
        if text not in (format_path((part,)), _part(part, ids.get(at))):
            return False
    # A whole that holds the place says what became of it, the order of its keys does not.
    return len(difference.path) >= len(wanted) or difference.kind != "moved"


def runs(differences: Iterable[Difference]) -> Iterator[list[Difference]]:
    """The same differences; items that were put into a list, or taken out, side by side are one.

    Example:
        >>> from perdure.core.diff import diff
        >>> [len(run) for run in runs(diff({"n": [1], "m": [1]}, {"n": [1, 2, 3], "m": [2]}))]
        [2, 1]
    """
    run: list[Difference] = []
    for each in differences:
        if run and not _goes_on(run[-1], each):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _goes_on(last: Difference, difference: Difference) -> bool:
    if difference.kind != last.kind or difference.kind not in ("added", "removed"):
        return False
    at, before = difference.path[-1], last.path[-1]
    if not isinstance(at, int) or not isinstance(before, int):
        return False
    return at == before + 1 and difference.path[:-1] == last.path[:-1]


def place(run: Sequence[Difference]) -> str:
    """Where that is, as `perdure show` takes it, with the ids by which items are known after `#`.

    Example:
        >>> place([Difference(("plan", 3, "status"), "changed", 1, 2, ((1, "pay"),))])
        'plan/3#pay/status'
    """
    first, last = run[0], run[-1]
    ids = _ids(first) if first is last else dict(first.ids)
    parts = [_part(part, ids.get(at)) for at, part in enumerate(first.path)]
    if first is not last:
        parts[-1] += f"…{last.path[-1]}"
    return "/".join(parts) or WHOLE_STATE


def _ids(difference: Difference) -> dict[int, Id]:
    """By place in its path, the ids of items; that of one that was added or removed is in it."""
    ids = dict(difference.ids)
    if difference.path and isinstance(difference.path[-1], int):
        id_ = id_of(difference.after if difference.kind == "added" else difference.before)
        if id_ is not None:
            ids[len(difference.path) - 1] = id_
    return ids


def _part(part: str | int, id_: Id | None) -> str:
    written = format_path((part,))
    return written if id_ is None else f"{written}#{_id_in_words(id_)}"


def _id_in_words(id_: Id) -> str:
    text = format_path((str(id_),))
    return text if len(text) <= ID_CHARACTERS_MAX else text[: ID_CHARACTERS_MAX - 1] + ELLIPSIS
