"""A state with a history to be pruned, and what tests of that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import perdure
from perdure.core.refs import Ref

URLS = {"sqlite": "{}/a.db", "memory": "memory:", "objects": "memory+objects:"}
LAST_5 = perdure.Retention(keep_last=5)
NO_LEFT = perdure.Retention(keep_last=5, keep_left=timedelta(0))
COUNT = 100
LABELS = {20: "twenty", 21: "next", 60: "sixty"}
KEPT = [20, 21, 60, *range(96, 101)]


@contextmanager
def hundred(kind: str, path: Path) -> Iterator[perdure.Store]:
    """A store with a hundred checkpoints of one state, three of them with a label."""
    with perdure.Store(URLS[kind].format(path), maintenance="off") as made:
        save(made, range(1, COUNT + 1))
        yield made


def save(store: perdure.Store, values: Any, branch: str = "main") -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state["n"] = value
            session.state.setdefault("log", []).append(f"{branch}: message {value} " * 20)
            session.save(label=LABELS.get(value) if branch == "main" else None)


def whole(store: perdure.Store, ref: Ref = "main") -> dict[str, Any]:
    return store.at("a", ref).plain()


def numbers(store: perdure.Store, branch: str = "main") -> list[int]:
    return [each.number for each in store.history("a", branch=branch)][::-1]


def told(store: perdure.Store) -> str:
    return repr((store.history("a", every=True), store.movements("a"), store.stats("a")))


def require_sound(store: perdure.Store) -> None:
    """Every byte is as it should be, and nothing is stored that nothing needs."""
    for found in store.verify():
        assert found.problem is None
        assert not found.unreferenced
    assert not store.unreferenced()


def prune(store: perdure.Store, policy: perdure.Retention = LAST_5) -> perdure.Pruned:
    (found,) = store.prune(policy, "a")
    require_sound(store)
    return found
