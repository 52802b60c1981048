"""Erasing under simulated schedules: whatever is saved, copied, maintained and killed (P8)."""

import os
from collections import Counter
from typing import Any

import pytest

import perdure
from perdure.backends.bucket import Bucket
from perdure.backends.objects import ObjectBackend
from perdure.core.head import lives
from perdure.engine.read import Site
from perdure.engine.requests import Erase, ListErased, ListHeld, ListStaged, ReadErased, ReadHead
from perdure.errors import CommitUnknown, PerdureError, StoreUnavailable
from perdure.testing import simulate
from perdure.testing.exhaust import exhaust_erasing
from perdure.testing.sim_erasing import ERASING_BUGS, Erasures
from perdure.testing.sim_report import Found
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan


def run_one(seed: int, number: int, *, face: Face, keyed: bool = False) -> Erasures:
    with small_world():
        plan = Plan((face,), saves=4, erasing=True, keyed=keyed)
        world = simulate.run_one(seed, number, plan)
    assert isinstance(world, Erasures)
    return world


SAYS = {"unfenced": r"P8: .* which was erased", "unreceipted": "P7: .* no receipt"}
SCHEDULES = int(os.environ.get("PERDURE_ERASING_SCHEDULES", "75"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("face", FACES)
def test_random_schedules_with_erasures_break_no_promise_P8(face: Face, keyed: bool) -> None:
    erased, faults = 0, Counter[str]()
    for number in range(SCHEDULES // 3 if keyed else SCHEDULES):
        world = run_one(1, number, face=face, keyed=keyed)
        erased += len(world.erased)
        faults.update(world.faults)
    assert erased > 10
    assert faults["crash after"] > 3


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ERASING_BUGS)
def test_chance_finds_a_planted_bug_of_erasing(name: str, face: Face) -> None:
    with ERASING_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        for number in range(400):
            run_one(2, number, face=face)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_two_writers_and_an_erasure_P8(face: Face) -> None:
    """`simulate --exhaustive --erasing` runs the same."""
    report = exhaust_erasing(face)
    assert report.schedules > 300


@pytest.mark.parametrize("face", FACES)
def test_exhaustion_finds_a_planted_bug_of_erasing(face: Face) -> None:
    with ERASING_BUGS["unreceipted"].plant(), pytest.raises(Found, match=SAYS["unreceipted"]):
        exhaust_erasing(face)


def test_a_schedule_with_erasures_is_a_function_of_its_seed() -> None:
    traces = [run_one(7, number, face="objects").trace for number in range(3)]
    assert traces == [run_one(7, number, face="objects").trace for number in range(3)]


# ---- a crash between any two operations of an object store ------------------------------------


class _Died(BaseException):
    """The eraser dies."""


class _Mortal(Bucket):
    """A bucket whose writer dies before the operation with a number."""

    left = 1 << 30

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _Died

    def put(self, name: str, data: bytes, *, version: int | None = None) -> bool:
        self._count()
        return super().put(name, data, version=version)

    def delete(self, name: str, *, version: int | None = None) -> None:
        self._count()
        super().delete(name, version=version)


def _begun(bucket: _Mortal, backend: ObjectBackend | None = None) -> perdure.Store:
    """A store whose one state has two lives, of which each has a snapshot."""
    backend = backend if backend is not None else ObjectBackend()
    backend._bucket = bucket
    store = perdure.Store(backend, maintenance="off")
    for text in ("first", "second"):
        if text == "second":
            store.delete("a")
        for number in range(3):
            with store.open("a") as session:
                session.state.setdefault("texts", []).append(f"{text} {number}")
        store.maintain("a")
    return store


@pytest.mark.parametrize("life", [None, 1, 2])
def test_a_crash_anywhere_in_an_erasure_leaves_it_undone_or_done(life: int | None) -> None:
    seen, is_over, at = Counter[str](), False, 0
    for at in range(200):
        bucket = _Mortal()
        with _begun(bucket) as store:
            before = {each.life for each in store.states(deleted=True)} | {2}
            assert before == {1, 2}
            bucket.left = at
            try:
                store.erase("a", life=life)
                is_over = True
            except _Died:
                is_over = False
            bucket.left = 1 << 30
            perform = store._driver.backend.perform
            row = perform(ReadHead("a"))
            there = []
            if row is not None:
                head = Site(store._driver.store_id, "a").head(row)
                there = [each.incarnation for each in lives(head)]
            receipts = {each.incarnation for each in perform(ListErased(None, 9))}
            # What no head leads to any more has a receipt: so it is known what is to be ended.
            held = {each.incarnation for each in perform(ListHeld(b"", 9))}
            assert held <= {*there, *receipts}
            seen["gone" if row is None else f"{len(there)} lives"] += 1
            if not is_over:
                store.maintain()  # ends what was begun, once no head leads there
                left = {each for each, _ in perform(ListStaged())} & receipts
                assert not left - set(there)
                if row is None or life is None or len(there) == 2:
                    store.erase("a", life=life if len(there) == 2 else None)
            wanted = 2 if life is None else 1
            assert len(perform(ListErased(None, 9))) >= wanted
            assert not perform(ReadErased((bytes(16),)))
        if is_over:
            break
    assert is_over
    assert at > 3
    assert seen["2 lives"] > 1


class _Unsure(ObjectBackend):
    """One whose erasure breaks off before an operation with a number, with an error."""

    def __init__(self, bucket: _Mortal, after: int, error: type[PerdureError]) -> None:
        super().__init__()
        self.bucket, self.after, self.error = bucket, after, error
        self.broke_off = False

    def perform(self, request: Any) -> Any:
        if not isinstance(request, Erase) or self.broke_off:
            return super().perform(request)
        self.bucket.left = self.after
        try:
            return super().perform(request)
        except _Died:
            self.broke_off = True
            raise self.error("no answer came") from None
        finally:
            self.bucket.left = 1 << 30


@pytest.mark.parametrize("error", [CommitUnknown, StoreUnavailable])
def test_what_an_erasure_left_goes_with_the_next_try_P8(error: type[PerdureError]) -> None:
    """It is sent again where the answer was lost, and asked for again where that is not done."""
    is_over, after = False, 0
    while not is_over:
        backend = _Unsure(_Mortal(), after, error)
        with _begun(backend.bucket, backend) as store:
            try:
                store.erase("a")
            except StoreUnavailable:
                store.erase("a")
            assert backend.perform(ListHeld(b"", 9)) == backend.perform(ListStaged()) == ()
            assert len(store.erasures("a")) == 2
        is_over, after = not backend.broke_off, after + 1
    assert after > 8
