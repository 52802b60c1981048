"""Migrations of many states, and their undoing, that die at any of the disk's operations: by
`kill -9`, also within a transaction, and by power cuts (P1, P2, P7)."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.fleet_agent import Research

from perdure import Store, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.testing.powercut import PowerCut

STATES = 6
BATCH = 3
Work = Callable[[Store, Callable[[int, int], None]], object]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several transactions, and a log that is moved between them."""
    monkeypatch.setattr(limits, "batch_commits_max", BATCH)
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 16 * 1024)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "filled.db"
    with Store(path, maintenance="off") as store:
        for at in range(STATES):
            with store.open(f"r/{at:02}") as session:
                session.state["topic"] = f"topic {at}"
                session.state["log"] = ["x" * 500] * 4
        store.fork("r/00", "try")
    return path


@pytest.fixture
def migrated(filled: Path) -> tuple[Path, str]:
    with Store(filled, maintenance="off") as store:
        return filled, store.migrate("", Research).run


def migrating(store: Store, progress: Callable[[int, int], None]) -> None:
    store.migrate("", Research, verify_first=False, progress=progress)


def undoing(run: str) -> Work:
    return lambda store, progress: store.unmigrate(run, progress=progress)


def on_disk(path: Path, disk: PowerCut) -> Store:
    return Store(SqliteBackend(path, vfs=disk.name), maintenance="off")


def died(path: Path, work: Work, at: int) -> int | None:
    """Do it in a child that is killed at its n-th operation of the disk; the states that it told
    were done. None: it came to its end."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        left = at

        def kill(_: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        def tell(done: int, _: int) -> None:
            os.write(theirs, bytes([done]))

        with PowerCut(kill) as disk, on_disk(path, disk) as store:
            work(store, tell)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return None if status == 0 else max(told, default=0)


def whole(store: Store) -> tuple[set[str], set[str]]:
    """The branches that are as they were, and those that are as migrated; each is one of them."""
    assert [each for each in store.verify() if not each.ok] == []
    before, after = set(), set()
    for at in range(STATES):
        key, topic = f"r/{at:02}", f"topic {at}"
        for branch in ("main", "try") if not at else ("main",):
            view = store.at(key, branch).plain()
            assert view.pop("log") == ["x" * 500] * 4
            stamps = view.pop("perdure.schema", None)
            view.pop("perdure.kept", None)
            if view == {"topic": topic}:
                assert stamps is None
                before.add(f"{key} {branch}")
            else:
                assert view == {"subject": topic, "budget": 0}
                assert stamps["Research"]["version"] == 2
                after.add(f"{key} {branch}")
    return before, after


def goes_on(path: Path, told: int) -> int:
    """What is left of a migration is whole, has all that was told, and goes on."""
    with Store(path, maintenance="off") as store:
        before, after = whole(store)
        assert len(after) >= told
        found = store.migrate("", Research)
        assert found.counts.get("migrated", 0) == len(before)
        assert found.as_foretold
        assert not whole(store)[0]
        return len(after)


def goes_on_back(path: Path, told: int, run: str) -> int:
    with Store(path, maintenance="off") as store:
        before, after = whole(store)
        assert len(before) >= told
        assert store.unmigrate(run).rolled_back == len(after)
        assert not whole(store)[1]
        return len(before)


def killed_everywhere(
    source: Path, directory: Path, work: Work, check: Callable[[Path, int], int]
) -> list[int]:
    """How many states were done, of a child that was killed at each operation in turn."""
    counts: list[int] = []
    while True:
        path = Path(shutil.copy(source, directory / f"killed{len(counts)}.db"))
        told = died(path, work, len(counts) + 1)
        if told is None:
            return counts
        counts.append(check(path, told))


def cut_everywhere(
    source: Path, directory: Path, work: Work, check: Callable[[Path, int], int]
) -> list[int]:
    """How many states were done, as a power cut at each operation left it."""
    path = Path(shutil.copy(source, directory / "cut.db"))
    cuts: list[tuple[Path, int]] = []
    told = [0]
    with PowerCut() as disk:

        def cut(_: str) -> None:
            place = directory / f"cut{len(cuts)}"
            place.mkdir()
            disk.survivors(place, seed=len(cuts))
            cuts.append((place / path.name, told[-1]))

        with on_disk(path, disk) as store:
            disk.on_operation = cut
            work(store, lambda done, _: told.append(done))
            disk.on_operation = None
    return [check(*each) for each in cuts]


ALL = [killed_everywhere, cut_everywhere]
forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@forks
@pytest.mark.parametrize("everywhere", ALL)
def test_a_migration_that_died_anywhere_left_whole_states_and_goes_on(
    filled: Path, tmp_path: Path, everywhere: Any
) -> None:
    counts = everywhere(filled, tmp_path, migrating, goes_on)
    # Whole transactions, and each of them was cut off before and after.
    assert set(counts) == {0, BATCH, STATES, STATES + 1}


@forks
@pytest.mark.parametrize("everywhere", ALL)
def test_an_undoing_that_died_anywhere_left_whole_states_and_goes_on(
    migrated: tuple[Path, str], tmp_path: Path, everywhere: Any
) -> None:
    path, run = migrated

    def check(path: Path, told: int) -> int:
        return goes_on_back(path, told, run)

    counts = everywhere(path, tmp_path, undoing(run), check)
    assert {0, STATES + 1} <= set(counts)
    assert len(set(counts)) > STATES // BATCH
