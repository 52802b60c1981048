"""The Nth operation of the disk fails, once or for ever, or the disk is full (P1, P2, P3).

That is tried for N = 1, 2, … until none fails, through saves, maintenance and a pruning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest

from perdure import Retention, Store
from perdure.backends.sqlite import SqliteBackend
from perdure.errors import PerdureError
from perdure.testing.faults import FailingDisk
from perdure.testing.sim_stores import small_world

KEY = "agent"
SAVES = 4
FOR_EVER, ONCE = True, False


class Agent:
    """What saves, maintains and prunes, and remembers what it was told is durable."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.errors: Counter[str] = Counter()

    def live(self, store: Store) -> None:
        """Save a few times, then maintain and prune."""
        with store.open(KEY) as session:
            for _ in range(SAVES):
                session.state.setdefault("messages", []).append(session.state.get("n", 0))
                session.state["n"] = session.state.get("n", 0) + 1
                session.save()
                self.acknowledged = max(self.acknowledged, session.state["n"])
        (done,) = store.maintain(KEY)
        if done.problem is not None:
            self.errors[done.problem.partition(":")[0]] += 1
        store.prune(Retention(keep_last=3), KEY)

    def try_to_live(self, store: Store) -> bool:
        """The same, where the disk may fail; whether it went well."""
        try:
            self.live(store)
        except PerdureError as error:
            self.errors[error.kind] += 1
            return False
        return True


def is_whole(path: Path, agent: Agent) -> None:
    """What was acknowledged is there, and everything fits together, once the disk works again."""
    with Store(path, maintenance="off") as store:
        if agent.acknowledged:
            (found,) = store.verify(KEY)
            assert found.ok, found.problem
        for info in store.states():
            state = store.open(info.key).state.plain()
            assert state.get("n", 0) >= agent.acknowledged
            assert state.get("messages", []) == list(range(state.get("n", 0)))
        assert agent.try_to_live(store), agent.errors


def begun(path: Path) -> None:
    """A store that was worked with before, so that there is something to lose."""
    with Store(path, maintenance="off") as store:
        agent = Agent()
        agent.live(store)


@pytest.mark.parametrize("is_full", [False, True], ids=["fails", "full"])
@pytest.mark.parametrize("for_ever", [ONCE, FOR_EVER], ids=["once", "for ever"])
def test_whatever_operation_fails_nothing_acknowledged_is_lost(
    tmp_path: Path, for_ever: bool, is_full: bool, tell: Callable[[str], None]
) -> None:
    start, path = tmp_path / "start.db", tmp_path / "store.db"
    errors: Counter[str] = Counter()
    at, cases, failed = 1, 0, 0
    with small_world():
        begun(start)
        while True:
            copy(start, path)
            agent = Agent()
            with FailingDisk(at, for_ever=for_ever, is_full=is_full) as disk:
                with Store(SqliteBackend(str(path), vfs=disk.name), maintenance="off") as store:
                    went_well = agent.try_to_live(store)
                    if not went_well and not for_ever:
                        assert agent.try_to_live(store), agent.errors  # the next try is as any
                has_failed = disk.failed
            is_whole(path, agent)
            for leftover in tmp_path.glob("store.db*"):
                leftover.unlink()
            cases, failed, errors = cases + 1, failed + bool(has_failed), errors + agent.errors
            if not has_failed:
                break
            at += 1
    tell(f"{cases} disks, {failed} of which failed: {dict(errors)}")
    assert failed >= 50
    assert sum(errors.values()) >= failed // 4
    assert set(errors) <= {"storage-full"} if is_full else "unavailable" in errors
