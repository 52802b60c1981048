"""Sessions that hold their branch exclusively: who may save, and who is told what."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.unit.leases.leased import World, head_of, put

import perdure
from perdure import errors, leasing, limits
from perdure.core.leases import lease_of, owner_of
from perdure.engine import leases as engine
from perdure.engine.read import Site
from perdure.engine.requests import Commit, IsAlive

# ---- one holder at a time -------------------------------------------------------------------


def test_a_new_state_is_made_with_the_lease_on_it(mine: perdure.Store) -> None:
    with mine.open("a", exclusive=True) as session:
        assert session.resumed is None
        assert session.checkpoint is not None
        assert session.checkpoint.number == 1
        (lease,) = mine.info("a").leases
        assert (lease.branch, lease.session, lease.alive) == ("main", session.id, True)
        session.state["n"] = 1
    assert mine.info("a").leases == ()
    assert mine.at("a", 2).plain() == {"n": 1}
    assert [info.ended for info in mine.sessions("a")] == ["closed"]
    assert mine.info("a").sessions == 1


def test_taking_and_leaving_a_state_that_is_there_saves_no_checkpoint(mine: perdure.Store) -> None:
    put(mine, "n", 1)
    with mine.open("a", exclusive=True) as session:
        assert session.resumed is not None
        assert owner_of(head_of(mine), "main") == bytes.fromhex(session.id)
    assert mine.info("a").leases == ()
    assert mine.info("a").number == 1
    assert len(mine.sessions("a")) == 1


def test_a_second_is_busy_and_told_who_holds_it(mine: perdure.Store, theirs: perdure.Store) -> None:
    with mine.open("a", exclusive=True) as session:
        with pytest.raises(errors.Busy) as caught:
            theirs.open("a", exclusive=True, wait=0)
        (held,) = theirs.info("a").leases
        assert caught.value.lease == held
        for told in (f"process {held.holder.pid}", held.holder.host, "'main'", "since 2"):
            assert told in str(caught.value)
        session.state["n"] = 1
    with theirs.open("a", exclusive=True, wait=0) as session:
        assert session.state["n"] == 1


def test_who_waits_gets_it_when_the_holder_ends(mine: perdure.Store, theirs: perdure.Store) -> None:
    holder = mine.open("a", exclusive=True)
    looked = threading.Event()
    answer = theirs._driver._answers[IsAlive]

    def looking(request: IsAlive) -> Any:
        looked.set()
        return answer(request)

    theirs._driver._answers[IsAlive] = looking
    found: list[Any] = []

    def wait() -> None:
        with theirs.open("a", exclusive=True, wait=60) as session:
            found.append(session.state["n"])

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert looked.wait(60)
    assert not found
    holder.state["n"] = 7
    holder.close()
    waiting.join(60)
    assert found == [7]


def test_many_who_wait_have_it_one_after_the_other(world: World) -> None:
    def add() -> None:
        with world.store() as store:
            for _ in range(5):
                with store.open("a", exclusive=True, wait=60) as session:
                    session.state["n"] = session.state.get("n", 0) + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with world.store() as store:
        assert store.at("a", "~0")["n"] == 20
        assert store.info("a").leases == ()


def test_branches_are_held_apart(mine: perdure.Store, theirs: perdure.Store) -> None:
    put(mine, "n", 1)
    mine.fork("a", "what-if")
    with (
        mine.open("a", exclusive=True) as one,
        theirs.open("a", branch="what-if", exclusive=True, wait=0) as other,
    ):
        one.state["n"], other.state["n"] = 2, 3
        one.save()
        other.save()
        assert [lease.branch for lease in mine.info("a").leases] == ["main", "what-if"]
    assert mine.at("a", "~0")["n"] == 2
    assert mine.at("a", "what-if@2")["n"] == 3


def test_a_parked_branch_can_be_held(mine: perdure.Store, theirs: perdure.Store) -> None:
    put(mine, "n", 1)
    for n in range(limits.branches_inline_max + 2):
        mine.fork("a", f"b{n}")
    assert "b0" not in head_of(mine).branches
    with mine.open("a", branch="b0", exclusive=True) as session:
        with pytest.raises(errors.Busy):
            theirs.open("a", branch="b0", exclusive=True, wait=0)
        session.state["n"] = 2
    assert mine.at("a", "b0@2")["n"] == 2
    assert mine.info("a").leases == ()


@pytest.mark.parametrize("is_edited", [False, True])
def test_the_end_of_a_session_and_of_its_lease_are_one_commit(
    mine: perdure.Store, is_edited: bool
) -> None:
    put(mine, "n", 1)
    session = mine.open("a", exclusive=True)
    commits, send = [], mine._driver._answers[Commit]

    def count(request: Commit) -> Any:
        commits.append(request)
        return send(request)

    mine._driver._answers[Commit] = count
    if is_edited:
        session.state["n"] = 2
    session.close()
    assert len(commits) == 1
    assert mine.info("a").leases == ()


@pytest.mark.parametrize("how", ["error", "save", "cancel"])
def test_the_branch_is_free_however_the_block_ended(mine: perdure.Store, how: str) -> None:
    put(mine, "n", 1)
    error = KeyboardInterrupt() if how == "cancel" else ValueError()

    def work() -> None:
        on_error: Any = "save" if how == "save" else "discard"
        with mine.open("a", exclusive=True, on_error=on_error) as session:
            session.state["n"] = 2
            raise error

    with pytest.raises(type(error)):
        work()
    assert mine.info("a").leases == ()
    assert mine.at("a", "~0")["n"] == (1 if how == "error" else 2)


def test_a_session_that_was_dropped_frees_its_branch(
    mine: perdure.Store, theirs: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "_beat_s", lambda: 0.01)
    session = mine.open("a", exclusive=True)
    del session
    theirs.open("a", exclusive=True, wait=60).close()


def test_closing_the_store_frees_what_its_sessions_held(
    world: World, theirs: perdure.Store
) -> None:
    store = world.store()
    session = store.open("a", exclusive=True)
    store.close()
    assert theirs.info("a").leases == ()
    with pytest.raises(errors.StoreClosed):
        session.close()


def test_what_could_not_be_opened_is_free(mine: perdure.Store, theirs: perdure.Store) -> None:
    put(mine, "n", 1)
    with pytest.raises(errors.BranchNotFound):
        mine.open("a", branch="nowhere", exclusive=True)
    with pytest.raises(errors.UsageError):
        mine.open("a", windows={"n": 3}, exclusive=True)  # found after the lease was taken
    theirs.open("a", exclusive=True, wait=60).close()
    with pytest.raises(errors.StateNotFound):
        mine.open("b", must_exist=True, exclusive=True)
    assert [info.key for info in mine.states()] == ["a"]


@pytest.mark.parametrize(
    "options", [{"exclusive": 1}, {"wait": -1}, {"wait": True}, {"wait": "1"}, {"wait": 1e9}]
)
def test_an_option_that_means_nothing_is_refused(
    mine: perdure.Store, options: dict[str, Any]
) -> None:
    with pytest.raises(errors.UsageError):
        mine.open("a", **options)


# ---- those who hold nothing -----------------------------------------------------------------


def test_a_save_of_another_session_waits_for_the_holder_to_end(
    mine: perdure.Store, theirs: perdure.Store
) -> None:
    put(mine, "n", 1)
    before = theirs.open("a")
    holder = mine.open("a", exclusive=True)
    during = theirs.open("a")
    for session in (before, during):
        session.state["own"] = 1
        with pytest.raises(errors.Busy) as caught:
            session.save()
        assert caught.value.lease is not None
        assert caught.value.lease.session == holder.id
        assert len(session.changes()) == 1
    holder.close()
    assert before.save().number == 2
    with pytest.raises(errors.Conflict):
        during.save()
    during.refresh()
    for session in (before, during):
        session.close()
    assert mine.at("a", "~0").plain() == {"n": 1, "own": 1}


def test_a_session_from_before_a_lease_that_came_and_went_saves(
    mine: perdure.Store, theirs: perdure.Store
) -> None:
    put(mine, "n", 1)
    with theirs.open("a") as session:
        mine.open("a", exclusive=True).close()
        session.state["n"] = 2
    assert mine.at("a", 2)["n"] == 2


def test_a_dead_holders_lease_goes_with_the_next_save(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    put(mine, "n", 1)
    holder = mine.open("a", exclusive=True)
    with theirs.open("a") as session:
        session.state["n"] = 2
        with pytest.raises(errors.Busy):
            session.save()
        world.alive = False
        assert session.save().number == 2
        assert lease_of(head_of(theirs), "main") is None
    holder.state["late"] = True
    with pytest.raises(errors.LeaseLost):
        holder.save()
    holder.refresh()
    holder.close()
    assert mine.at("a", "~0").plain() == {"n": 2}


@pytest.mark.parametrize("is_over", [False, True])
def test_of_a_holder_elsewhere_time_decides(
    world: World, mine: perdure.Store, theirs: perdure.Store, is_over: bool
) -> None:
    put(mine, "n", 1)
    mine.open("a", exclusive=True)._claim = None  # as if its process were another one
    world.alive = None
    world.clock.advance(limits.lease_s + (1 if is_over else -1))
    if not is_over:
        with pytest.raises(errors.Busy):
            theirs.open("a", exclusive=True, wait=0)
    else:
        theirs.open("a", exclusive=True, wait=0).close()


def test_a_holder_elsewhere_whose_clock_was_far_ahead_locks_nobody_out(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    put(mine, "n", 1)
    world.clock.advance(86_400)
    mine.open("a", exclusive=True)._claim = None  # as if its process were another one
    world.alive = None
    world.clock.advance(-86_400)
    theirs.open("a", exclusive=True, wait=0).close()


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_lease_that_was_renewed_after_all_is_not_removed(
    world: World, mine: perdure.Store, theirs: perdure.Store, exclusive: bool
) -> None:
    put(mine, "n", 1)
    holder = mine.open("a", exclusive=True)
    world.alive = None
    world.clock.advance(limits.lease_s + 1)
    send = theirs._driver._answers[Commit]

    def send_late(request: Commit) -> Any:
        site = Site(mine._driver.store_id, "a")
        mine._driver.run(engine.renew(site, "main", bytes.fromhex(holder.id)))
        return send(request)

    theirs._driver._answers[Commit] = send_late
    if exclusive:
        with pytest.raises(errors.Busy):
            theirs.open("a", exclusive=True, wait=0)
    else:
        session = theirs.open("a")
        session.state["n"] = 2
        with pytest.raises(errors.Busy):
            session.save()
        session.refresh()
    theirs._driver._answers[Commit] = send
    holder.state["n"] = 3
    holder.close()
    assert mine.at("a", "~0")["n"] == 3
