"""A store that two processes work on, whose clock and whose lives a test has in hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.leases.leased import World

import perdure
from perdure.testing.clock import Clock


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "a.db", Clock())


@pytest.fixture
def mine(world: World) -> Iterator[perdure.Store]:
    with world.store() as store:
        yield store


@pytest.fixture
def theirs(world: World) -> Iterator[perdure.Store]:
    with world.store() as store:
        yield store
