"""A state's key with a section behind it, where the two are to be given apart."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from perdure.errors import NeedsPerson, StateNotFound

if TYPE_CHECKING:
    from perdure.store import Store


def instead(store: Store, key: str) -> str:
    """What to say after "there is no state", where `key` begins with that of a state; else empty.

    Keys that are spelt much like it are told by the library.
    """
    found = _with_section(store, key)
    if found is None or click.get_current_context().info_name != "show":
        return ""
    state, section = found
    command = f"perdure show {shlex.quote(state)} {shlex.quote(section)}"
    return f" The state {state!r} exists: put a space before the section: {command}"


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
