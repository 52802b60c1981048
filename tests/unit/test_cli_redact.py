"""`perdure redact`: what it shows, asks and redacts, and how other commands tell of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Retention, Store
from perdure.cli.app import NOT_FOUND, USAGE, app

MAIL = "alice@example.com"


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name, maintenance="off") as store, store.open("a") as session:
        session.state["profile"] = {"email": MAIL, "card": "4000 1234"}
        session.save(label=f"of {MAIL}")
        session.state["log"] = [f"by {MAIL}"]
    return name


def run(path: str, *args: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["--store", path, *args], input=answer)


def states(path: str) -> list[Any]:
    with Store(path) as store:
        return [store.at("a", number).plain() for number in (1, 2)]


def test_a_text_is_redacted_and_told(path: str) -> None:
    dry = run(path, "redact", "a", "--match", MAIL, "--dry-run")
    assert dry.exit_code == 0
    assert "a: would redact 3 values in 2 checkpoints" in dry.output
    assert MAIL in repr(states(path))
    done = run(path, "redact", "a", "--match", MAIL, "--reason", "request 12", "--yes")
    assert done.exit_code == 0
    lines = [line.split() for line in done.output.splitlines()]
    assert [line for line in lines if len(line) == 2] == [
        ["where", "checkpoints"],
        ["profile", "1"],
        ["log", "1"],
        ["labels", "1"],
    ]
    assert "a: redacted 3 values in 2 checkpoints; receipt: movement 1" in done.output
    assert MAIL not in repr(states(path))
    assert "redacted 2 checkpoints: request 12" in run(path, "movements", "a").output
    again = run(path, "redact", "a", "--match", MAIL, "--yes")
    assert again.exit_code == 0
    assert "a: nothing to redact" in again.output


def test_a_path_a_pattern_and_json(path: str) -> None:
    told = run(path, "redact", "a", "profile/email", "--yes", "--json")
    assert json.loads(told.stdout)["redaction"]["checkpoints"] == 1
    told = run(path, "redact", "a", "profile/*", "--regex", r"\d{4}", "--yes", "--json")
    assert json.loads(told.stdout)["redaction"]["path"] == "profile/*"
    profile = {"email": "[redacted]", "card": "[redacted] [redacted]"}
    assert [each["profile"] for each in states(path)] == [profile, profile]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("a",), "nothing says what is to go"),
        (("a", "--match", "x", "--regex", "y"), "--match goes without --regex"),
        (("a", "--regex", "(", "--yes"), "--regex"),
        (("a", "--match", MAIL), "nobody is there to ask"),
        (("a", "log/0", "--yes"), "position in a list"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_changes(
    path: str, args: tuple[str, ...], what: str
) -> None:
    before = states(path)
    told = run(path, "redact", *args)
    assert told.exit_code == USAGE
    assert what in told.stderr
    assert states(path) == before


def test_there_is_no_such_state(path: str) -> None:
    assert run(path, "redact", "b", "--match", "x", "--yes").exit_code == NOT_FOUND


@pytest.mark.parametrize(("answer", "is_done"), [("y\n", True), ("n\n", False)])
def test_somebody_who_is_there_is_asked(
    path: str, answer: str, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.cli.redact._is_asked", lambda: True)
    told = run(path, "redact", "a", "--match", MAIL, answer=answer)
    assert told.exit_code == 0
    assert "would redact" in told.output
    assert (MAIL in repr(states(path))) is not is_done


@pytest.mark.parametrize("more", [("--yes",), ("--dry-run",), ("--match", MAIL, "--yes")])
@pytest.mark.parametrize("where", ["profile/emial", "profil/email", "log/*/by"])
def test_a_path_at_which_nothing_ever_stood_is_told(
    path: str, where: str, more: tuple[str, ...]
) -> None:
    told = run(path, "redact", "a", where, *more)
    assert told.exit_code == NOT_FOUND
    assert told.stdout == "a: nothing to redact\n"
    assert f"nothing ever stood at {where}" in told.stderr
    as_json = run(path, "redact", "a", where, *more, "--json")
    assert as_json.exit_code == NOT_FOUND
    assert not json.loads(as_json.stdout)["redaction"]["is_there"]


def test_a_path_where_it_stood_once_or_was_redacted_is_no_error(path: str) -> None:
    with Store(path) as store:
        with store.open("a") as session:
            del session.state["profile"]["card"]
        store.prune(Retention(keep_last=1), "a")
    for where in ("profile/email", "profile/*", "log/*"):
        assert run(path, "redact", "a", where, "--match", "no such text", "--yes").exit_code == 0
    assert run(path, "redact", "a", "profile/email", "--yes").exit_code == 0
    again = run(path, "redact", "a", "profile/email", "--yes")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout == "a: nothing to redact\n"


def test_who_is_asked_is_told_of_a_path_at_which_nothing_ever_stood(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.cli.redact._is_asked", lambda: True)
    told = run(path, "redact", "a", "profile/emial", answer="y\n")
    assert told.exit_code == NOT_FOUND
    assert "Redact it" not in told.output


def test_a_pattern_given_as_a_text_is_told_of(path: str) -> None:
    told = run(path, "redact", "a", "--match", r"\d{4} \d{4}", "--dry-run")
    assert told.exit_code == 0
    assert "a: nothing to redact" in told.output
    assert "a regular expression is given by --regex" in told.output
    for text in (MAIL, "bob@example.com"):
        assert "--regex" not in run(path, "redact", "a", "--match", text, "--dry-run").output
