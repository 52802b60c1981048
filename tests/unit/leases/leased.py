"""One store seen by two, and what its heads say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import perdure
from perdure.core.head import Head
from perdure.engine.read import Site
from perdure.engine.requests import IsAlive, ReadHead
from perdure.testing.clock import Clock


@dataclass
class World:
    """One store seen by two, as if by two processes, whose life and time a test decides."""

    path: Path
    clock: Clock
    alive: bool | None = True

    def store(self, **options: Any) -> perdure.Store:
        store = perdure.Store(self.path, clock=self.clock, maintenance="off", **options)
        store._driver._answers[IsAlive] = lambda _: self.alive
        return store


def head_of(store: perdure.Store, key: str = "a") -> Head:
    site = Site(store._driver.connect().store_id, key)
    return site.head(store._driver.answer(ReadHead(key)))


def put(store: perdure.Store, name: str, value: Any, **options: Any) -> None:
    with store.open("a", **options) as session:
        session.state[name] = value
