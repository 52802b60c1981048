"""How a value is shown where two states differ: on one line, or a container in a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from perdure.cli.output import cut_to, width_of
from perdure.cli.words import safe, size_of
from perdure.core.abbreviate import ELLIPSIS, abbreviate

ROLE_CHARACTERS_MAX = 32
"""What is longer under "role" is no role of a chat."""

ITEMS_WHOLE_MAX, ENTRIES_MAX = 3, 8
"""Items or entries of a container that does not fit on one line, of which all are shown."""

MORE_ROOM_MIN = 12
"""Columns that a cut value has at least, however little room is left."""


def in_short(value: Any, room: int) -> str:
    """A value on one line of so many columns: cut where it is longer, and then its size told.

    A message of a chat is given as `role: text`; everything else as Python writes it.

    Example:
        >>> in_short({"role": "user", "content": "Where is my order?"}, 40)
        'user: Where is my order?'
        >>> in_short("a" * 1000, 30)
        "'aaaaaaaa… (1,000 characters)"
    """
    said = message(value, room + 1)
    text, size = said if said is not None else (abbreviate(value, room + 1), size_of(value))
    text = safe(text)
    if fits(text, room):
        return text
    size = f" ({size})" if size else ""
    return cut_to(text, max(room - len(size), MORE_ROOM_MIN)) + size


def fits(text: str, room: int) -> bool:
    """Whether a text has room; one of characters without width is not read on and on either."""
    return len(text) <= room and width_of(text) <= room


def message(value: Any, chars_max: int) -> tuple[str, str] | None:
    """A message of a chat as `role: text`, no more of it than asked for, and how long its text is.

    None: the value is none.
    """
    if not isinstance(value, Mapping) or "content" not in value:
        return None
    role, content = value.get("role"), value["content"]
    text = _text_of(content)
    if not isinstance(role, str) or not 0 < len(role) <= ROLE_CHARACTERS_MAX or text is None:
        return None
    shown = ("role", "content", "id")  # and of `$message`, LangGraph's class, the role tells
    others = [key for key in value if key not in (*shown, "$message")][:ENTRIES_MAX]
    rest = f" (with {', '.join(each[:ROLE_CHARACTERS_MAX] for each in others)})" if others else ""
    return f"{role}{rest}: {text[:chars_max]}".rstrip(" "), size_of(text)


def _text_of(content: Any) -> str | None:
    """The text of a message; of its other parts the names of what they are."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        return None
    return " ".join(
        part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type', 'part')}]"
        for part in content
    )


def in_lines(value: Any, room: int) -> Iterator[str]:
    """A value on one line; or a container that is too long for one in a few, one level of it.

    Of a list the first and the last item are shown, of a mapping its first entries.
    """
    is_list, is_mapping = isinstance(value, list | tuple), isinstance(value, Mapping)
    is_message = message(value, 1) is not None
    whole = safe(abbreviate(value, room + 1))
    if is_message or not (is_list or is_mapping) or fits(whole, room):
        yield in_short(value, room)
    elif is_list:
        yield from listed(value, room)
    else:
        for key, item in islice(value.items(), _shown(len(value))):
            name = cut_to(safe(abbreviate(key)), max(room // 2, MORE_ROOM_MIN))
            yield f"{name}: {in_short(item, room - width_of(name) - 2)}"
        if len(value) > _shown(len(value)):
            yield f"{ELLIPSIS} {len(value) - _shown(len(value)):,} more keys"


def _shown(entries: int) -> int:
    return entries if entries <= ENTRIES_MAX else ENTRIES_MAX - 1


def listed(items: list[Any] | tuple[Any, ...], room: int) -> Iterator[str]:
    """A line an item; of many, the first and the last."""
    if len(items) <= ITEMS_WHOLE_MAX:
        yield from (in_short(item, room) for item in items)
        return
    yield in_short(items[0], room)
    yield f"{ELLIPSIS} {len(items) - 2:,} more items"
    yield in_short(items[-1], room)
