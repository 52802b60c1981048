"""What most tests of stores begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure


@pytest.fixture(params=["memory", "sqlite", "encrypted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """An empty store, of either kind, or one with a key."""
    url = "memory:" if request.param == "memory" else tmp_path / "agents.db"
    key = bytes(32) if request.param == "encrypted" else None
    with perdure.Store(url, key=key) as store:
        yield store
