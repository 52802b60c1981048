"""Processes that save to one state at once, and merge: no acknowledged save is lost (P1, P3)."""

from pathlib import Path

import pytest
from benchmarks.merging import write

import perdure

SAVES = 300


@pytest.mark.parametrize("sections", [("first", "second"), ("log", "log")])
def test_no_save_of_two_processes_is_lost_P1_P3(tmp_path: Path, sections: tuple[str, str]) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as store, store.open("a") as session:
        session.state["log"] = []
    write(path, [("a", name) for name in sections], SAVES)
    with perdure.Store(path) as store:
        state = store.at("a", "main").plain()
        for number, name in enumerate(sections):
            mine = [item for item in state[name] if item[0] == str(number)]
            assert mine == [[str(number), each] for each in range(SAVES)]
        assert store.info("a").number == 1 + 2 * SAVES
        assert all(found.ok for found in store.verify())
