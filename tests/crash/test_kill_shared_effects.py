"""Agents that race for effects in states that they share, killed between claim, call and outcome.

The world is a file that each action appends a line to, and that outlives whoever wrote it. However
they die: no line is there twice, none is there of which nobody is told, and in the end every agent
knows what each effect gave (P9).
"""

import os
import random
import sys
import time
from collections import Counter
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from perdure import Store
from perdure.agent.acts import Call
from perdure.agent.effects import DidNotHappen, Effect, Happened, Place, Terms, effect
from perdure.engine.requests import Commit
from perdure.errors import AlreadyClaimed, Conflict, UnknownOutcome
from perdure.testing.kill import Worker, die

# How many are killed, for the suite; a longer proof is PERDURE_SHARED_EFFECTS=1000.
KILLS = int(os.environ.get("PERDURE_SHARED_EFFECTS", "40"))
NEW_ORDERS = 10
"""Orders that come up each time that all agents are started."""
AGENTS = "agents/0", "agents/1", "agents/0", "agents/2"
"""The states of those that work at one time: two are at one."""
ORDERS = NEW_ORDERS * KILLS // len(AGENTS)
LIFETIME_S = 0.6
COMMITS_MAX = 40
DIES_IN_CALL = 0.1


class World:
    """A file that counts what was done."""

    def __init__(self, path: str, chance: random.Random, dies: float = 0.0) -> None:
        self.path = path
        self.chance = chance
        self.dies = dies
        """How often whoever acts dies just before that, and how often just after."""

    def refund(self, order: int, agent: str) -> str:
        """Act; and perhaps die just before or after."""
        if self.chance.random() < self.dies:
            die()
        result = f"{order} {agent} {os.getpid()}"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{result}\n".encode())
        os.close(handle)
        if self.chance.random() < self.dies:
            die()
        return result

    def done(self) -> dict[int, list[str]]:
        """What was done, by order."""
        found: dict[int, list[str]] = {}
        if Path(self.path).exists():
            for line in Path(self.path).read_text().splitlines():
                found.setdefault(int(line.split()[0]), []).append(line)
        return found

    def ask(self, order: int) -> Any:
        """What became of it."""
        lines = self.done().get(order)
        return Happened(lines[0]) if lines else DidNotHappen()


def work(
    url: str,
    path: str,
    key: str,
    seed: str,
    asks: bool,
    orders_max: int,
    dies: float,
    commits: int | None,
    begun: Connection,
) -> None:
    """Come to every order, in some order, until what each gave is known; or die at a commit."""
    chance = random.Random(seed)
    world = World(path, chance, dies)
    with (
        Store(url, busy_timeout=60.0) as store,
        store.open(key, on_conflict="merge", strategies={}) as session,
    ):
        if commits is not None:
            _die_at(store, chance.randint(0, commits), chance)
        begun.send_bytes(b"begun")
        orders = [each for each in range(orders_max) if str(each) not in session.state]
        while orders:
            order = chance.choice(orders)
            if _perform(session, world, order, asks):
                orders.remove(order)


def _die_at(store: Store, commits: int, chance: random.Random) -> None:
    """Die just before the commit of this number, or just after, when nobody was told."""
    answers: dict[Any, Any] = store._driver._answers
    answer, is_before = answers[Commit], chance.random() < 0.5

    def counted(request: Commit) -> Any:
        nonlocal commits
        commits -= 1
        if commits < 0 and is_before:
            die()
        answered = answer(request)
        if commits < 0:
            die()
        return answered

    answers[Commit] = counted


def _perform(session: Any, world: World, order: int, asks: bool) -> bool:
    """Whether it is known now what an order's refund gave, or that nobody knows."""

    def record(value: Any, now: datetime, told: Effect) -> None:
        session.state[str(order)] = value

    place = Place(f"refund {order}", record)
    ask = (lambda told: world.ask(order)) if asks else None
    terms = Terms("refund", claims=f"orders/{order}", reconcile=ask)
    call = Call(world.refund, (order, session.key))
    try:
        session._act(effect(session, place, terms, call))
    except AlreadyClaimed as error:
        if error.is_running:
            time.sleep(0.002)
            return False
        session.state[str(order)] = error.result
        session.save()
    except UnknownOutcome:
        return True
    except Conflict:
        session.refresh()
        return False
    return True


def start(*args: Any) -> Worker:
    return Worker.start(work, *args)


def kill_many(url: str, path: str, *, asks: bool) -> None:
    """Let agents die, at commits and at any time."""
    chance = random.Random(f"{KILLS} {asks}")
    kills = 0
    while kills < KILLS:
        # The first ones die in their first call, the others anywhere.
        how = (DIES_IN_CALL, COMMITS_MAX) if kills else (1.0, None)
        orders_max = NEW_ORDERS * (kills // len(AGENTS) + 1)
        workers = [
            start(url, path, key, f"{chance.random()}", asks, orders_max, *how) for key in AGENTS
        ]
        for worker in workers:
            assert worker.acks.poll(30), "an agent does not begin"
        deadline = time.monotonic() + LIFETIME_S * chance.random()
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            assert worker.process.exitcode != 1, "an agent failed; its traceback is on stderr"
            kills += 1


def finish(url: str, path: str, *, asks: bool) -> None:
    """Let agents work to their end."""
    workers = [start(url, path, key, key, asks, ORDERS, 0.0, None) for key in AGENTS]
    for worker in workers:
        worker.process.join(30)
        assert worker.process.exitcode == 0, "an agent failed; its traceback is on stderr"


@pytest.mark.timeout(120)
def test_whatever_is_killed_nothing_is_done_twice_and_all_is_known_in_the_end(
    tmp_path: Path,
) -> None:
    url, path = str(tmp_path / "a.db"), str(tmp_path / "world")
    kill_many(url, path, asks=True)
    finish(url, path, asks=True)
    done = World(path, random.Random()).done()
    assert {order: len(lines) for order, lines in done.items()} == dict.fromkeys(range(ORDERS), 1)
    with Store(url) as store:
        for order, [line] in done.items():
            [told] = store.effects(f"orders/{order}")
            assert (told.status, told.result) == ("done", line)
            for key in set(AGENTS):
                assert store.open(key).state[str(order)] == line
        unknown = [each for key in set(AGENTS) for each in store.effects(key)]
        assert [each for each in unknown if each.status != "done"] == []
        assert all(each.ok for each in store.verify())


@pytest.mark.timeout(120)
def test_where_nobody_asks_nothing_is_done_twice_and_what_is_unknown_is_told(
    tmp_path: Path,
) -> None:
    url, path = str(tmp_path / "a.db"), str(tmp_path / "world")
    kill_many(url, path, asks=False)
    finish(url, path, asks=False)
    done = World(path, random.Random()).done()
    assert all(len(lines) == 1 for lines in done.values())
    ends: Counter[str] = Counter()
    with Store(url) as store:
        mine = {(each.claims, each.status) for key in set(AGENTS) for each in store.effects(key)}
        for order in range(ORDERS):
            [told] = store.effects(f"orders/{order}")
            ends[told.status] += 1
            if told.status == "done":
                assert done[order] == [told.result]
            else:
                assert told.status == "unknown"
                assert (f"orders/{order}", "unknown") in mine  # its agent's briefing tells it too
    assert ends["done"] > 0
    assert ends["unknown"] > 0
    sys.stdout.write(f"\n{dict(ends)} of {ORDERS} effects, {len(done)} performed\n")
