"""A long list that is kept as a tree, and changes to it of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure import limits

COUNT = 1000


def item(n: int) -> dict[str, Any]:
    return {"n": n, "content": f"message {n} " * 20, "calls": []}


def kept(store: perdure.Store, **sections: Any) -> None:
    """Save sections, each larger than what is kept inline, so that a snapshot has them as trees."""
    with store.open("a") as session:
        session.state.update(sections)
        session.save()
        for n in range(limits.tail_records_max + 2):
            session.state["n"] = n
            session.save()
    store.maintain("a")


def long_list(store: perdure.Store) -> None:
    kept(store, m=[item(n) for n in range(COUNT)])


def edit(store: perdure.Store, what: Any) -> None:
    with store.open("a") as session:
        what(session.state["m"])


def grow_text(m: Any) -> None:
    m[-1]["content"] += "more"
    m[-1]["calls"].append("x")


def edit_old_items(m: Any) -> None:
    m[5]["n"] = "five"
    m[-3]["calls"].append(1)


def insert_here_and_there(m: Any) -> None:
    m.insert(0, item(-1))
    m.insert(500, item(-2))
    m.insert(1, "x")


def all_at_once(m: Any) -> None:
    for change in list(CHANGES.values())[1:-1]:
        change(m)


CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda m: None,
    "appended": lambda m: m.extend(item(n) for n in range(COUNT, COUNT + 30)),
    "new item edited": lambda m: m.append(item(COUNT)),
    "old item edited": edit_old_items,
    "cut at the front": lambda m: m.__delitem__(slice(0, 500)),
    "compacted": lambda m: m.__setitem__(slice(2, 990), [item(-1)]),
    "cut at the end": lambda m: m.__delitem__(slice(40, None)),
    "inserted": insert_here_and_there,
    "replaced": lambda m: m.__setitem__(slice(100, 110), [item(-n) for n in range(50)]),
    "all at once": all_at_once,
}
changed = pytest.mark.parametrize("how", CHANGES)
PARTS = [(0, 10), (3, 5), (95, 130), (-20, None), (38, 45), (0, None), (495, 510), (7, 7)]


def apply(store: perdure.Store, how: str) -> list[Any]:
    """Make a change, each step of it saved, so that the tail holds splices within new values."""
    with store.open("a") as session:
        m = session.state["m"]
        CHANGES[how](m)
        if how == "new item edited":
            session.save()
            grow_text(m)
    state: list[Any] = store.at("a", store.info("a").number).plain()["m"]
    return state
