"""States long enough to be maintained, and what is stored of them."""

from __future__ import annotations

from typing import Any

import perdure
from perdure.core.head import MAIN
from perdure.engine.read import read_head
from perdure.engine.requests import (
    ListPages,
    ListRows,
)
from perdure.reports import MaintenanceStep

SNAPSHOT = MaintenanceStep("snapshot")


def message(n: int) -> dict[str, Any]:
    return {"role": "user", "n": n, "content": f"message {n} " * 40}


def filled(store: perdure.Store, saves: int = 200, key: str = "a") -> dict[str, Any]:
    with store.open(key) as session:
        session.state.update({"messages": [], "plan": {str(n): {"v": n} for n in range(500)}})
        session.state["draft"] = ""
        for n in range(saves):
            session.state["messages"].append(message(n))
            session.state["plan"][str(n % 500)]["v"] = -n
            session.state["draft"] += f"word {n} " * 20
            session.save(label=f"save {n}")
        return session.state.plain()


def head_of(store: perdure.Store, key: str = "a") -> Any:
    return store._driver.run(read_head(store._site(key)))


def rows_of(store: perdure.Store, key: str = "a") -> Any:
    head = head_of(store, key)
    tip = head.branches[MAIN]
    listed = ListRows(head.incarnation, tip.line, 1, tip.number, 10_000)
    return store._driver.backend.perform(listed)


def pages_of(store: perdure.Store, key: str = "a") -> set[bytes]:
    listed = ListPages(head_of(store, key).incarnation, None, 10_000)
    return {id_ for id_, _ in store._driver.backend.perform(listed)}


def saved_on(session: perdure.Session, times: int) -> None:
    for n in range(times):
        session.state["n"] = n
        session.state["messages"].append(message(n))
        session.save()
