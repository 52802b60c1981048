"""Processes of two and three releases at work on one state at once, as in a rolling deploy (P3)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.fleets.model import Instructor, Model
from tests.fleets.processes import Process, Refused
from tests.fleets.versions import Version

import perdure


def _opened(installed: dict[int, Path], path: Path, numbers: list[int]) -> list[Process]:
    return [Process(installed[number], path) for number in numbers]


def _acts(name: str, entry: str) -> list[list[Any]]:
    return [["count", name], ["log", entry]]


def _saved(process: Process, acts: list[list[Any]], options: dict[str, Any]) -> None:
    """Save the acts: open again, and do them again, whenever what is held is out of date."""
    process.ask("do", acts)
    while True:
        try:
            process.ask("save")
            return
        except Refused as refused:
            if not refused.is_reload:
                raise
            process.ask("open", options)
            process.ask("do", acts)


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_no_acknowledged_edit_of_a_rolling_deploy_is_lost(
    on_conflict: str, installed: dict[int, Path], tmp_path: Path
) -> None:
    path, chance = tmp_path / "a.db", random.Random(on_conflict)
    options = {"on_conflict": on_conflict}
    with perdure.Store(path) as store, store.open("a", schema=Version(1).schema) as session:
        session.state.log, session.state.counts = ["begin"], {}
    numbers = [1, 2, 1, 2]
    processes = _opened(installed, path, numbers)
    told: dict[str, list[str]] = {f"p{at}": [] for at in range(len(processes))}
    for process in processes:
        process.ask("open", options)
    for turn in range(40):
        at = chance.randrange(len(processes))
        name, entry = f"p{at}", f"p{at}.{turn}"
        _saved(processes[at], _acts(name, entry), options)
        told[name].append(entry)
    for process in processes:
        process.kill()
    with perdure.Store(path) as store:
        for number in (1, 2, 3):
            state = store.at("a", "main", schema=Version(number).schema).state
            assert {name: len(each) for name, each in told.items() if each} == dict(state.counts)
            for name, each in told.items():
                assert [entry for entry in state.log if entry.startswith(f"{name}.")] == each


def test_a_session_that_is_open_while_newer_code_migrates_is_told(
    installed: dict[int, Path], tmp_path: Path
) -> None:
    path, model = tmp_path / "a.db", Model()
    instructor = Instructor(random.Random(0))
    older, newer = _opened(installed, path, [1, 3])
    older.ask("open", {})
    older.ask("do", instructor.acts(1, model, 10))
    older.ask("save")
    newer.ask("open", {})
    before = model.copy()
    older.ask("do", [["log", "of the former version"]])
    newer.ask("do", instructor.acts(3, model, 5))
    newer.ask("save")
    for instruction in (["save"], ["refresh", False]):
        with pytest.raises(Refused, match=r"^SchemaChanged|^Conflict") as refused:
            older.ask(*instruction)
        assert refused.value.is_reload
    with pytest.raises(Refused, match=r"^SchemaChanged"):
        older.ask("refresh", False)
    before.log.append("of the former version")
    assert older.ask("show") == before.seen(1)
    older.ask("open", {})
    assert older.ask("show") == model.seen(1)
    older.ask("do", instructor.acts(1, model, 5))
    older.ask("save")
    older.ask("close")
    newer.ask("refresh", False)
    assert newer.ask("show") == model.seen(3)
    newer.ask("close")
    newer.end()
    older.end()
