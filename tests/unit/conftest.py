"""What most tests of stores begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """An empty store, of either kind."""
    url = "memory:" if request.param == "memory" else tmp_path / "agents.db"
    with perdure.Store(url) as store:
        yield store
