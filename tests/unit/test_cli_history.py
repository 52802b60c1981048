"""`perdure log`, `diff` and `sessions`."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import app


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        with store.open("a") as session:
            session.state["steps"] = []
            for number in range(29):
                session.state["steps"].append(number)
                session.save(label=f"step\x1b {number}", metadata={"cost": Decimal("0.5")})
        with pytest.raises(ZeroDivisionError), store.open("a") as session:
            session.state["plan"] = {"goal": "refund"}
            session.save()
            raise ZeroDivisionError
    return name


def run(path: str, *args: str) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == 0, result.stderr
    return result


def numbers(result: Result) -> list[int]:
    return [each["number"] for each in json.loads(result.stdout)["checkpoints"]]


def test_the_log_is_a_line_a_checkpoint_newest_first(path: str) -> None:
    result = run(path, "log", "a")
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["number", "id", "time", "session", "label", "sections"]
    assert [int(row.split()[0]) for row in rows] == list(range(30, 10, -1))
    assert all(len(row.split()[1]) == 12 for row in rows)
    assert rows[0].endswith("plan")
    assert "step\\x1b 28" in rows[1]
    assert "10 older: add --before 11" in result.stderr


def test_the_log_in_pages(path: str) -> None:
    first = run(path, "log", "a", "--limit", "25", "--json")
    assert numbers(first) == list(range(30, 5, -1))
    after = json.loads(first.stdout)["next"]
    last = run(path, "log", "a", "--before", str(after), "--json")
    assert numbers(last) == [5, 4, 3, 2, 1]
    assert json.loads(last.stdout)["next"] is None
    assert run(path, "log", "a", "--before", "6").stderr == ""
    none = run(path, "log", "a", "--before", "1")
    assert (none.stdout, none.stderr) == ("", "no checkpoint before 1\n")


def test_the_log_as_json(path: str) -> None:
    found: dict[str, Any] = json.loads(run(path, "log", "a", "--limit", "2", "--json").stdout)
    first, second = found["checkpoints"]
    assert first["label"] is None
    assert second["label"] == "step\x1b 28"
    assert second["metadata"] == {"cost": {"$decimal": "0.5"}}
    assert second["time"].endswith("Z")
    assert "changes" not in first


def test_what_each_checkpoint_changed(path: str) -> None:
    text = run(path, "log", "a", "--limit", "2", "--changes").stdout.splitlines()
    head, *rows = run(path, "log", "a", "--limit", "2").stdout.splitlines()
    assert [text[0], text[1][:20], text[3][:20]] == [head, *(row[:20] for row in rows)]
    assert text[2] == "    set plan = {'goal': 'refund'}"
    assert text[4] == "    put 1 item into steps at 28: [28]"
    found = json.loads(run(path, "log", "a", "--limit", "2", "--changes", "--json").stdout)
    assert [each["changes"] for each in found["checkpoints"]] == [
        [{"kind": "set", "path": "plan", "value": {"goal": "refund"}}],
        [{"kind": "splice", "path": "steps", "start": 28, "removed": 0, "items": [28]}],
    ]


def test_what_differs_between_two_checkpoints(path: str) -> None:
    assert run(path, "diff", "a", "27", "30").stdout.splitlines() == [
        "steps  2 added",
        "  steps/27…28  2 items inserted",
        "    + 27",
        "    + 28",
        "plan  added",
        "    + {'goal': 'refund'}",
    ]
    assert run(path, "diff", "a", "27").stdout == run(path, "diff", "a", "27", "30").stdout
    assert json.loads(run(path, "diff", "a", "29", "30", "--json").stdout) == {
        "differences": [
            {
                "kind": "added",
                "path": "plan",
                "before": None,
                "after": {"goal": "refund"},
                "summary": "added plan: {'goal': 'refund'}",
            }
        ]
    }
    same = run(path, "diff", "a", "5", "5")
    assert (same.stdout, same.stderr) == ("", "no difference\n")


def test_sessions_and_how_they_ended(path: str) -> None:
    rows = run(path, "sessions", "a").stdout.splitlines()[1:]
    assert rows[0].endswith("failed: ZeroDivisionError")
    assert "  30  " in rows[0]
    assert "  1-29  " in rows[1]
    assert rows[1].endswith("closed")
    found = json.loads(run(path, "sessions", "a", "--json").stdout)["sessions"]
    assert [(each["ended"], each["first"], each["last"]) for each in found] == [
        ("failed", 30, 30),
        ("closed", 1, 29),
    ]
    assert found[0]["holder"]["pid"]
