"""What was meant by a key that no state has: a section behind it, or a pattern."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from perdure.errors import NeedsPerson, StateNotFound

if TYPE_CHECKING:
    from perdure.store import Store


def instead(store: Store, key: str) -> str:
    """What to say after "there is no state", of the command that is run; else empty.

    Keys that are spelt much like it are told by the library.
    """
    name = click.get_current_context().info_name
    if name == "erase" and any(char in key for char in "*?["):
        return f" For all that fit a pattern: perdure erase --match {shlex.quote(key)}"
    found = _with_section(store, key) if name == "show" else None
    if found is None:
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
