"""Stores to be upgraded, each a copy of its own."""

from pathlib import Path

import pytest
from tests.format.upgrades import EARLY, STORES, copied, named


@pytest.fixture(params=STORES, ids=named)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one golden store."""
    return copied(request.param, tmp_path)


@pytest.fixture
def early(tmp_path: Path) -> Path:
    """A store as versions before packs and pages made it."""
    return copied(EARLY, tmp_path)
