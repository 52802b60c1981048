"""An agent that dies at any act of its steps, effects and plans, on either kind of session.

Whatever was recorded as done when it died is not done again, no action on the world is done twice,
and nothing is lost: the state that the last run leaves is that of a run without a crash.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AsyncStore, Store
from perdure.agent import DidNotHappen, Effect, Happened, Todo
from perdure.agent.perform import DOING, _ado

TASKS = {"read": [], "audit": ["read"], "tell": ["audit", "read"], "alone": []}
STEPS = ("one", "two")
ALL = {f"{task}/{step}" for task in TASKS for step in (*STEPS, "pay")}


class Died(BaseException):
    """The process is gone."""


class World:
    """Outlives every process, and counts what is done to it."""

    def __init__(self) -> None:
        self.paid: Counter[str] = Counter()

    def look(self, effect: Effect) -> Any:
        """What became of an effect."""
        name = f"{effect.name}/pay"
        return Happened(name) if self.paid[name] else DidNotHappen()


class Life:
    """How many acts a process has left, and what it called."""

    def __init__(self, acts: int, world: World, *, is_done_first: bool = False) -> None:
        self.left = acts
        self.world = world
        self.calls: list[str] = []
        self.is_done_first = is_done_first
        """Whether it dies when the act is done, and nobody is told, rather than before it."""
        self.is_dead = False
        self.returned: set[str] = set()
        """Steps whose result was given: that is durable (P1)."""

    def step(self, name: str) -> str:
        self.calls.append(name)
        return name

    def pay(self, name: str) -> str:
        self.world.paid[name] += 1
        return self.step(name)

    def die(self) -> None:
        self.is_dead = True
        raise Died

    def before(self) -> None:
        if self.is_dead or (self.left == 0 and not self.is_done_first):
            self.die()

    def after(self) -> None:
        if self.left == 0:
            self.die()
        self.left -= 1


def run(store: Store, life: Life) -> None:
    session = store.open("a")

    def act(acts: Any) -> Any:
        result, error = None, None
        while True:
            try:
                asked = acts.send(result) if error is None else acts.throw(error)
            except StopIteration as stop:
                return stop.value
            result, error = None, None
            try:
                life.before()
                result = DOING[type(asked)](session, asked)
                life.after()
            except BaseException as raised:
                error = raised

    session._act = act  # type: ignore[method-assign]
    try:
        log = session.state.setdefault("log", [])
        session.plan.add_missing([Todo(name, after) for name, after in TASKS.items()])
        for task in session.plan.work():
            with task:
                for name in STEPS:
                    options = task.options(attempts_max=50, apply=log.append)
                    life.returned.add(options.step(name, life.step, f"{task.name}/{name}"))
                options = task.options(
                    key=task.name, reconcile=life.world.look, attempts_max=50, apply=log.append
                )
                life.returned.add(options.effect("pay", life.pay, f"{task.name}/pay"))
                task.result = len(log)
    finally:
        session._closed = True  # whatever is not saved is gone with it


async def arun(store: AsyncStore, life: Life) -> None:
    session = await store.open("a")

    async def act(acts: Any) -> Any:
        result, error = None, None
        while True:
            try:
                asked = acts.send(result) if error is None else acts.throw(error)
            except StopIteration as stop:
                return stop.value
            result, error = None, None
            try:
                life.before()
                result = await _ado(session, asked)
                life.after()
            except BaseException as raised:
                error = raised

    session._act = act  # type: ignore[method-assign]
    try:
        log = session.state.setdefault("log", [])
        await session.plan.add_missing([Todo(name, after) for name, after in TASKS.items()])
        async for task in session.plan.work():
            async with task:
                for name in STEPS:
                    options = task.options(attempts_max=50, apply=log.append)
                    given = await options.step(name, life.step, f"{task.name}/{name}")
                    life.returned.add(given)
                options = task.options(key=task.name, reconcile=life.world.look, apply=log.append)
                life.returned.add(await options.effect("pay", life.pay, f"{task.name}/pay"))
                task.result = len(log)
    finally:
        session._closed = True


def recorded(store: Any) -> set[str]:
    """What the newest checkpoint has as done."""
    if not store.states():
        return set()
    tasks = store.at("a", store.info("a").number).plain().get("perdure.tasks", {})
    return {
        f"{name}/{'pay' if 'effect' in record else step}"
        for name, task in tasks.items()
        for step, record in task.get("steps", {}).items()
        if record["status"] == "done"
    }


def require_all(state: dict[str, Any], world: World) -> None:
    """That the state and the world are as without a crash (P9)."""
    assert world.paid == {name: 1 for name in ALL if name.endswith("/pay")}
    assert set(state["log"]) == ALL
    assert len(state["log"]) == len(ALL)  # each result was applied once
    assert {task["status"] for task in state["perdure.tasks"].values()} == {"done"}


def live_and_die(lives: list[tuple[int, bool]]) -> None:
    """Processes that die after so many acts, one after another, and one that does not."""
    store, world = Store("memory:"), World()
    for acts, is_done_first in [*lives, (10_000, False)]:
        done = recorded(store)
        life = Life(acts, world, is_done_first=is_done_first)
        with suppress(Died):
            run(store, life)
        assert life.returned <= recorded(store), "what was given is not durable"
        assert not done & set(life.calls), "what was recorded as done was done again"
        assert len(life.calls) == len(set(life.calls))
        assert done <= recorded(store)
    require_all(store.at("a", store.info("a").number).plain(), world)


def test_a_crash_at_every_act() -> None:
    acts = 0
    while True:
        life = Life(acts, World())
        store = Store("memory:")
        try:
            run(store, life)
        except Died:
            live_and_die([(acts, False)])
            live_and_die([(acts, True)])
            acts += 1
        else:
            break
    assert acts > 12 * 5  # each step is several acts


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 130), st.booleans()), max_size=6))
def test_many_crashes(lives: list[tuple[int, bool]]) -> None:
    live_and_die(lives)


def test_a_crash_at_every_act_under_asyncio() -> None:
    async def once(acts: int) -> bool:
        store, world = AsyncStore("memory:"), World()
        is_through, calls, returned = True, [], []
        for left in (acts, 10_000):
            life = Life(left, world, is_done_first=bool(acts % 2))
            try:
                await arun(store, life)
            except Died:
                is_through = False
            calls.append(life.calls)
            returned.append(life.returned)
        info = await store.info("a")
        state = (await store.at("a", info.number)).plain()
        require_all(state, world)
        assert not returned[0] & set(calls[1])
        assert len([*calls[0], *calls[1]]) <= len(ALL) + 1  # at most the one it died in, again
        return is_through

    async def run_all() -> int:
        acts = 0
        while not await once(acts):
            acts += 1
        return acts

    assert asyncio.run(run_all()) > 12 * 5
