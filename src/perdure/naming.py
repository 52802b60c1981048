"""The names of states: which are good ones, and how to make one out of parts."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

from perdure import limits
from perdure.errors import InvalidKey

_SLASHES = frozenset("\u2044\u2215\u29f8\u2571\uff0f\ufe68\\")
"""What can be taken for a slash, or is one elsewhere."""
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories of what shows nothing, or moves what stands beside it."""
_SAFE = "".join(map(chr, range(0x21, 0x7F))).translate(str.maketrans("", "", "%*/\\"))
_PLAIN = re.compile(r"[A-Za-z0-9_@:+=,~!$&'();.-]+(?:/[A-Za-z0-9_@:+=,~!$&'();.-]+)*")
"""Names of which only the dots are to be looked at; most are."""
WAY_OUT = "perdure.key(…) writes any text as a part"


def check_key(key: str) -> None:
    """That a key can name a state that exists.

    Raises:
        InvalidKey: it cannot; the message says why.
    """
    if not isinstance(key, str):
        raise InvalidKey(f"a key is a string, not {type(key).__name__}")
    if not key or "\x00" in key:
        raise InvalidKey("a key must not be empty or hold a NUL character")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKey(f"the key {key!r} holds a lone surrogate") from None
    if size > limits.key_bytes_max:
        raise InvalidKey(f"a key has at most {limits.key_bytes_max} bytes; this one has {size}")


def check_new(key: str) -> None:
    """That a state may be made under a key: that it is not taken for another, or for no part of it.

    Raises:
        InvalidKey: it may not; the message says why, and the way out.
    """
    check_key(key)
    for part in key.split("/"):
        problem = _problem(part)
        if problem is not None:
            raise InvalidKey(f"no state can be made under {key!r}: {problem}; {WAY_OUT}")


def _problem(part: str) -> str | None:
    """What is wrong with one part of a name."""
    if not part:
        return "a part of it is empty"
    if part in (".", ".."):
        return f"{part!r} is a way through directories"
    if part.isascii() and _PLAIN.fullmatch(part):
        return None
    if part != part.strip():
        return f"{part!r} begins or ends with a space"
    for letter in part:
        if (problem := _problem_of(letter)) is not None:
            return problem
    if not unicodedata.is_normalized("NFC", part):
        return f"{part!r} can be written otherwise and look the same (it is not in normal form C)"
    return None


def _problem_of(letter: str) -> str | None:
    """What is wrong with one character of a name."""
    if letter in _SLASHES:
        return f"{letter!r} can be taken for a slash"
    if letter == "*":
        return "a '*' stands for all names that begin alike"
    if unicodedata.category(letter) in _HIDDEN:
        return f"{letter!r} cannot be seen"
    return None


def key(*parts: str) -> str:
    """The key of a state out of its parts, whatever they hold: no part reaches beyond its place.

    What a key must not have is written as `%` and the hexadecimal digits of its UTF-8, so that
    other parts give another key; `key_parts` gives the parts back.

    Args:
        parts: texts, none of them empty.

    Raises:
        InvalidKey: there is no part, one is empty or no text, or they are too long together.

    Example:
        >>> perdure.key("support", "alice"), perdure.key("support", "../bob")
        ('support/alice', 'support/..%2Fbob')
    """
    if not parts:
        raise InvalidKey("a key has at least one part")
    made = "/".join([_written(each) for each in parts])
    check_new(made)
    return made


def _written(part: str) -> str:
    if not isinstance(part, str):
        raise InvalidKey(f"a part of a key is a string, not {type(part).__name__}")
    if not part:
        raise InvalidKey("a part of a key must not be empty: it would be taken for no part")
    try:
        part.encode()
    except UnicodeEncodeError:
        raise InvalidKey(f"{part!r} holds a lone surrogate") from None
    if part in (".", ".."):
        return part.replace(".", "%2E")
    made = "".join([each if _may_stand(each) else quote(each, safe="") for each in part])
    return made if _problem(made) is None else quote(part, safe=_SAFE)


def _may_stand(letter: str) -> bool:
    return letter not in "%/" and _problem_of(letter) is None


def key_parts(key: str) -> tuple[str, ...]:
    """The parts of which `key` made a key.

    Raises:
        InvalidKey: it is no key.

    Example:
        >>> perdure.key_parts("support/..%2Fbob")
        ('support', '../bob')
    """
    check_key(key)
    return tuple([unquote(part, errors="replace") for part in key.split("/")])
