"""`perdure waiting` and `perdure answer`: for people who are asked."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import NOT_FOUND, USAGE, app
from perdure.errors import Waiting


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        with pytest.raises(Waiting), store.open("s/alice") as session:
            session.ask("approve", {"amount": 40})
        with pytest.raises(Waiting), store.open("t/bob") as session:
            session.ask("name", "Which name?")
        with store.open("t/carl") as session:
            session.state["x"] = 1
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def test_questions_are_listed_and_answered(path: str) -> None:
    found = run("--store", path, "waiting")
    assert "s/alice" in found.stdout
    assert "{'amount': 40}" in found.stdout
    assert "perdure answer s/alice approve" in found.stderr
    told = json.loads(run("--store", path, "waiting", "t/", "--json").stdout)["questions"]
    assert [(each["key"], each["id"], each["payload"]) for each in told] == [
        ("t/bob", "name", "Which name?")
    ]
    done = run("--store", path, "answer", "s/alice", "approve", "true", "--by", "ann")
    assert (done.exit_code, done.stdout) == (0, "approve is answered\n")
    run("--store", path, "answer", "t/bob", "name", '"Bob"')
    assert run("--store", path, "waiting").stdout == "nobody waits for an answer\n"
    with Store(path) as store, store.open("t/bob") as session:
        assert session.ask("name", "Which name?") == "Bob"


def test_what_is_due_is_listed(path: str) -> None:
    assert run("--store", path, "waiting", "--due").stdout == "nothing is due\n"
    with Store(path) as store, store.open("t/carl") as session:
        session.sleep_until("now", timedelta(0))
        with pytest.raises(Waiting):
            session.sleep_until("later", timedelta(microseconds=1))
    due = run("--store", path, "waiting", "--due")
    assert "later" in due.stdout
    assert "timer" in due.stdout


def test_calls_that_make_no_sense_are_told(path: str) -> None:
    found = run("--store", path, "answer", "t/bob", "name", "Bob")
    assert found.exit_code == USAGE
    assert "is no JSON" in found.stderr
    assert run("--store", path, "answer", "t/bob", "nope", "1").exit_code == NOT_FOUND
    assert run("--store", path, "answer", "nope", "nope", "1").exit_code == NOT_FOUND
