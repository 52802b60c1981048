"""Sessions that merge, and others that save meanwhile."""

from collections.abc import Callable
from typing import Any

import perdure
from perdure.core.codec import pack


def begin(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state.update({"log": ["begun"], "facts": {"x": {"n": 1}}, "plan": {"step": 1}})


def merging(store: perdure.Store, **strategies: Any) -> perdure.Session:
    named = {name.replace("__", "/"): each for name, each in strategies.items()}
    return store.open("a", on_conflict="merge", strategies=named)


def elsewhere(store: perdure.Store, edit: Callable[[Any], object]) -> None:
    with store.open("a") as other:
        edit(other.state)


def stored(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    plain: dict[str, Any] = store.at(key, "main").plain()
    return plain


def is_as_stored(store: perdure.Store, session: perdure.Session) -> bool:
    """Whether what is live is what the next session reads, and nothing of it is unsaved (P13)."""
    is_same = pack(session.state.plain()) == pack(stored(store, session.key))
    return is_same and session.changes() == []
