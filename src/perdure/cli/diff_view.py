"""Differences for people: by section, then by place, what was there in red, what is in green.

Whatever a state holds is escaped before it is printed; every line has its mark without colour too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from perdure.cli.diff_sections import Section, by_section, in_words, place, runs
from perdure.cli.diff_texts import AROUND_CHARACTERS, Place, places, shown
from perdure.cli.diff_values import fits, in_lines, in_short, listed
from perdure.cli.output import cut_to, width_of
from perdure.cli.words import safe
from perdure.core.abbreviate import ELLIPSIS, abbreviate, count
from perdure.core.changes import Members, text_splice
from perdure.core.diff import Difference, to_changes

WIDTH_MIN = 40
"""What is narrower is not fitted to (columns)."""

WIDTH_IN_PIPES = 100
"""What values are cut to where there is no terminal (columns); places are whole there."""

PLACE, VALUE = "  ", "    "
"""What lines about a place, and lines of what is there, begin with."""

TEXT_PLACES_MAX = 4
"""Places in one text that are shown."""

BAR_WIDTH_MAX = 40
BAR_SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": "~", "reordered": "~"}
COLOURS = {"+": "green", "-": "red", "~": "yellow"}


class Line(NamedTuple):
    """A line about what is at a place, safe to print."""

    mark: str
    """`-` was there, `+` is there; a space says something of both."""
    text: str
    start: int = 0
    """Where in the text that which differs begins, and where it ends."""
    end: int = 0


class Told(NamedTuple):
    """What there is to say of one place."""

    note: str = ""
    """A few words, beside the place."""
    lines: Iterable[Line] = ()


def view(
    found: Iterable[Difference],
    width: int | None = None,
    *,
    colours: bool = False,
    is_asked: bool = False,
) -> Iterator[str]:
    """The lines that show differences, a heading a section, within so many columns.

    A library's bookkeeping has a line, and all of it only where it `is_asked` for.

    Example:
        >>> from perdure.core.diff import diff
        >>> for line in view(diff({"plan": {"step": 1}}, {"plan": {"step": 2}})):
        ...     print(line)
        plan  1 changed
          plan/step
            - 1
            + 2
    """
    room = max(width or WIDTH_IN_PIPES, WIDTH_MIN)
    for section in by_section(found):
        if section.is_bookkeeping() and not is_asked:
            note = f"{section.told()} (diff --path {section.name} shows it)"
            yield _titled(section.name, note, width, colours, bold=None)
            continue
        if section.is_whole():
            told = _told(section.differences, room - len(VALUE) - 2)
            note = f": {told.note}" if told.note else ""
            yield _titled(section.name, f"{section.told()}{note}", width, colours)
            yield from _lines(told.lines, room, colours)
            continue
        yield _titled(section.name, section.told(), width, colours)
        for run in runs(section.differences):
            told = _told(run, room - len(VALUE) - 2)
            yield _titled(PLACE + place(run), told.note, width, colours, bold=None)
            yield from _lines(told.lines, room, colours)


def summary(
    found: Iterable[Difference], width: int | None = None, *, colours: bool = False
) -> Iterator[str]:
    """One line a section: how many differences of what kind.

    Example:
        >>> from perdure.core.diff import diff
        >>> list(summary(diff({"plan": [1]}, {"plan": [1, 2], "n": 1})))
        ['plan  1 added', 'n  added']
    """
    for section in by_section(found):
        yield _titled(section.name, section.told(), width, colours)


def stat(
    found: Iterable[Difference], width: int | None = None, *, colours: bool = False
) -> Iterator[str]:
    """A line a section with a bar, and one of all: `+` was added, `-` removed, `~` changed.

    Example:
        >>> from perdure.core.diff import diff
        >>> for line in stat(diff({"plan": [1, 3]}, {"plan": [1, 2]})):
        ...     print(line)
        plan | 1 ~
        1 section: 1 changed
    """
    sections = by_section(found)
    if not sections:
        return
    names = [each.name if width is None else cut_to(each.name, width // 2) for each in sections]
    widest, sizes = max(map(width_of, names)), [len(each.differences) for each in sections]
    digits = max(len(f"{size:,}") for size in sizes)
    room = min(BAR_WIDTH_MAX, max((width or WIDTH_IN_PIPES) - widest - digits - len(" |  "), 1))
    scale = room / max(room, *sizes)
    for name, section, size in zip(names, sections, sizes, strict=True):
        padding = " " * (widest - width_of(name))
        yield f"{name}{padding} | {size:>{digits},} {_bar(section, scale, colours)}"
    total = sum((each.counts() for each in sections), Counter[str]())
    told = f"{count(len(sections), 'section')}: {in_words(total)}"
    yield told if width is None else cut_to(told, max(width, WIDTH_MIN))


def _bar(section: Section, scale: float, colours: bool) -> str:
    counts = section.counts()
    signs = Counter[str]()
    for kind, sign in BAR_SIGNS.items():
        signs[sign] += counts[kind]
    return "".join(
        _styled(sign * max(round(signs[sign] * scale), 1), colours, fg=COLOURS[sign])
        for sign in COLOURS
        if signs[sign]
    )


def _styled(text: str, colours: bool, **style: Any) -> str:
    return click.style(text, **style) if colours and any(style.values()) else text


def _titled(
    name: str, note: str, width: int | None, colours: bool, bold: bool | None = True
) -> str:
    """A heading, and what is said beside it."""
    if width is not None:
        room = max(width, WIDTH_MIN) - 2
        name = cut_to(name, max(room - len(note), room // 2))
        note = cut_to(note, room - width_of(name))
    dim = _styled(note, colours, dim=bold is None or None) if note else ""
    return (_styled(name, colours, bold=bold) + f"  {dim}").rstrip(" ")


def _lines(lines: Iterable[Line], room: int, colours: bool) -> Iterator[str]:
    """The lines of what is at a place; that which differs in them stands out."""
    for mark, text, start, end in lines:
        text = cut_to(text, room - len(VALUE) - 2)
        colour = COLOURS.get(mark)
        parts = (text[:start], None), (text[start:end], True), (text[end:], None)
        styled = (_styled(part, colours, fg=colour, bold=bold) for part, bold in parts if part)
        yield f"{VALUE}{_styled(mark, colours, fg=colour)} {''.join(styled)}"


# ---- one place ------------------------------------------------------------------------------


def _told(run: Sequence[Difference], room: int) -> Told:
    """What there is to say of one place, or of neighbouring ones in a list."""
    first = run[0]
    if len(run) > 1:
        is_new = first.kind == "added"
        items = [each.after if is_new else each.before for each in run]
        note = f"{len(items):,} items {'inserted' if is_new else 'removed'}"
        return Told(note, _marked("+" if is_new else "-", listed(items, room)))
    match first.kind:
        case "added":
            return Told("", _marked("+", in_lines(first.after, room)))
        case "removed":
            return Told("", _marked("-", in_lines(first.before, room)))
        case "changed":
            return _changed(first.before, first.after, room)
    if first.is_move:
        return Told(f"moved from {first.before} to {first.after}")
    return Told("keys in another order", _orders(first.before, first.after, room))


def _marked(mark: str, texts: Iterable[str]) -> Iterator[Line]:
    return (Line(mark, text) for text in texts)


def _orders(before: list[str], after: list[str], room: int) -> Iterator[Line]:
    """Two orders of the same keys, from the first that has another place on."""
    start = next(at for at, key in enumerate(before) if key != after[at])
    for mark, keys in (("-", before), ("+", after)):
        yield Line(mark, in_short(keys[start:], room))


def _changed(before: Any, after: Any, room: int) -> Told:
    if isinstance(before, str) and isinstance(after, str):
        return _texts(before, after, room)
    if isinstance(before, bytes) and isinstance(after, bytes):
        return _bytes(before, after, room)
    if isinstance(before, set) and isinstance(after, set):
        return Told("", _members(before, after, room))
    return Told("", _both(before, after, room))


def _both(before: Any, after: Any, room: int) -> Iterator[Line]:
    yield from _marked("-", in_lines(before, room))
    yield from _marked("+", in_lines(after, room))


def _texts(before: str, after: str, room: int) -> Told:
    """Of a text that was appended to, what was; of long ones, the places where they differ."""
    if len(before) > AROUND_CHARACTERS and after.startswith(before):
        return _appended(after[len(before) :], "character", room)
    if all(len(text) <= room and fits(safe(repr(text)), room) for text in (before, after)):
        return Told("", _both(before, after, room))
    found = places(before, after)
    if not found:
        return Told("", _both(before, after, room))
    sizes = dict.fromkeys((len(before), len(after)))
    note = f"{count(len(found), 'place')} in {' → '.join(f'{each:,}' for each in sizes)} characters"
    return Told(note, _in_texts(before, after, found, room))


def _appended(added: str | bytes, unit: str, room: int) -> Told:
    line = Line("+", ELLIPSIS + in_short(added, room - len(ELLIPSIS)))
    return Told(f"{count(len(added), unit)} appended", [line])


def _in_texts(before: str, after: str, found: list[Place], room: int) -> Iterator[Line]:
    for each in found[:TEXT_PLACES_MAX]:
        yield Line("-", *shown(before, each.old_start, each.old_end, room))
        yield Line("+", *shown(after, each.new_start, each.new_end, room))
    if len(found) > TEXT_PLACES_MAX:
        yield Line(" ", f"{ELLIPSIS} {len(found) - TEXT_PLACES_MAX:,} more places")


def _bytes(before: bytes, after: bytes, room: int) -> Told:
    splice = text_splice((), before, after)
    if splice is None:
        return Told("", _both(before, after, room))
    if splice.start == len(before):
        return _appended(after[len(before) :], "byte", room)
    old = before[splice.start : splice.start + splice.removed]
    note = f"at byte {splice.start:,} of {len(before):,}"
    return Told(note, _both(old, splice.items, room))


def _members(before: set[Any], after: set[Any], room: int) -> Iterator[Line]:
    """Of sets, the members that one of them has alone."""
    (change,) = to_changes({"": before}, {"": after})
    assert isinstance(change, Members)
    for mark, members in (("-", change.removed), ("+", change.added)):
        for text in listed(sorted(members, key=abbreviate), room) if members else ():
            yield Line(mark, text)
