"""A state large enough for a cache, and a backend that notes what it is asked."""

from __future__ import annotations

from typing import Any

import perdure
from perdure.backends.protocol import Backend
from perdure.cache import Cache
from perdure.engine.requests import ReadPages


class Asked:
    """What a backend was asked, and what it answered."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.seen: list[tuple[Any, Any]] = []
        self._perform = backend.perform
        backend.perform = self.perform  # type: ignore[method-assign]

    def perform(self, request: Any) -> Any:
        answer = self._perform(request)
        self.seen.append((request, answer))
        return answer

    def taken(self) -> list[tuple[Any, Any]]:
        """All since this was called last."""
        seen, self.seen = self.seen, []
        return seen

    def pages(self) -> set[bytes]:
        """Ids of the pages asked for since `taken`."""
        requests = [request for request, _ in self.taken()]
        return {id_ for each in requests if type(each) is ReadPages for id_ in each.ids}

    def kinds(self) -> list[type]:
        """Kinds of requests since `taken`."""
        return [type(request) for request, _ in self.taken()]


def fill(store: perdure.Store, key: str = "a", saves: int = 70) -> None:
    """Four sections, of which one is long; a snapshot, and three records after it."""
    with store.open(key) as session:
        session.state.update({"messages": [], "plan": {str(n): n for n in range(3000)}})
        for n in range(saves):
            session.state["messages"].append({"n": n, "content": f"message {n} " * 50})
            session.state["count"] = n + 1
            session.save(metadata={"tags": [n]})
    store.maintain(key)
    with store.open(key) as session:
        for n in range(3):
            session.state["last"] = n
            session.save(metadata={"tags": ["last"]})


def plain(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    with store.open(key) as session:
        return session.state.plain()


def cache_of(store: perdure.Store | perdure.AsyncStore) -> Cache:
    cache = store._driver.cache
    assert cache is not None
    return cache
