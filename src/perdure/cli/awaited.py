"""What a watch waits for that is not there yet: it may come, or be a slip of the pen."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from perdure.cli.context import MAIN
from perdure.cli.words import safe
from perdure.errors import NeedsPerson, StateNotFound

if TYPE_CHECKING:
    from perdure.store import Store

BRANCHES_NAMED_MAX = 3


def not_there_yet(store: Store, key: str, branch: str) -> str:
    """That nothing there matches what is to be watched; empty if something does.

    Args:
        store: where to look.
        key: a key, or the beginning of keys and a star.
        branch: the branch to watch.
    """
    try:
        if key.endswith("*"):
            if store.states(key[:-1], limit=1):
                return ""
            return f"there is no state {safe(key)} yet"
        names = [each.name for each in store.branches(key)]
    except StateNotFound:
        return f"there is no state {safe(key)} yet{_star(store, key)}"
    except NeedsPerson:
        return ""  # damaged, but there: the watch tells
    return "" if branch in names else f"{safe(key)} has no branch {safe(branch)} yet{_named(names)}"


def _star(store: Store, key: str) -> str:
    """What to write for all states whose keys begin so, where there are any."""
    if not store.states(key, limit=1):
        return ""
    return f"; all whose keys begin so: perdure watch {shlex.quote(safe(key) + '*')}"


def _named(names: list[str]) -> str:
    """Which branches there are besides main."""
    others = [safe(name) for name in names if name != MAIN][:BRANCHES_NAMED_MAX]
    more = ", …" if len(names) > BRANCHES_NAMED_MAX + 1 else ""
    return f"; it has {', '.join([MAIN, *others])}{more}"
