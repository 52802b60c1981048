"""examples/best_of_n.py as it is run: to its end, killed in the middle, and again."""

import os
import subprocess
import sys
from pathlib import Path

import perdure

EXAMPLE = Path(__file__).parents[2] / "examples" / "best_of_n.py"


def start(home: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), *args],
        cwd=home,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(home: Path, *args: str) -> list[str]:
    out, err = (process := start(home, *args)).communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out.splitlines()


def best_of(lines: list[str]) -> tuple[str, str]:
    """The branch, and its length, that the last line tells."""
    branch, _, length = lines[-1].removeprefix("the best is ").partition(": ")
    return branch, length


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 70


def test_the_best_try_is_what_main_goes_on_from(tmp_path: Path) -> None:
    lines = finished(tmp_path, "3")
    branch, length = best_of(lines)
    ends = {line.split(":")[0]: line.split(", ")[1] for line in lines if ": step 10," in line}
    assert len(ends) == 3
    assert length == ends[branch] == min(ends.values(), key=float)
    with perdure.Store(str(tmp_path / "tries.db")) as store:
        main = store.at("tour", "main")
        assert main.plain() == store.at("tour", branch).plain()
        assert sorted(main["tour"]) == list(range(30))
        assert [each.name for each in store.branches("tour")] == ["main", *sorted(ends)]
        assert store.history("tour")[-1].label == "start"
        assert all(each.ok for each in store.verify())


def test_killed_in_the_middle_it_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    with start(killed, "2") as process:
        assert process.stdout is not None
        done = [process.stdout.readline() for _ in range(5)]
        process.kill()
        done += process.stdout.readlines()
    again = finished(killed, "2")
    assert len(again) <= 1 + 2 * 10 - len(done)  # no step that was told of is made again
    assert best_of(again) == best_of(finished(calm, "2"))


def test_more_tries_later_replace_the_choice_if_one_is_better(tmp_path: Path) -> None:
    few = best_of(finished(tmp_path, "1"))
    again = finished(tmp_path, "1")
    assert (len(again), best_of(again)) == (1, few)
    branch, length = best_of(finished(tmp_path, "6"))
    assert (branch != few[0], float(length) < float(few[1])) == (True, True)
    with perdure.Store(str(tmp_path / "tries.db")) as store:
        assert store.at("tour", "main").plain() == store.at("tour", branch).plain()
