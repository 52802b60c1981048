"""Processes of three releases take turns on one state, and no field is ever lost (P10)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.fleets.model import Act, Instructor, Model
from tests.fleets.processes import Process
from tests.fleets.versions import VERSIONS, Version

import perdure


def require_seen(path: Path, model: Model) -> None:
    """That each version sees all that the model says it sees."""
    with perdure.Store(path) as store:
        for number in VERSIONS:
            version = Version(number)
            state = store.at("a", "main", schema=version.schema).state
            assert version.show(state) == model.seen(number), f"seen by version {number}"


def plant(path: Path) -> dict[str, Any]:
    """Put fields that no version knows beside those that they know, at every depth."""
    with perdure.Store(path) as store, store.open("a") as session:
        session.state["hidden"] = ["of", {"the": "state"}]
        session.state.setdefault("plan", {})["hidden"] = {"of": "the plan"}
        for message in session.state.get("messages", []):
            message["hidden"] = f"of {message['at']}"
        for key, task in session.state.get("tasks", {}).items():
            task["hidden"] = f"of {key}"
        before: dict[str, Any] = session.state.plain()
    return before


def require_planted(path: Path, before: dict[str, Any]) -> None:
    """That they are there, each with what it was planted in; what is new has none."""
    with perdure.Store(path) as store:
        state = store.at("a", "main").plain()
    assert state["hidden"] == before["hidden"]
    assert state["plan"]["hidden"] == before["plan"]["hidden"]
    for name in ("messages", "tasks"):
        then, now = (_hidden(each.get(name, [])) for each in (before, state))
        assert set(now) <= {*then, None}
    times = {message["at"] for message in before.get("messages", [])}
    for message in state.get("messages", []):
        assert ("hidden" in message) == (message["at"] in times)


def _hidden(items: Any) -> list[Any]:
    values = items.values() if isinstance(items, dict) else items
    return [each.get("hidden") for each in values]


@pytest.mark.parametrize("seed", [1])
def test_versions_take_turns_and_lose_nothing(
    seed: int, installed: dict[int, Path], tmp_path: Path
) -> None:
    path, chance, model = tmp_path / "a.db", random.Random(seed), Model()
    instructor, planted = Instructor(chance), dict[str, Any]()
    for turn in range(8):
        number = VERSIONS[turn] if turn < len(VERSIONS) else chance.choice(VERSIONS)
        process = Process(installed[number], path)
        assert process.ask("open", {}) == number
        assert process.ask("show") == model.seen(number)
        for _ in range(2):
            process.ask("do", instructor.acts(number, model, chance.randrange(1, 6)))
            process.ask("save")
            assert process.ask("show") == model.seen(number)
        process.ask("close")
        process.end()
        require_seen(path, model)
        if planted:
            require_planted(path, planted)
        planted = plant(path)


@pytest.mark.parametrize("seed", [1])
def test_versions_that_are_killed_while_they_save_lose_nothing(
    seed: int, installed: dict[int, Path], tmp_path: Path
) -> None:
    path, chance, model = tmp_path / "a.db", random.Random(seed), Model()
    instructor = Instructor(chance)
    for turn in range(4):
        number = VERSIONS[turn % 3] if turn < 3 else chance.choice(VERSIONS)
        turns, models = list[list[Act]](), [model.copy()]
        for _ in range(30):
            # What a save is known by: its entry in the log.
            acts = [["log", f"{turn}.{len(turns)}"], *instructor.acts(number, model, 2)]
            model.log.insert(len(model.log) - _logged(acts[1:]), acts[0][1])
            turns.append(acts)
            models.append(model.copy())
        process = Process(installed[number], path)
        process.tell("run", turns)
        heard = [process.hear() for _ in range(chance.randrange(1, 20))]
        count = len(heard) + len(process.kill())
        with perdure.Store(path) as store:
            log = store.at("a", "main").plain()["log"]
        landed = sum(entry.startswith(f"{turn}.") for entry in log)
        assert landed in (count, count + 1)
        model = models[landed]
        require_seen(path, model)


def _logged(acts: list[Act]) -> int:
    return sum(name == "log" for name, *_ in acts)
