"""The settable clock, and the fixtures that use it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from perdure import Store
from perdure.testing.clock import Clock


def test_it_stands_still_until_moved() -> None:
    clock = Clock("2026-01-01T00:00:00Z")
    assert clock() == clock() == 1_767_225_600_000_000
    clock.advance(1.5)
    assert clock() == 1_767_225_601_500_000
    clock.advance(-1.5)
    assert clock.now == datetime(2026, 1, 1, tzinfo=UTC)


def test_it_takes_any_zone_and_shows_utc() -> None:
    zone = timezone(timedelta(hours=2))
    assert Clock(datetime(2026, 1, 1, 2, tzinfo=zone)).now == Clock().now
    assert repr(Clock()) == "Clock('2026-01-01T00:00:00+00:00')"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="add Z for UTC"):
        Clock("2026-01-01T00:00:00")


@pytest.mark.parametrize("amount", ["1h", "60", None, timedelta(hours=1)], ids=repr)
def test_it_moves_by_seconds_alone(amount: Any) -> None:
    clock = Clock()
    with pytest.raises(TypeError, match="a number of seconds, not "):
        clock.advance(amount)
    assert clock() == Clock()()


def test_a_test_may_close_the_store_itself(perdure_store: Store) -> None:
    """The fixture still verifies it; see also `test_unsaved_edits`."""
    with perdure_store.open("agent") as session:
        session.state["seen"] = True
    perdure_store.close()


def test_the_store_of_the_fixture_keeps_the_clocks_time(
    perdure_store: Store, perdure_clock: Clock
) -> None:
    with perdure_store.open("agent") as session:
        session.state["seen"] = True
        assert session.save().time == perdure_clock.now
    perdure_clock.advance(3600)
    resumed = perdure_store.open("agent").resumed
    assert resumed is not None
    assert resumed.age == 3600
