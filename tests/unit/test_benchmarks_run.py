"""Every benchmark runs, on tiny sizes, and says what it should. What it measures is not judged."""

import gzip
import json
import math
import re
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.catalogue import BENCHMARKS
from benchmarks.figure import Figure, Goal
from benchmarks.measure import Run, interleaved, percentile
from benchmarks.messages import message, packed
from benchmarks.saves import Saver

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
JUDGED = {
    "save-full": 2,
    "save-normal": 1,
    "save-async": 2,
    "threads": 1,
    "threads-slow": 1,
    "state-size": 2,
    "list-length": 2,
    "typed": 1,
    "wal": 1,
    "upkeep": 3,
    "import": 1,
    "first-save": 1,
    "open": 1,
    "reopen": 0,
    "open-long": 1,
    "keyed": 2,
    "load": 2,
    "window-memory": 3,
    "plan-edits": 4,
    "edit-costs": 7,
    "worst-save": 0,
    "fleet": 1,
    "resuming": 2,
    "steps": 3,
    "secrets": 2,
    "verifying": 1,
    "trajectories": 0,
    "branches": 8,
    "many-branches": 4,
    "merge": 2,
    "merging": 0,
    "disk": 0,
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_runs_and_measures_a_floor_with_each_figure(name: str, tmp_path: Path) -> None:
    benchmark, what = BENCHMARKS[name]
    figures = benchmark(Run(quick=True, directory=tmp_path))
    assert what
    assert figures
    assert sum(figure.goal is not None for figure in figures) == JUDGED[name]
    for figure in figures:
        assert math.isfinite(figure.value)
        assert figure.floor > 0
        assert figure.what
        assert figure.floor_is
        assert set(figure.as_json()) == {
            *("what", "unit", "value", "floor", "floor_is", "ratio", "goal", "met", "note")
        }


def test_every_benchmark_is_expected_and_documented() -> None:
    assert set(JUDGED) == set(BENCHMARKS)
    text = DOCUMENT.read_text("utf-8")
    assert [name for name in BENCHMARKS if f"`{name}`" not in text] == []


def test_command_prints_the_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    work = tmp_path / "work"
    assert main(["open", "--quick", "--dir", str(work), "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    told = json.loads(target.read_text("utf-8"))
    assert list(told["benchmarks"]) == ["open"]
    assert told["about"]["mode"].startswith("quick")
    assert told["about"]["command"] == "python -m benchmarks open --quick"
    assert re.fullmatch(r"[0-9.]+ minutes; seconds: open \d+", told["about"]["took"])
    assert "500 µs" in printed
    assert "of 1 goals met" in printed
    assert list(work.iterdir()) == []


def test_command_lists_and_refuses_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(BENCHMARKS)
    assert main(["open", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_recorded_conversations_are_used_where_they_are(tmp_path: Path) -> None:
    talks = [{"messages": [message(n), message(n + 1)]} for n in range(2)]
    data = tmp_path / "talks.jsonl.gz"
    data.write_bytes(gzip.compress("\n".join(map(json.dumps, talks)).encode()))
    (tmp_path / "disk").mkdir()
    run_trajectories, _ = BENCHMARKS["trajectories"]
    figures = run_trajectories(Run(quick=True, directory=tmp_path, data=data))
    assert "recorded airline trajectories: 2 states, 4 checkpoints" in figures[0].note
    raw = sum(len(packed(said)) for talk in talks for said in talk["messages"]) / 1e6
    assert figures[-1].floor == raw
    run_disk, _ = BENCHMARKS["disk"]
    own, joined, made_up = run_disk(Run(quick=True, directory=tmp_path / "disk", data=data))
    assert own.floor == joined.floor == raw
    assert own.goal == Goal(ratio_max=0.75)
    assert joined.goal == Goal(ratio_max=0.45)
    assert made_up.goal is None


def test_verdict_is_the_goals() -> None:
    def met(goal: Goal, value: float, floor: float) -> bool | None:
        return Figure("save", "µs", value, floor, "insert", goal).met

    assert met(Goal(ratio_max=1.5), 15, 10)
    assert not met(Goal(ratio_max=1.5), 15.1, 10)
    assert met(Goal(ratio_min=2), 20, 10)
    assert not met(Goal(ratio_min=2), 19.9, 10)
    assert not met(Goal(ratio_max=5, value_max=50), 51, 20)
    assert not met(Goal(ratio_max=5, value_max=50), 50, 9)
    assert met(Goal(over_floor_max=150), 250, 100)
    assert not met(Goal(over_floor_max=150), 251, 100)
    assert Figure("load", "ms", 1, 1, "blob").met is None


def test_goal_is_told_as_it_is_judged() -> None:
    assert Goal(ratio_max=5, value_max=50).text("µs") == "≤ 5 × floor and ≤ 50 µs"
    assert Goal(over_floor_max=150).text("µs") == "≤ floor + 150 µs"
    assert Goal(ratio_min=6).text("saves/s") == "≥ 6 × floor"


def test_floor_and_figure_take_turns() -> None:
    calls: list[str] = []
    ours, floor = interleaved(2, 2, lambda: calls.append("a"), lambda: calls.append("b"))
    assert "".join(calls) == "aabb" * 3
    assert len(ours) == len(floor) == 4


def test_percentiles_are_measured_times() -> None:
    assert percentile([3, 1, 2, 4], 50) == 2
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5, 7], 100) == 7
    assert percentile([5], 1) == 5


def test_messages_are_of_about_600_bytes_and_differ() -> None:
    sizes = [len(packed(message(seed))) for seed in range(50)]
    assert min(sizes) > 580
    assert max(sizes) < 620
    assert len({packed(message(seed)) for seed in range(50)}) == 50


def test_saves_that_made_no_checkpoint_are_not_reported() -> None:
    class Session:
        checkpoint = None

        def __init__(self) -> None:
            self.state: dict[str, list[object]] = {}

        def save(self) -> None:
            pass

    saver = Saver(Session(), iter([({}, b"")]))  # type: ignore[arg-type]
    saver.save()
    with pytest.raises(RuntimeError, match="1 saves made 0 checkpoints"):
        saver.check()
