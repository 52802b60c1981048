"""Maintenance that is really killed, beside a writer that is, and a reader (P1, P2, P6)."""

from pathlib import Path
from typing import Any

import pytest

from perdure.engine import maintain
from perdure.engine.requests import Steps
from perdure.testing.kill_upkeep import edit, kill_while_maintaining, state_after

STORES = 3
KILLS_EACH = 10


def test_nothing_is_lost_when_a_writer_and_its_maintenance_are_killed(tmp_path: Path) -> None:
    reports = [
        kill_while_maintaining(str(tmp_path / f"{seed}.db"), kills=KILLS_EACH, seed=seed)
        for seed in range(STORES)
    ]
    for report in reports:
        assert report.kills == KILLS_EACH + 1
        assert report.acknowledged >= report.kills
        assert report.steps > 0
        assert report.reads > 0
        assert report.abandoned > 0


def test_abandoned_pages_that_stay_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def idle(*_: Any) -> Steps[bool]:
        return False
        yield

    # Here only: those that are killed have the true one.
    monkeypatch.setattr(maintain, "collect_pages", idle)
    with pytest.raises(AssertionError, match="nothing leads to were not collected"):
        kill_while_maintaining(str(tmp_path / "kill.db"), kills=2)


def test_the_state_that_is_compared_is_the_one_that_is_edited() -> None:
    state: dict[str, Any] = {}
    for step in range(1, 40):
        edit(state, step)
        assert state == state_after(step)
