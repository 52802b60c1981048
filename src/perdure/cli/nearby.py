"""Which key was meant, where no state has the one that was given."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from perdure.errors import NeedsPerson, StateNotFound

if TYPE_CHECKING:
    from perdure.store import Store

NAMED_MAX = 3
KEYS_COMPARED_MAX = 1000
"""A large store is not read through for a hint."""

KEY_CHARACTERS_MAX = 200
"""Comparing costs the product of two lengths."""


def instead(store: Store, key: str) -> str:
    """What to say after "there is no state": a section's place, or keys that are near.

    Empty where nothing is near.
    """
    if any(info.key == key for info in store.states(key, limit=1, deleted=True)):
        return ""  # what was said of its deletion says enough
    if found := _with_section(store, key):
        state, section = found
        if click.get_current_context().info_name == "show":
            command = f"perdure show {shlex.quote(state)} {shlex.quote(section)}"
            return f". The state {state!r} exists: put a space before the section: {command}"
        return f". Did you mean {state!r}?"
    near = _near(store, key)
    if not near:
        return ""
    *others, last = map(repr, near)
    return f". Did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def _with_section(store: Store, key: str) -> tuple[str, str] | None:
    """The state that the beginning of `key` names, and the rest."""
    for cut in reversed([index for index, char in enumerate(key) if char == "/" and index]):
        try:
            store.info(key[:cut])
        except StateNotFound:
            continue
        except NeedsPerson:
            pass  # damaged, but there
        return key[:cut], key[cut + 1 :]
    return None


def _near(store: Store, key: str) -> list[str]:
    """The keys that begin with `key`, else those that are spelt much like it."""
    longer = [info.key for info in store.states(key, limit=NAMED_MAX)]
    if longer or len(key) > KEY_CHARACTERS_MAX:
        return longer
    group = key[: key.rfind("/") + 1]
    infos = store.states(group, limit=KEYS_COMPARED_MAX)
    if group and not infos:
        infos = store.states(limit=KEYS_COMPARED_MAX)
    known = [info.key for info in infos if len(info.key) <= KEY_CHARACTERS_MAX]
    return get_close_matches(key, known, n=NAMED_MAX)
