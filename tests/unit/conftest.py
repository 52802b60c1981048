"""What most tests of stores begin with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import perdure


@pytest.fixture(params=["memory", "sqlite", "encrypted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """An empty store, of either kind, or one with a key."""
    url = "memory:" if request.param == "memory" else tmp_path / "agents.db"
    key = bytes(32) if request.param == "encrypted" else None
    with perdure.Store(url, key=key) as store:
        yield store


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that is reached, and owned, without root's rights."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        if os.geteuid() == 0:
            os.chown(name, 65534, -1)
        yield Path(name)
