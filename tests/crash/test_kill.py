"""Processes that save as fast as they can, really killed (P1, P2, P3)."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from perdure import Checkpoint, Store
from perdure.testing.kill import SHAPES, append, kill_rivals, kill_while_saving

# `--kills` counts all processes of this file: one share for each shape, and two for the rivals.
SHARES = len(SHAPES) + 2


@pytest.mark.parametrize("shape", SHAPES)
def test_every_acknowledged_save_survives_a_kill(shape: str, kills: int, tmp_path: Path) -> None:
    share = -(-kills // SHARES)
    report = kill_while_saving(str(tmp_path / "kill.db"), shape, kills=share)
    assert report.kills == share
    assert report.acknowledged >= share // 2


def test_two_killed_writers_on_one_state_lose_nothing(kills: int, tmp_path: Path) -> None:
    pairs = -(-kills // SHARES)
    report = kill_rivals(str(tmp_path / "kill.db"), kills=2 * pairs)
    assert report.kills == 2 * pairs
    assert report.acknowledged >= report.kills


def test_a_lost_acknowledged_save_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = Store.history

    def forgetful(*args: Any, **options: Any) -> list[Checkpoint]:
        return history(*args, **options)[:-1]

    monkeypatch.setattr(Store, "history", forgetful)
    with pytest.raises(AssertionError, match="acknowledged and not there"):
        kill_while_saving(str(tmp_path / "kill.db"), "append", kills=5)


def test_a_state_that_is_not_whole_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(state: MutableMapping[str, Any], step: int) -> None:
        append(state, step + (step == 1))

    monkeypatch.setitem(SHAPES, "append", other)  # here only: the writers have the true one
    with pytest.raises(AssertionError, match="not that of its last checkpoint"):
        kill_while_saving(str(tmp_path / "kill.db"), "append", kills=5)
