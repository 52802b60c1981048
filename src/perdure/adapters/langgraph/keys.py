"""The keys of the states that threads are kept in: each thread and namespace has one of its own.

A key is the prefix, the id and, after a `#`, the namespace, as they are wherever that makes a key.
What a key cannot have (a `*`, what cannot be seen, an empty part) is written as `%` and the digits
of its UTF-8. What is too long is cut, and followed by a hash of all of it: of such a key the state
itself says which thread it is of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from perdure.errors import InvalidKey
from perdure.naming import check_new
from perdure.naming import key as written_key

NAMED = "thread"
"""Where the section of a checkpoint has the id and the namespace that its key does not tell."""

ROOT_BYTES_MAX = 512
"""Namespaces of threads with longer keys may be under another key, which is cut (bytes)."""

START_BYTES_MAX = 96
"""How much of what is too long is left readable (bytes)."""

_BETWEEN = "#"
_CUT = "%~"
"""Between what is left of a text and the hash of all of it."""
_EMPTY = "%"
_ESCAPED = "|"
"""What a namespace begins with that is not written as it is: LangGraph makes none that does."""


@lru_cache(maxsize=1024)
def key_of(prefix: str, thread_id: str, namespace: str) -> str:
    """The key of the state that a thread is kept in, of one namespace of it.

    Args:
        prefix: what all keys begin with.
        thread_id: any text.
        namespace: any text; "" is the thread itself.

    Example:
        >>> key_of("threads/", "alice", ""), key_of("threads/", "a#1", "tools:7c9e")
        ('threads/alice', 'threads/a%231#tools:7c9e')
        >>> key_of("threads/", "a*b", ""), key_of("threads/", "a//b", "")
        ('threads/a%2Ab', 'threads/a%2F%2Fb')
    """
    forms = list(_forms(prefix, thread_id, namespace))
    return next(filter(_is_key, forms), forms[0])  # with a bad prefix none is: who opens it is told


def _forms(prefix: str, thread_id: str, namespace: str) -> Iterator[str]:
    """What the key may be: the first of these that is one."""
    for root in (_root(prefix, thread_id), prefix + _cut(thread_id)):
        if not namespace:
            yield root
            continue
        if not namespace.startswith(_ESCAPED):
            yield root + _BETWEEN + namespace
        yield root + _BETWEEN + _ESCAPED + _escaped(namespace)
        yield root + _BETWEEN + _ESCAPED + _cut(namespace)


def _root(prefix: str, thread_id: str) -> str:
    """The key of a thread, as long as it may be."""
    simple = prefix + thread_id.replace("%", "%25").replace(_BETWEEN, quote(_BETWEEN))
    if _is_key(simple):
        return simple
    return prefix + (_escaped(thread_id) if thread_id else _EMPTY)


def _escaped(text: str) -> str:
    """A text as one part of a key; `unquote` gives it back."""
    try:
        return written_key(text).replace(_BETWEEN, quote(_BETWEEN))
    except InvalidKey:  # it is too long, or no UTF-8
        return quote(text, safe="", errors="surrogatepass")


def _cut(text: str) -> str:
    """The start of a text, and a hash of all of it."""
    data = text.encode(errors="surrogatepass")
    start = data[:START_BYTES_MAX].decode(errors="ignore").rstrip()
    return quote(start, safe="") + _CUT + hashlib.blake2b(data, digest_size=32).hexdigest()


def _is_key(key: str) -> bool:
    try:
        check_new(key)
    except InvalidKey:
        return False
    return True


def names_of(key: str, thread_id: str, namespace: str) -> dict[str, Any]:
    """What a checkpoint has to say of the thread it is of, since its key does not tell."""
    return {NAMED: [thread_id, namespace]} if _CUT in key else {}


def place_of(prefix: str, key: str, checkpoint: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """The thread and the namespace that a key stands for; None: that cannot be told.

    Args:
        prefix: what all keys begin with.
        key: of a state.
        checkpoint: what the newest checkpoint says of itself; None: not known. It is asked where
            `is_told(key)` is False.
    """
    if not is_told(key):
        named = (checkpoint or {}).get(NAMED)
        return (named[0], named[1]) if named else None
    thread_id, _, namespace = key.removeprefix(prefix).partition(_BETWEEN)
    if namespace.startswith(_ESCAPED):
        namespace = unquote(namespace[len(_ESCAPED) :], errors="surrogatepass")
    if thread_id == _EMPTY:
        return "", namespace
    return unquote(thread_id, errors="surrogatepass"), namespace


def is_told(key: str) -> bool:
    """Whether a key tells which thread it is of."""
    return _CUT not in key


def root_of(prefix: str, key: str) -> str:
    """The key of the thread that a key is of, which may be that of a namespace."""
    return prefix + key.removeprefix(prefix).partition(_BETWEEN)[0]


def roots_of(prefix: str, thread_id: str) -> list[str]:
    """What the keys of a thread begin with: its own, and of a very long one that cut short too."""
    root = key_of(prefix, thread_id, "")
    is_long = len(root.encode()) > ROOT_BYTES_MAX
    return list(dict.fromkeys([root, *([prefix + _cut(thread_id)] if is_long else [])]))


def namespaces_of(root: str) -> str:
    """What the keys of a thread's namespaces begin with; `root` is the thread's."""
    return root + _BETWEEN


def is_of_thread(root: str, key: str) -> bool:
    """Whether a key is that of a thread, or of one of its namespaces; `root` is the thread's."""
    return key == root or key.startswith(namespaces_of(root))
