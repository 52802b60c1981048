"""Any course of sessions that hold a branch, do not, stop, go on and end, against a plain model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import perdure
from perdure import errors, host
from perdure.engine.requests import IsAlive
from perdure.types import Holder

NAMES = itertools.count()
SLOTS = 3


@dataclass
class Actor:
    """A process with one session, and what a session that works as it should would know."""

    pid: int
    session: perdure.Session
    exclusive: bool
    seen: int
    is_lost: bool = False


class Leases(RuleBasedStateMachine):
    """Three processes on one state; which of them the others take for dead is a rule's to say."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"memory:leases-{next(NAMES)}"
        self.pids = itertools.count(1)
        self.alive: set[int] = set()
        self.actors: dict[int, Actor] = {}
        self.log: list[int] = []
        self.owner: Actor | None = None
        self.store = self.opened()

    def opened(self) -> perdure.Store:
        store = perdure.Store(self.name, maintenance="off")
        store._driver._answers[IsAlive] = lambda request: request.holder.pid in self.alive
        return store

    def teardown(self) -> None:
        for actor in self.actors.values():
            actor.session.refresh()
            actor.session.close()
        self.store.close()

    @initialize()
    def make(self) -> None:
        with self.store.open("a") as session:
            session.state["log"] = []

    @property
    def holder(self) -> Actor | None:
        """Who holds the branch and lives."""
        return self.owner if self.owner is not None and self.owner.pid in self.alive else None

    @rule(slot=st.integers(0, SLOTS - 1), exclusive=st.booleans())
    def open(self, slot: int, exclusive: bool) -> None:
        if slot in self.actors:
            return
        pid = next(self.pids)
        who = patch.object(host, "holder", lambda: Holder("here", pid, "boot", "start"))
        if exclusive and self.holder is not None:
            with who, pytest.raises(errors.Busy) as caught:
                self.store.open("a", exclusive=True, wait=0)
            assert caught.value.lease is not None
            assert caught.value.lease.holder.pid == self.holder.pid
            return
        with who:
            session = self.store.open("a", exclusive=exclusive, wait=0)
        actor = self.actors[slot] = Actor(pid, session, exclusive, len(self.log))
        self.alive.add(pid)
        if exclusive:
            self.owner = actor

    def actor(self, data: st.DataObject) -> Actor:
        return self.actors[data.draw(st.sampled_from(sorted(self.actors)))]

    @precondition(lambda self: self.actors)
    @rule(data=st.data(), token=st.integers())
    def save(self, data: st.DataObject, token: int) -> None:
        actor = self.actor(data)
        actor.session.state["log"].append(token)
        expected = self.refusal(actor)
        if expected is None:
            actor.session.save()
            self.log.append(token)
            actor.seen = len(self.log)
            if not actor.exclusive:
                self.owner = None  # the lease of a dead one went with it
            return
        with pytest.raises(expected):
            actor.session.save()
        assert len(actor.session.changes()) == 1
        actor.is_lost |= expected is errors.LeaseLost
        self.give_up(actor)

    def refusal(self, actor: Actor) -> type[errors.PerdureError] | None:
        """The error that a save gets; None: it is saved."""
        if actor.exclusive:
            return None if self.owner is actor and not actor.is_lost else errors.LeaseLost
        if actor.seen < len(self.log):
            return errors.Conflict
        return errors.Busy if self.holder is not None else None

    def give_up(self, actor: Actor) -> None:
        actor.session.refresh()
        actor.seen = len(self.log)
        assert actor.session.state["log"] == self.log

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        self.give_up(self.actor(data))

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        self.alive.discard(self.actor(data).pid)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        self.alive.add(self.actor(data).pid)

    @precondition(lambda self: self.actors)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.actors)))
        actor = self.actors.pop(slot)
        actor.session.close()
        if self.owner is actor:
            self.owner = None

    @rule()
    def roll_back(self) -> None:
        """To where the branch is: nothing moves, so nobody is asked."""
        assert self.store.rollback("a", to="~0") is None

    @precondition(lambda self: self.holder is not None)
    @rule()
    def move(self) -> None:
        self.store.fork("a", "beside", exist_ok=True)
        if self.log:
            with pytest.raises(errors.Busy):
                self.store.rollback("a", to=1)

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        if not self.store.states():
            return
        found: list[Any] = [
            (lease.holder.pid, lease.alive) for lease in self.store.info("a").leases
        ]
        expected = [] if self.owner is None else [(self.owner.pid, self.holder is not None)]
        assert found == expected
        assert self.store.at("a", "~0")["log"] == self.log


TestLeases = Leases.TestCase
