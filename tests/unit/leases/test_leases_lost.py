"""What becomes of a session whose lease went to another: it saves nothing more, and is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.leases.leased import World, head_of, put

import perdure
from perdure import errors
from perdure.core.leases import owner_of
from perdure.engine.requests import Commit


def test_a_holder_that_lost_it_saves_nothing_more(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    put(mine, "n", 1)
    loser = mine.open("a", exclusive=True)
    world.alive = False
    winner = theirs.open("a", exclusive=True, wait=0)
    world.alive = True
    loser.state["n"] = 2
    for _ in range(2):
        with pytest.raises(errors.LeaseLost, match="nothing was saved"):
            loser.save()
        assert len(loser.changes()) == 1
    loser.refresh()
    loser.state["n"] = 3
    with pytest.raises(errors.LeaseLost):  # it holds nothing, whatever it has read since
        loser.save()
    loser.refresh()
    loser.close()
    assert owner_of(head_of(mine), "main") == bytes.fromhex(winner.id)
    winner.state["n"] = 4
    winner.close()
    assert mine.history("a", limit=1)[0].session == winner.id
    assert mine.at("a", 2).plain() == {"n": 4}


def test_a_holder_that_read_what_came_after_its_loss_saves_nothing_either(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    loser = mine.open("a", exclusive=True)
    world.alive = False
    with theirs.open("a", exclusive=True, wait=0) as winner:
        winner.state["n"] = 1
        winner.save()
        loser.refresh()
        loser.state["n"] = 2
        with pytest.raises(errors.LeaseLost):
            loser.save()
    loser.refresh()
    loser.close()
    assert mine.at("a", "~0").plain() == {"n": 1}


def test_a_save_in_doubt_that_did_not_land_is_given_up_with_the_lease(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    loser = mine.open("a", exclusive=True)
    send = mine._driver._answers[Commit]

    def lose(_: Commit) -> Any:
        raise errors.CommitUnknown("it was lost on its way")

    mine._driver._answers[Commit] = lose
    loser.state["n"] = 2
    with pytest.raises(errors.CommitUnknown):
        loser.save()
    mine._driver._answers[Commit] = send
    world.alive = False
    put(theirs, "m", 3, exclusive=True, wait=0)
    loser.refresh()
    assert loser.state.plain() == {"m": 3}
    loser.close()
    assert mine.at("a", "~0").plain() == {"m": 3}


def test_a_holder_that_lost_it_is_told_at_the_end_of_its_block(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    def work() -> None:
        with mine.open("a", exclusive=True) as session:
            world.alive = False
            theirs.open("a", exclusive=True, wait=0).close()
            session.state["n"] = 2

    with pytest.raises(errors.LeaseLost) as caught:
        work()
    caught.value.session.refresh()
    caught.value.session.close()
    assert mine.at("a", "~0").plain() == {}


def test_a_save_sent_before_the_loss_that_landed_stands(
    world: World, mine: perdure.Store, theirs: perdure.Store
) -> None:
    """P4: it is settled by its id, and told as saved, though the lease went to another since."""
    loser = mine.open("a", exclusive=True)
    send = mine._driver._answers[Commit]

    def lose(request: Commit) -> Any:
        send(request)
        raise errors.CommitUnknown("its answer was lost")

    mine._driver._answers[Commit] = lose
    loser.state["n"] = 2
    with pytest.raises(errors.CommitUnknown):
        loser.save()
    mine._driver._answers[Commit] = send
    world.alive = False
    put(theirs, "m", 3, exclusive=True, wait=0)
    assert loser.save().number == 2
    loser.state["n"] = 4
    with pytest.raises(errors.LeaseLost):
        loser.save()
    loser.refresh()
    loser.close()
    assert mine.at("a", "~0").plain() == {"n": 2, "m": 3}


def test_the_state_of_a_holder_can_be_deleted_and_it_is_told_so(mine: perdure.Store) -> None:
    session = mine.open("a", exclusive=True)
    mine.delete("a")
    session.state["n"] = 1
    with pytest.raises(errors.StateDeleted):
        session.save()
    mine.undelete("a")
    session.save()
    session.close()
    assert mine.info("a").leases == ()
    assert mine.at("a", 2)["n"] == 1
