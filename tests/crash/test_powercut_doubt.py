"""Acknowledged with "power" survives, though an answer was lost or a sync failed (P1, P4)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from perdure import Session, Store, errors, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.engine.requests import Answer, Commit, Committed, Durability, Moved, ReadState
from perdure.testing.contract_kit import Writer
from perdure.testing.powercut import PowerCut

CUTS = 25


@contextmanager
def after_cuts(disk: PowerCut, directory: Path) -> Iterator[list[Path]]:
    """The stores that a power cut at this moment could leave."""
    found = []
    for seed in range(CUTS):
        after = directory / f"cut{seed}"
        after.mkdir()
        disk.survivors(after, seed=seed)
        found.append(after / "store.db")
    yield found


# ---- an answer that was lost ----------------------------------------------------------------


class Forgetful(SqliteBackend):
    """Commits as told, and loses the answer to the next few."""

    answers_to_lose = 0

    def commit(self, batch: Sequence[Commit]) -> list[Answer | errors.PerdureError]:
        outcomes = super().commit(batch)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise errors.CommitUnknown("the answer was lost, as planted")
        return outcomes


def lost_then_saved(session: Session, backend: Forgetful) -> None:
    backend.answers_to_lose = 5
    with pytest.raises(errors.CommitUnknown):
        session.save(durability="process")
    session.save()


def others_save(backend: Forgetful) -> None:
    again = SqliteBackend(backend.path, vfs=backend._place.vfs)
    with Store(again, durability="process") as other, other.open("a") as second:
        second.state["other"] = True


def lost_then_saved_on_top(session: Session, backend: Forgetful) -> None:
    backend.answers_to_lose = 5
    with pytest.raises(errors.CommitUnknown):
        session.save(durability="process")
    others_save(backend)
    session.save()


def saved_once_more(session: Session, backend: Forgetful) -> None:
    session.save(durability="process")
    session.save()


def saved_once_more_beside_others(session: Session, backend: Forgetful) -> None:
    session.save(durability="process")
    others_save(backend)
    session.save()


def closed(session: Session, backend: Forgetful) -> None:
    session.save(durability="process")
    session.close()


@pytest.mark.parametrize(
    "settle",
    [
        lost_then_saved,
        lost_then_saved_on_top,
        saved_once_more,
        saved_once_more_beside_others,
        closed,
    ],
    ids=lambda function: function.__name__,
)
def test_a_save_that_had_landed_is_durable_when_it_is_acknowledged_P1(
    tmp_path: Path, settle: Callable[[Session, Forgetful], None]
) -> None:
    """Landed under "process", where nothing is synced, and then answered under "power"."""
    with PowerCut() as disk:
        backend = Forgetful(tmp_path / "store.db", vfs=disk.name)
        with Store(backend) as store:
            session = store.open("a")
            session.state["n"] = 1
            session.save()
            session.state["n"] = 2
            settle(session, backend)
            with after_cuts(disk, tmp_path) as cuts:
                for cut in cuts:
                    with Store(cut, create=False) as left:
                        assert left.at("a", 2)["n"] == 2


def test_a_save_settled_twice_is_still_one_checkpoint_P4(tmp_path: Path) -> None:
    backend = Forgetful(tmp_path / "store.db")
    with Store(backend) as store, store.open("a") as session:
        session.state["n"] = 1
        lost_then_saved(session, backend)
        session.state["n"] = 2
        assert session.save().number == 2
        assert [cp.number for cp in store.history("a")] == [2, 1]


# ---- a sync that failed ---------------------------------------------------------------------


@pytest.fixture
def disk() -> Iterator[PowerCut]:
    with PowerCut() as disk:
        yield disk


@pytest.fixture
def backend(tmp_path: Path, disk: PowerCut) -> Iterator[SqliteBackend]:
    backend = SqliteBackend(tmp_path / "store.db", vfs=disk.name, busy_timeout=0.05)
    backend.connect()
    yield backend
    backend.close()


def settled(backend: SqliteBackend, commit: Commit) -> None:
    """Send a commit again that was acknowledged by nobody."""
    answer = backend.perform(commit)
    assert answer == Committed() or answer == Moved(commit.head)


def must_survive(disk: PowerCut, directory: Path, writer: Writer) -> None:
    with after_cuts(disk, directory) as cuts:
        for cut in cuts:
            left = SqliteBackend(cut, create=False)
            state = left.perform(ReadState("agent"))
            assert state is not None
            assert state.records == tuple(writer.rows)
            left.close()


def test_a_save_after_a_failed_sync_stands_behind_no_hole_P1(
    tmp_path: Path, disk: PowerCut, backend: SqliteBackend
) -> None:
    writer = Writer("agent")
    writer.save(backend, b"one", durability="power")
    writer.save(backend, b"two" * 3000, durability="process")
    disk.syncs_to_fail = 1
    commit = writer.commit(b"three", durability="power")
    with pytest.raises(errors.CommitUnknown):
        backend.perform(commit)
    settled(backend, commit)
    writer.took(commit)
    must_survive(disk, tmp_path, writer)


@pytest.mark.parametrize("synced_before", [0, 1], ids=["log", "file"])
def test_a_save_after_a_failed_checkpoint_stands_behind_no_hole_P1(
    tmp_path: Path, disk: PowerCut, backend: SqliteBackend, synced_before: int
) -> None:
    writer = Writer("agent")
    writer.save(backend, b"one", durability="power")
    writer.save(backend, bytes(limits.wal_checkpoint_bytes), durability="process")

    def fail_later(operation: str) -> None:
        nonlocal synced_before
        if operation == "syncing":
            disk.syncs_to_fail = int(synced_before == 0)
            synced_before -= 1

    disk.on_operation = fail_later
    with pytest.raises(errors.StoreUnavailable):
        backend.after_commit()
    disk.on_operation = None
    assert disk.syncs_to_fail == 0
    writer.save(backend, b"three", durability="power")
    must_survive(disk, tmp_path, writer)


def test_a_checkpoint_that_fails_during_a_commit_leaves_it_in_doubt_P1(
    tmp_path: Path, disk: PowerCut, backend: SqliteBackend
) -> None:
    """Its sync gave up what the commit wrote, whose own sync then succeeded without it."""
    writer = Writer("agent")
    writer.save(backend, bytes(limits.wal_checkpoint_bytes), durability="process")
    commit = writer.commit(b"two", durability="power")

    def check_point(operation: str) -> None:
        if operation == "syncing":
            disk.on_operation, disk.syncs_to_fail = None, 1
            with pytest.raises(errors.StoreUnavailable):
                backend.after_commit()

    disk.on_operation = check_point
    with pytest.raises(errors.CommitUnknown):
        backend.perform(commit)
    assert backend.perform(commit) == Moved(commit.head)
    writer.took(commit)
    writer.save(backend, b"three", durability="power")
    must_survive(disk, tmp_path, writer)


def test_while_the_log_cannot_begin_anew_nothing_is_acknowledged(
    tmp_path: Path, disk: PowerCut, backend: SqliteBackend
) -> None:
    writer = Writer("agent")
    writer.save(backend, b"one", durability="power")
    reader = apsw.Connection(backend.path, vfs=disk.name)
    reader.execute("BEGIN; SELECT * FROM heads").fetchall()
    disk.syncs_to_fail = 1
    commit = writer.commit(b"two", durability="power")
    with pytest.raises(errors.CommitUnknown):
        backend.perform(commit)
    with pytest.raises(errors.Busy):
        backend.perform(commit)
    reader.close()
    settled(backend, commit)
    writer.took(commit)
    must_survive(disk, tmp_path, writer)


@pytest.mark.parametrize("seed", range(8))
def test_acknowledged_with_power_survives_a_disk_whose_syncs_fail_P1(
    tmp_path: Path, disk: PowerCut, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "wal_checkpoint_bytes", 64 * 1024)
    random, writer = Random(seed), Writer("agent")
    backend = SqliteBackend(tmp_path / "store.db", vfs=disk.name)
    backend.connect()
    failed = 0
    for _ in range(40):
        durability: Durability = random.choice(("power", "process"))
        commit = writer.commit(random.randbytes(random.choice((10, 5_000, 20_000))))
        disk.syncs_to_fail = random.random() < 0.4
        failed += disk.syncs_to_fail
        done = False
        while not done:
            done = attempt(backend, writer, commit, durability)
    disk.syncs_to_fail = 0
    writer.save(backend, b"last", durability="power")
    must_survive(disk, tmp_path, writer)
    assert failed > 5
    backend.close()


def attempt(backend: SqliteBackend, writer: Writer, commit: Commit, durability: Any) -> bool:
    again = Commit(
        commit.key, writer.token, commit.head, commit.tail, commit.records, durability=durability
    )
    try:
        answer = backend.perform(again)
    except (errors.CommitUnknown, errors.StoreUnavailable):
        return False
    assert answer == Committed() or answer == Moved(commit.head)
    writer.took(commit)
    with suppress(errors.StoreUnavailable):
        backend.after_commit()
    return True
