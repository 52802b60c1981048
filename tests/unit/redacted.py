"""A state with a mail address in it, and what a redaction of that makes of it."""

from __future__ import annotations

import re
from typing import Any

from tests.unit.pruned import require_sound

import perdure

MAIL = "alice@example.com"
MARK = "[redacted]"
ALICE = re.compile(r"alice(@example\.com)?")


def talk(store: perdure.Store, key: str = "a", count: int = 30) -> None:
    """A state whose text is in a field, in messages, and in a draft written in pieces."""
    with store.open(key) as session:
        session.state["profile"] = {"name": "Al", "email": MAIL, "ids": [1, 2]}
        session.save()
        for number in range(count):
            text = f"{number}: write to {MAIL}!" if number % 5 == 0 else f"{number}: hello"
            session.state.setdefault("messages", []).append({"role": "user", "text": text})
            session.save()
        session.state["draft"] = "Dear all, this is from alice@"
        session.save()
        session.state["draft"] += "example.com and me"
        session.save()
        session.state["draft"] += ", kindly"
        session.save()


def every(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    """The state at each checkpoint there is, by the checkpoint's id."""
    found = store.history(key, every=True)
    return {each.id: store.at(key, each.id).plain() for each in found}


def hashes(store: perdure.Store, key: str = "a") -> dict[str, tuple[Any, ...]]:
    """What a redaction must not change of each checkpoint."""
    found = store.history(key, every=True)
    return {each.id: (each.number, each.hash, each.parent, each.time) for each in found}


def plainly(value: Any) -> Any:
    """What redacting the mail address makes of a value, said anew."""
    if isinstance(value, dict):
        return {key: plainly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plainly(each) for each in value]
    return value.replace(MAIL, MARK) if isinstance(value, str) else value


def require_redacted(store: perdure.Store, before: dict[str, Any], key: str = "a") -> None:
    """Every checkpoint is what it was, but for the mail address."""
    assert every(store, key) == {id_: plainly(state) for id_, state in before.items()}
    assert MAIL not in repr((every(store, key), store.history(key, every=True, changes=True)))
    require_sound(store)
