"""The pytest plugin for tests of an agent: a real store that is checked at the end, and a clock.

Installed with Perdure, so that a test only has to name the fixtures:

    def test_the_agent_remembers(perdure_store, perdure_clock):
        with perdure_store.open("support/alice") as session:
            session.state["seen"] = True
        perdure_clock.advance(3600)
        assert perdure_store.open("support/alice").resumed.age == 3600
"""

from __future__ import annotations

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

    When the test is over every state in it is verified, and the store is closed.
    """
    from perdure import Store

    with Store(str(tmp_path / "perdure.db"), clock=perdure_clock) as store:
        yield store
        damaged = [each for each in store.verify() if not each.ok]
        assert not damaged, damaged
