"""The demo as a whole, on a small code base: kills, proofs, and proofs that fail."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import perdure.demo
from perdure import Store
from perdure.cli.app import app
from perdure.demo import about_saves, about_steps
from perdure.demo.agent import STEPS
from perdure.demo.display import Lines, Picture, display_for
from perdure.demo.supervisor import AgentFailed, KillMoment, Supervisor, kill_moments
from perdure.demo.witness import Witness, content, place_for_store
from perdure.errors import StoreUnavailable

MODULES = 12


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    root.mkdir()
    for number in range(MODULES):
        (root / f"m{number:02}.py").write_text('"""Doc."""\n' + "def f(x=[]): ...\n" * number)
    return root


@pytest.fixture
def long_code(code: Path) -> Path:
    """Steps that take a while, so that kills meet the agent at work."""
    for module in code.iterdir():
        with module.open("a") as file:
            file.write("_ = [1, 2, 3]\n" * 500)
    return code


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def outcome(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_killed_agent_does_the_work_of_an_undisturbed_one(
    long_code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P1: nothing acknowledged is lost, whenever the process dies."""
    assert perdure.demo.main(long_code, kills=3, seed=7, json=True) == 0
    found = outcome(capsys)
    assert found["ok"]
    assert [proof["ok"] for proof in found["proofs"]] == [True] * 5
    assert found["modules"] == MODULES
    assert found["kills"] == found["sessions"] - 1
    assert found["kills"] >= 1
    assert found["saves"] == 2 + 4 * MODULES
    assert found["lines"] == MODULES
    assert len(Path("perdure-demo/audit-1.txt").read_text().splitlines()) == MODULES
    assert found["report"]["findings"] == {"mutable default": 66, "no docstring": 66}
    with Store(found["store"]) as store:
        sessions = store.sessions(found["key"])
        # One that was killed before its first save left no trace.
        assert 1 < len(sessions) <= found["sessions"]
        assert {each.ended for each in sessions[1:]} == {"interrupted"}


def test_a_second_demo_leaves_the_first_alone(
    code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        assert perdure.demo.main(code, kills=0, seed=None, json=True) == 0
        assert outcome(capsys)["key"] == f"audit/{number}"
    with Store("perdure-demo/agents.db") as store:
        keys = [each.key for each in store.states()]
    assert keys == ["audit/1", "audit/2", "undisturbed/1", "undisturbed/2"]


def test_it_prints_lines_where_there_is_no_terminal(
    long_code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perdure.demo.main(long_code, kills=1, seed=1, json=False) == 0
    out = capsys.readouterr().out
    assert "KILLED at " in out
    assert "interrupted" in out
    assert "perdure --store perdure-demo/agents.db show audit/1" in out
    assert "NO" not in out
    assert "\x1b" not in out


def executable(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("scripts", "on_path", "printed"),
    [
        ("here/.venv/bin", "here/.venv/bin", "perdure"),
        ("here/.venv/bin", "other/bin", ".venv/bin/perdure"),
        ("here/.venv/bin", None, ".venv/bin/perdure"),
        ("here/my env/bin", None, "'my env/bin/perdure'"),
        ("far/bin", None, "{tmp}/far/bin/perdure"),
        (None, "other/bin", f"{sys.executable} -m perdure"),
    ],
)
def test_it_names_the_program_as_it_can_be_run(
    scripts: str | None,
    on_path: str | None,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    for each in (scripts, on_path):
        if each is not None:
            executable(tmp_path / each / "perdure")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(tmp_path / (on_path or "nowhere")))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / (scripts or "nowhere")))
    first = next(perdure.demo.commands("a.db", "k"))
    assert first == f"{printed.format(tmp=tmp_path)} --store a.db ls"


def test_it_names_the_program_where_there_is_no_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = executable(tmp_path / "env" / "bin" / "perdure")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(own.parent))
    assert next(perdure.demo.commands("a.db", "k")) == f"{own} --store a.db ls"


def test_a_link_to_the_program_is_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "links" / "perdure"
    link.parent.mkdir()
    link.symlink_to(executable(tmp_path / "env" / "bin" / "perdure"))
    monkeypatch.setenv("PATH", str(link.parent))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "env" / "bin"))
    assert next(perdure.demo.commands("a.db", "k")) == "perdure --store a.db ls"


def test_a_file_in_the_place_of_its_store_is_told_in_one_line(code: Path, tmp_path: Path) -> None:
    (tmp_path / "perdure-demo").write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--path", str(code)])
    assert (result.exit_code, result.stdout) == (6, "")
    (told,) = result.stderr.splitlines()
    assert told.startswith(f"Error: {tmp_path / 'perdure-demo'} is no directory")
    assert "another directory" in told
    assert (tmp_path / "perdure-demo").read_text() == "mine"


def test_where_nothing_can_be_written_it_goes_elsewhere_or_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()  # nobody, whatever they may do, can make a file here
    elsewhere = place_for_store()
    assert elsewhere.is_absolute()
    elsewhere.rmdir()
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(StoreUnavailable, match="TMPDIR"):
        place_for_store()


