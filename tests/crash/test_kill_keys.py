"""Processes that encrypt a store, or give it other keys, really killed: all is kept (P1, P5)."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perdure import Store
from perdure.errors import NotEncrypted
from perdure.keys import FileKey

STATES = 24


def fill(path: str, key: FileKey | None) -> dict[str, str]:
    with Store(path, key=key, durability="process", maintenance="off") as store:
        for number in range(STATES):
            with store.open(f"a{number}") as session:
                session.state["texts"] = []
                for at in range(60):
                    session.state["texts"].append(f"{number} {at} " * 200)
                    session.save()
            if number % 2:
                store.maintain(f"a{number}")
        return hashes(store)


def hashes(store: Store) -> dict[str, str]:
    return {f"a{number}": store.history(f"a{number}")[0].hash for number in range(STATES)}


@pytest.mark.parametrize("work", [["init"], ["rewrap", "--deep"]], ids=["init", "deep"])
def test_what_was_killed_is_whole_and_is_ended_by_doing_it_again(
    work: list[str], tmp_path: Path
) -> None:
    path, key = str(tmp_path / "agents.db"), FileKey.make(tmp_path / "a.key")
    before = fill(path, None if work == ["init"] else key)
    chance, killed = random.Random(5), 0
    command = [sys.executable, "-m", "perdure.cli", "--store", path]
    command += ["--key", f"file:{tmp_path / 'a.key'}", "keys", *work]
    for _ in range(12):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(chance.uniform(0.05, 0.8))
            process.kill()
            killed += process.wait() != 0
        try:
            with Store(path, key=key, maintenance="off") as store:
                assert hashes(store) == before
                assert [each.problem for each in store.verify() if not each.ok] == []
        except NotEncrypted:
            assert work == ["init"]  # it was killed before it began
    assert killed > 0
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Store(path, key=key) as store:
        assert hashes(store) == before
        assert all(each.ok for each in store.verify())
        info = store.key_info()
        assert (info.stage, info.rewrap, info.data_keys) == ("sealed", "", STATES)
