"""The disk fails, is full or loses power while a store is encrypted or gets other keys (P1, P5).

That is tried at every operation of the disk, or at each fourth where there are many, unless
`PERDURE_DISKS=every`. Whatever was answered, all that was saved is there under one of the two keys,
and doing it again ends it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest

from perdure import Store
from perdure.backends.sqlite import SqliteBackend
from perdure.errors import KeyMissing, NotEncrypted, PerdureError, WrongKey
from perdure.testing.faults import FailingDisk
from perdure.testing.powercut import PowerCut
from perdure.testing.sim_stores import small_world

FORMER, NEXT = bytes(range(32)), bytes(range(1, 33))
STATES = ("a", "b")
STRIDE = {"init": 4, "deep": 4}
"""How many operations from one that fails to the next that is tried."""
MARK = "what nobody may read without a key"


def init(store: Store) -> bool:
    """Encrypt what is in the clear."""
    return not store.encrypt().problems


def rotate(store: Store) -> bool:
    """Let another root key open it."""
    store.rotate(NEXT)
    return True


def rewrap(store: Store) -> bool:
    """Give it another store key."""
    return not store.rewrap().problems


def deep(store: Store) -> bool:
    """Give its states other data keys."""
    return not store.rewrap(deep=True).problems


ANSWERED = "answered"

WORKS: dict[str, Callable[[Store], bool]] = {
    "init": init,
    "rotate": rotate,
    "rewrap": rewrap,
    "deep": deep,
}


def stride(work: str) -> int:
    return 1 if os.environ.get("PERDURE_DISKS") == "every" else STRIDE.get(work, 1)


def begun(path: Path, work: str) -> dict[str, str]:
    """A store to work on, and the hashes of what is in it."""
    key = None if work == "init" else FORMER
    with Store(path, key=key, maintenance="off") as store:
        for name in STATES:
            with store.open(name) as session:
                for number in range(8):
                    session.state.setdefault("messages", []).append(f"{MARK} {number} " * 40)
                    session.save(label=f"{MARK}, label {number}")
            store.maintain(name)
        return hashes(store)


def hashes(store: Store) -> dict[str, str]:
    """The hash of each state, which covers all that was saved to it."""
    return {info.key: store.history(info.key)[0].hash for info in store.states()}


def opened(path: Path, work: str) -> Store:
    """The store as whoever comes next opens it: with the newest key that fits."""
    for key in (NEXT, FORMER) if work == "rotate" else (FORMER,):
        store = Store(path, key=key, maintenance="off")
        try:
            store.states()
        except WrongKey:
            store.close()
            continue
        except NotEncrypted:  # it failed before it began
            assert work == "init"
            store.close()
            return Store(path, maintenance="off")
        return store
    raise AssertionError("no key opens it")


def is_whole(path: Path, work: str, before: dict[str, str]) -> None:
    """Nothing is lost, and doing the work again ends it."""
    with opened(path, work) as store:
        assert hashes(store) == before
        assert [each.problem for each in store.verify() if not each.ok] == []
    key = FORMER
    if work == "rotate":
        with opened(path, work) as store:
            store.rotate(NEXT)
        key = NEXT
    else:
        with Store(path, key=key, maintenance="off") as store:
            assert WORKS[work](store)
    with Store(path, key=key, maintenance="off") as store:
        assert hashes(store) == before
        assert all(each.ok for each in store.verify())
        info = store.key_info()
        assert (info.stage, info.rewrap) == ("sealed", "")
        with store.open(STATES[0]) as session:
            session.state["after"] = True
    left = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert MARK.encode() not in left


def attempted(store: Store, work: str, errors: Counter[str]) -> bool:
    """Do the work on a disk that may fail; whether it was answered that it is done."""
    try:
        return WORKS[work](store)
    except PerdureError as error:
        errors[error.kind] += 1
        return False


def removed(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


@pytest.mark.parametrize("is_full", [False, True], ids=["fails", "full"])
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("work", WORKS)
def test_whatever_operation_fails_one_of_the_keys_opens_all(
    work: str, for_ever: bool, is_full: bool, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    start, path = tmp_path / "start.db", tmp_path / "store.db"
    errors: Counter[str] = Counter()
    step = stride(work)
    at, failed, done = 1 - step, 0, 0
    with small_world():
        before = begun(start, work)
        while True:
            at += step
            copy(start, path)
            with FailingDisk(at, for_ever=for_ever, is_full=is_full) as disk:
                backend = SqliteBackend(str(path), vfs=disk.name)
                with Store(backend, key=FORMER, maintenance="off") as store:
                    went_well = attempted(store, work, errors)
                has_failed = disk.failed
            if went_well and work == "rotate":
                with pytest.raises(WrongKey), Store(path, key=FORMER) as store:
                    store.states()
            is_whole(path, work, before)
            removed(path)
            failed, done = failed + bool(has_failed), done + went_well
            if not has_failed:
                break
    tell(f"{work}: {failed} disks failed, {done} times it was done: {dict(errors)}")
    assert went_well
    assert failed >= 3
    assert sum(errors.values()) >= failed // 4


@pytest.mark.parametrize("work", WORKS)
def test_whenever_the_power_goes_one_of_the_keys_opens_all(
    work: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    path, cuts = tmp_path / "store.db", list[Path]()
    done, operations = list[bool](), [0]
    with small_world():
        before = begun(path, work)

        def cut(operation: str) -> None:
            operations[0] += 1
            if operation != ANSWERED and operations[0] % stride(work):
                return
            for seed in range(2):
                directory = tmp_path / f"cut-{len(cuts)}"
                directory.mkdir()
                disk.survivors(directory, seed=operations[0] * 2 + seed)
                cuts.append(directory / path.name)

        with PowerCut() as disk:
            backend = SqliteBackend(str(path), vfs=disk.name)
            with Store(backend, key=FORMER, maintenance="off") as store:
                disk.on_operation = cut
                done.append(WORKS[work](store))
                cut(ANSWERED)
                disk.on_operation = None
        assert done == [True]
        for each in cuts:
            is_whole(each, work, before)
        with opened(cuts[-1], work) as store:  # it was answered: no cut undoes it
            assert store.key_info().stage == "sealed"
        if work == "rotate":
            with pytest.raises((WrongKey, KeyMissing)), Store(cuts[-1], key=FORMER) as store:
                store.states()
    tell(f"{work}: {len(cuts)} cuts")
    assert len(cuts) >= 8
