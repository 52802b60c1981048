"""Leases that saves and a thread renew."""

from __future__ import annotations

import threading

import pytest
from tests.unit.leases.leased import World, head_of

import perdure
from perdure import errors, leasing, limits
from perdure.core.leases import lease_of
from perdure.engine import leases as engine
from perdure.engine.read import Site


def renewed(store: perdure.Store) -> int:
    lease = lease_of(head_of(store), "main")
    assert lease is not None
    return lease.renewed_us


def test_a_save_renews_the_lease(world: World, mine: perdure.Store) -> None:
    with mine.open("a", exclusive=True) as session:
        since = renewed(mine)
        world.clock.advance(1)
        session.state["n"] = 1
        session.save()
        lease = lease_of(head_of(mine), "main")
        assert lease is not None
        assert (lease.since_us, lease.renewed_us) == (since, since + 1_000_000)


def test_the_thread_renews_the_leases_of_open_sessions(
    world: World, mine: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "_beat_s", lambda: 0.001)
    with mine.open("a", exclusive=True) as session:
        since = renewed(mine)
        world.clock.advance(limits.lease_s)
        pause = threading.Event()
        while renewed(mine) == since:
            pause.wait(0.001)
        number, session.state["n"] = mine.info("a").number, 1
        assert number == 1
        assert session.save().number == 2  # a renewal is no conflict
    assert mine.info("a").leases == ()


def test_the_thread_tells_a_session_that_its_lease_is_gone(
    world: World, mine: perdure.Store, theirs: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "_beat_s", lambda: 0.001)
    session = mine.open("a", exclusive=True)
    world.alive = False
    theirs.open("a", exclusive=True, wait=0).close()
    pause = threading.Event()
    while not session._core.is_lease_lost:
        pause.wait(0.001)
    session.state["n"] = 1
    with pytest.raises(errors.LeaseLost):
        session.save()
    session.refresh()
    session.close()


def test_a_renewal_just_after_a_save_writes_nothing(world: World, mine: perdure.Store) -> None:
    with mine.open("a", exclusive=True) as session:
        token = head_of(mine).token
        site = Site(mine._driver.store_id, "a")
        assert mine._driver.run(engine.renew(site, "main", bytes.fromhex(session.id)))
        assert head_of(mine).token == token
        world.clock.advance(limits.lease_s / 3)
        assert mine._driver.run(engine.renew(site, "main", bytes.fromhex(session.id)))
        assert head_of(mine).token != token
        assert not mine._driver.run(engine.renew(site, "main", bytes(16)))
