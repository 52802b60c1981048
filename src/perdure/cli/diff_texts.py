"""Where two texts differ: by words, each place with a few words around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import eq
from typing import NamedTuple

from perdure.cli.diff_values import MORE_ROOM_MIN
from perdure.cli.output import cut_to
from perdure.cli.words import safe
from perdure.core.abbreviate import ELLIPSIS, count
from perdure.core.changes import text_splice
from perdure.core.diff import gaps
from perdure.core.matching import Gap

AROUND_CHARACTERS = 24
"""How much is shown around a place; places that are nearer to each other are shown as one."""

WORD_CHARACTERS_MAX = 64
"""How far a word is looked for from where two texts begin to differ."""

COMPARED_CHARACTERS_MAX = 64 * 1024
"""What differs and is longer is not looked into word by word."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Place(NamedTuple):
    """Where two texts differ: `old[start:end]` against `new[start:end]`."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


class Shown(NamedTuple):
    """One side of such a place, safe to print."""

    text: str
    """What is there, in quotes, with what is around it."""
    start: int
    """Where in `text` that which differs begins, and where it ends."""
    end: int


def places(old: str, new: str) -> list[Place]:
    """Where two texts differ, word by word, near places joined; empty: next to all of them does.

    Example:
        >>> places("refund order 17 in full", "refund order 18 in full")
        [Place(old_start=13, old_end=15, new_start=13, new_end=15)]
    """
    region = _region(old, new)
    sizes = region.old_end - region.old_start, region.new_end - region.new_start
    if max(sizes) > COMPARED_CHARACTERS_MAX:
        found = [region]
    else:
        found = list(_joined(_by_words(old, new, region)))
    changed = sum(each.old_end - each.old_start for each in found)
    return found if 2 * (len(old) - changed) >= min(len(old), len(new)) else []


def _region(old: str, new: str) -> Place:
    """All that differs, between what both begin and end with, out to the ends of words."""
    splice = text_splice((), old, new)
    if splice is None:
        return Place(0, len(old), 0, len(new))
    start, after = splice.start, len(old) - splice.start - splice.removed
    least = max(0, start - WORD_CHARACTERS_MAX)
    while start > least and old[start - 1].isalnum():
        start -= 1
    least = max(0, after - WORD_CHARACTERS_MAX)
    while after > least and old[len(old) - after].isalnum():
        after -= 1
    return Place(start, len(old) - after, start, len(new) - after)


def _by_words(old: str, new: str, region: Place) -> Iterator[Place]:
    olds = _WORDS.findall(old[region.old_start : region.old_end])
    news = _WORDS.findall(new[region.new_start : region.new_end])
    old_ends, new_ends = _ends(olds, region.old_start), _ends(news, region.new_start)
    found: list[Gap] = gaps(olds, news, eq, str)
    for a_start, a_end, b_start, b_end in found:
        yield Place(old_ends[a_start], old_ends[a_end], new_ends[b_start], new_ends[b_end])


def _ends(words: list[str], start: int) -> list[int]:
    """Where each word begins in its text, and where the last one ends."""
    ends = [start]
    for word in words:
        ends.append(ends[-1] + len(word))
    return ends


def _joined(found: Iterator[Place]) -> Iterator[Place]:
    last: Place | None = None
    for each in found:
        if last is not None and each.old_start - last.old_end <= AROUND_CHARACTERS:
            last = Place(last.old_start, each.old_end, last.new_start, each.new_end)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last


def shown(text: str, start: int, end: int, room: int) -> Shown:
    """A place in a text, with a few words around it, in so many columns.

    Example:
        >>> shown("refund order 17 in full, as was agreed upon, and tell Alice", 13, 15, 80).text
        "'refund order 17 in full, as was agreed'…"
    """
    before = _words_before(text, start)
    after = _words_after(text, end)
    lead = ELLIPSIS if len(before) < start else ""
    tail = ELLIPSIS if end + len(after) < len(text) else ""
    opening, closing = f"{lead}'{safe(before)}", f"{safe(after)}'{tail}"
    middle = _fitted(text[start:end], room - len(opening) - len(closing))
    begin = len(opening)
    return Shown(opening + middle + closing, begin, begin + len(middle))


def _fitted(text: str, room: int) -> str:
    """A text in so many columns, with its size where it was cut."""
    room = max(room, MORE_ROOM_MIN)
    escaped = safe(text[: room + 1])
    if len(text) <= room and cut_to(escaped, room) == escaped:
        return escaped
    size = f" ({count(len(text), 'character')}) "
    return cut_to(escaped, max(room - len(size), MORE_ROOM_MIN)) + size


def _words_before(text: str, end: int) -> str:
    """What comes before, as far as there is room, from the beginning of a word on."""
    start = max(0, end - AROUND_CHARACTERS)
    if not start:
        return text[:end]
    words = text[start:end]
    _, space, rest = words.partition(" ")
    return rest if space and rest else words


def _words_after(text: str, start: int) -> str:
    """What comes after, as far as there is room, to the end of a word."""
    words = text[start : start + AROUND_CHARACTERS]
    if start + AROUND_CHARACTERS >= len(text):
        return words
    rest, space, _ = words.rpartition(" ")
    return rest if space and rest else words
