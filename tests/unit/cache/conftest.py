"""A store of each kind whose backend notes what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cache.asked import Asked

import perdure
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.sqlite import SqliteBackend


@pytest.fixture(params=["sqlite", "memory", "objects"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    backends: dict[str, Any] = {
        "sqlite": lambda: SqliteBackend(tmp_path / "a.db"),
        "memory": MemoryBackend,
        "objects": ObjectBackend,
    }
    return Asked(backends[request.param]())


@pytest.fixture
def store(asked: Asked) -> Iterator[perdure.Store]:
    with perdure.Store(asked.backend, maintenance="off", durability="process") as made:
        yield made