def test_interrupted_it_says_where_its_store_is(long_code: Path) -> None:
    command = [sys.executable, "-m", "perdure", "demo", "--kills", "0", "--path", str(long_code)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("An agent audits")
        assert "modules" in demo.stdout.readline()  # it is at work
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it
        _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "everything saved is kept in perdure-demo/agents.db" in said
    assert "perdure --store perdure-demo/agents.db ls" in said
    assert "Traceback" not in said
    with Store("perdure-demo/agents.db") as store:
        assert store.info("audit/1").number >= 1


def test_the_numbers_add_up() -> None:
    witness = Witness()
    assert about_steps(witness) == "0 starts for 0 steps"
    for step, number in (("read", 1), ("examine", 2)):
        witness.hear({"event": "start", "task": "m", "step": step})
        witness.hear(saved(step, number))
    assert about_saves(witness, 1) == "2 acknowledged saves, looked up after each of 1 kill"
    assert about_saves(witness, 0) == "2 acknowledged saves, looked up at the end"
    witness.hear({"event": "start", "task": "m", "step": "decide"})
    witness.cut, witness.unanswered = 1, 1
    assert about_saves(witness, 5).endswith(
        "; 1 more took effect, though a kill cut off the answer"
    )
    assert about_steps(witness).endswith(
        "2 steps, 1 step being killed before the save and begun again"
    )


def test_there_must_be_something_to_audit(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="no Python file"):
        perdure.demo.main(tmp_path, kills=1, seed=1, json=True)


def test_an_agent_that_fails_is_reported_with_its_words(code: Path) -> None:
    display = Lines(Console(quiet=True))
    with pytest.raises(AgentFailed, match="no/such"):
        Supervisor("no/such/directory.db", "audit/1", code, display).run()


def test_a_failing_agent_fails_the_demo(
    code: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert perdure.demo.main(code, kills=0, seed=1, json=True) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the agent failed" in captured.err


def test_every_proof_can_fail(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert perdure.demo.main(code, kills=0, seed=1, json=True) == 0
    found = outcome(capsys)
    display = Lines(Console(quiet=True))
    tried = Supervisor(found["store"], found["key"], code, display)
    tried.witness.lost.append("checkpoint 3")
    tried.witness.redone.append(("m01.py", "read"))
    lines = [f"m{number:02}.py\tleave" for number in (0, *range(MODULES - 1))]
    shown = {"plan": content(found["store"], found["key"], tried.file)["plan"], "lines": lines}
    proofs = list(perdure.demo.prove(tried, shown, {}))
    assert [proof.ok for proof in proofs] == [False, False, False, False, True]
    assert "checkpoint 3" in proofs[0].detail
    assert "m01.py" in proofs[1].detail
    assert proofs[2].detail.endswith("not there once: m00.py, m11.py")


def saved(step: str, number: int) -> dict[str, Any]:
    return {"event": "saved", "task": "m", "step": step, "number": number, "id": f"{number:032x}"}


def test_the_witness_notices_what_was_lost(tmp_path: Path) -> None:
    with Store("a.db") as store, store.open("k") as session:
        with session.task("m") as task:
            task.step("read", int)
            checkpoint = session.checkpoint
        assert checkpoint is not None
    witness = Witness()
    witness.hear(saved("read", 1) | {"id": checkpoint.id})
    witness.compare("a.db", "k")
    assert witness.lost == []
    witness.hear(saved("examine", 2))
    witness.compare("a.db", "k")
    assert witness.lost == ["checkpoint 2", "examine of m"]


def test_the_witness_notices_a_finished_step_begun_again() -> None:
    witness = Witness()
    start = {"event": "start", "task": "m", "step": "read"}
    witness.hear(start)
    witness.hear(start)  # it was cut: allowed
    assert witness.redone == []
    witness.hear(saved("read", 1))
    witness.hear(start)
    assert witness.redone == [("m", "read")]


def test_kills_are_spread_over_the_work_and_follow_the_seed() -> None:
    moments = kill_moments(100, 5, random.Random(1))
    assert moments == kill_moments(100, 5, random.Random(1))
    assert moments != kill_moments(100, 5, random.Random(2))
    assert [each.saves // 80 for each in moments] == [0, 1, 2, 3, 4]
    assert [each.event for each in moments] == ["saved", "acted", "start", "saved", "acted"]


def test_an_agent_killed_at_the_file_finds_out_what_became_of_its_line(code: Path) -> None:
    moments = [KillMoment(at, "acted", 0) for at in (4, 12, 20)]
    moments += [KillMoment(at, "start", 0) for at in (28, 36)]
    display = Lines(Console(quiet=True))
    agent = Supervisor("a.db", "audit/1", code, display, moments)
    agent.run()
    assert agent.kills == 5
    assert agent.witness.happened >= 1
    assert [line.split("\t")[0] for line in agent.file.read_text().splitlines()] == [
        f"m{number:02}.py" for number in range(MODULES)
    ]


def test_the_live_picture_shows_each_session_and_its_fate() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    picture = display_for(console, silent=False)
    assert isinstance(picture, Picture)
    witness = Witness()
    picture.begin("An audit", tasks=4)
    picture.heard({"event": "new"}, witness)
    for number, step in enumerate(STEPS, start=1):
        witness.hear(saved(step, number))
    picture.heard(saved("append", 4), witness)
    picture.killed(("[m].py", "read"))
    picture.heard({"event": "resumed", "number": 3, "ended": "interrupted"}, witness)
    picture.heard({"event": "finished"}, witness)
    picture.end()
    plain = Console(file=io.StringIO(), width=100)
    plain.print(picture)
    assert isinstance(plain.file, io.StringIO)
    text = plain.file.getvalue()
    assert "1 of 4 modules" in text
    assert "killed at read [m].py" in text
    assert "checkpoint 3" in text
    assert "finished" in text
