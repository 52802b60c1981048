"""The pytest plugin for tests of an agent: a real store that is checked at the end, and a clock.

Installed with Perdure, so that a test only has to name the fixtures:

    def test_the_agent_remembers(perdure_store, perdure_clock):
        with perdure_store.open("support/alice") as session:
            session.state["seen"] = True
        perdure_clock.advance(3600)
        assert perdure_store.open("support/alice").resumed.age == 3600
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure import Store
    from perdure.testing.clock import Clock


@pytest.fixture
def perdure_clock() -> Clock:
    """A `perdure.testing.clock.Clock` at 2026-01-01 00:00 UTC, which `perdure_store` reads."""
    # Imported here because pytest loads this plugin at every start, whoever uses it.
    from perdure.testing.clock import Clock

    return Clock()


@pytest.fixture
def perdure_store(tmp_path: Path, perdure_clock: Clock) -> Iterator[Store]:
    """A SQLite store of the test's own, at the time `perdure_clock` shows.

    When the test is over the store is closed, if the test did not, and every state in it is
    verified. Unsaved edits of sessions that nobody closed are warned of.
    """
    from perdure import Store

    path = str(tmp_path / "perdure.db")
    store = Store(path, clock=perdure_clock)
    yield store
    store.close()
    for loss in store._driver.losses:
        # As what pytest shows: the `ResourceWarning` is hidden unless it is asked for.
        warnings.warn(pytest.PytestWarning(loss), stacklevel=1)
    with Store(path, clock=perdure_clock) as again:
        damaged = [each for each in again.verify() if not each.ok]
    assert not damaged, damaged
