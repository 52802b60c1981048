"""What a conversation is about, in one line, as `perdure ls` shows it."""

from __future__ import annotations

from typing import Any

SUMMARY_CHARS = 120
"""How much of the last user's message a summary has (characters)."""


def text_of(content: Any, chars_max: int) -> str:
    """What a message says, in one line.

    Args:
        content: of the message: a text, or parts of which some have one.
        chars_max: how much of it at most.

    Example:
        >>> text_of("Where is it?", 8)
        'Where i…'
    """
    if not isinstance(content, str):
        parts = content if isinstance(content, list) else []
        texts = [each.get("text") if isinstance(each, dict) else each for each in parts]
        content = " ".join(text for text in texts if isinstance(text, str))
    line = " ".join(content[: 4 * chars_max].split())
    line = line.encode(errors="replace").decode()  # a lone surrogate is no text
    return line if len(line) <= chars_max else line[: chars_max - 1] + "…"
