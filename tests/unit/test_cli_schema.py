"""`perdure schema`: what it counts and infers, and what it exits with."""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.evolution import Inner
from tests.unit.fleet_agent import Research

from perdure import Store, lenses
from perdure.cli.app import FOUND, USAGE, app
from perdure.schemas.declare import declared_of, schema
from perdure.schemas.json_schema import json_schema_of


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store:
        for key in ("r/a", "r/b"):
            with store.open(key, schema=Research) as typed:
                typed.state.subject = key
        for key in ("s/a", "s/b", "s/c"):
            with store.open(key) as session:
                session.state["topic"] = key
                session.state["steps"] = (1, None)
    return name


def call(path: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["schema", *args, "--store", path])


def answer(path: str, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(path, *args, "--json").stdout)
    return found


def test_versions_are_counted_by_schema(path: str) -> None:
    found = call(path, "versions")
    assert found.exit_code == 0
    assert [line.split() for line in found.stdout.splitlines()] == [
        ["schema", "version", "states", "example"],
        ["Research", "2", "2", "r/a"],
        ["(none)", "3", "s/a"],
    ]
    assert answer(path, "versions", "r/*") == {
        "versions": [{"schema": "Research", "version": 2, "states": 2, "example": "r/a"}],
        "unreadable": [],
    }
    assert call(path, "versions", "nothing/*").stderr == "no states\n"
    assert call(path, "versions", "r/a").exit_code == USAGE


def test_damaged_states_are_named_and_the_others_count(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE heads SET head = x'00' WHERE key = ?", (b"s/c",))
    database.close()
    for command in ("versions", "infer"):
        found = call(path, command, "s/*")
        assert found.exit_code == FOUND
        assert "s/c" in found.stderr
        (bad,) = answer(path, command, "s/*")["unreadable"]
        assert bad["key"] == "s/c"
        assert bad["problem"] in found.stderr
    assert answer(path, "versions", "s/*")["versions"][0]["states"] == 2
    assert answer(path, "infer", "s/*")["schema"]["required"] == ["topic", "steps"]


def test_schema_is_inferred_from_sections(path: str) -> None:
    found = call(path, "infer", "s/*", "--section", "steps")
    assert found.exit_code == 0
    assert json.loads(found.stdout) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "null"}],
                "minItems": 2,
                "maxItems": 2,
            }
        },
        "required": ["steps"],
    }
    assert answer(path, "infer")["schema"]["properties"].keys() == {"subject", "topic", "steps"}


def test_sample_is_spread_over_the_keys(path: str) -> None:
    assert answer(path, "infer")["states"] == 5
    found = answer(path, "infer", "--sample", "2")
    assert found["states"] == 2
    assert found["schema"]["properties"].keys() == {"subject", "topic", "steps"}


INNER, NEWEST = "tests.evolution:Inner", "tests.evolution:Newest"


def test_comparison_tells_what_needs_a_version(tmp_path: Path) -> None:
    inner = tmp_path / "inner.json"
    inner.write_text(json.dumps(json_schema_of(Inner)), encoding="utf-8")
    for old in (INNER, str(inner)):
        found = CliRunner().invoke(app, ["schema", "compare", old, NEWEST])
        assert found.exit_code == 0
        lines = [line.split() for line in found.stdout.splitlines()]
        assert lines[1:] == [["goal", "yes", "removed"], ["n", "no", "added"]]
        assert "2 differences, 1 of which" in found.stderr
    assert CliRunner().invoke(app, ["schema", "compare", INNER, INNER]).stdout == ""


def test_draft_imports_the_class_and_runs(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(
        json.dumps({"type": "object", "properties": {"subjects": {"type": "string"}}}),
        encoding="utf-8",
    )
    old, new = str(tmp_path / "old.json"), "tests.unit.fleet_agent:Research"
    found = CliRunner().invoke(app, ["schema", "draft", old, new])
    assert found.exit_code == 0
    assert "from tests.unit.fleet_agent import Research\n" in found.stdout
    exec(found.stdout, {})
    assert declared_of(Research).migrations.pop((1, 2)).lenses == (
        lenses.rename("subjects", "subject"),
        lenses.add("budget", 0),
    )
    named = CliRunner().invoke(app, ["schema", "draft", old, new, "--name", "Other", "--to", "3"])
    assert "    Other,\n    1,\n    3,\n" in named.stdout
    assert "import Research" not in named.stdout


@schema("Draft", version=2)
@dataclass
class Second:
    topic: str = ""


@schema("Draft", version=4)
@dataclass
class Fourth:
    subject: str = ""


def test_a_draft_is_of_the_versions_that_its_classes_have() -> None:
    old, new = f"{__name__}:Second", f"{__name__}:Fourth"
    assert (
        "    Fourth,\n    2,\n    4,\n"
        in CliRunner().invoke(app, ["schema", "draft", old, new]).stdout
    )
    said = CliRunner().invoke(app, ["schema", "draft", old, new, "--from", "3"]).stdout
    assert "    Fourth,\n    3,\n    4,\n" in said
    back = CliRunner().invoke(app, ["schema", "draft", new, old]).stdout
    assert "    Second,\n    4,\n    5,\n" in back


@pytest.mark.parametrize(
    "args",
    [
        ("compare", INNER, "none.json"),
        ("compare", INNER, "list.json"),
        ("compare", INNER, "deep.json"),
        ("compare", INNER, "nowhere"),
        ("draft", "good.json", "good.json"),
        ("draft", INNER, NEWEST, "--from", "2", "--to", "2"),
        ("draft", INNER, NEWEST, "--name", "no name"),
    ],
)
def test_wrong_calls_are_told(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text("{}", encoding="utf-8")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    found = CliRunner().invoke(app, ["schema", *args])
    assert found.exit_code == USAGE
    assert "Error: " in found.stderr
