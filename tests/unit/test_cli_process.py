"""The command as users meet it: a process, a pipe, a terminal, an interrupted session."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from rich.cells import cell_len

from perdure import Store

PERDURE = [sys.executable, "-m", "perdure.cli"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "agents.db")
    with Store(name) as store, store.open("support/alice") as session:
        session.state["messages"] = [f"message {number}\x1b[2J" for number in range(20_000)]
        session.state["odd"] = "\ud800 漢"
    return name


def on_terminal(*args: str, typed: str = "", code: int = 0, **env: str) -> str:
    """What a command writes to a terminal of 80 columns, where `typed` waits to be read."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    clean = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    whole = {**clean, "TERM": "xterm", "COLUMNS": "80", **env}
    with subprocess.Popen(
        [*PERDURE, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=whole
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux says so when the other side has closed
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    assert process.returncode == code, written
    return written.decode().replace("\r\n", "\n")


def test_a_reader_that_stops_is_no_error(path: str) -> None:
    with subprocess.Popen(
        [*PERDURE, "--store", path, "show", "support/alice", "messages", "--full"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"messages: list, 20,000 items\n"
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full disk to try")
@pytest.mark.parametrize("command", [["ls"], ["show", "support/alice"], ["ls", "--json"]])
def test_output_that_finds_no_room_is_told(path: str, command: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PERDURE, "--store", path, *command], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 6
    assert b"the output could not be written: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_any_encoding_can_show_any_state(path: str) -> None:
    env = {**os.environ, "PERDURE_STORE": path, "PYTHONIOENCODING": "latin-1"}
    run = subprocess.run(
        [*PERDURE, "show", "support/alice", "odd"], capture_output=True, env=env, check=True
    )
    assert run.stdout == b"odd: str, 3 characters\n\\ud800 \\u6f22\n"


def test_a_terminal_gets_a_table_and_no_control_characters_of_a_state(path: str) -> None:
    shown = on_terminal("--store", path, "show", "support/alice")
    assert "\x1b[1m" in shown
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in shown
    raw = on_terminal("--store", path, "show", "support/alice", "messages/0", "--raw")
    assert raw == "message 0\\x1b[2J\n"
    listed = on_terminal("--store", path, "log", "support/alice")
    assert re.search(r"\b[0-9a-f]{12}\b", listed)
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", listed).splitlines())) <= 80


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_a_terminal_gets_one_line_a_row_with_marks_where_it_was_shortened(
    path: str, columns: int
) -> None:
    with Store(path) as store:
        for key in ("support/bob", "x" * 1000, "漢" * 60):
            with store.open(key) as session:
                session.state.update({"section-" + "y" * 40: 1, "z" * 40: 2})
                session.summary = "waits " * 20
                session.save(label="long " * 20)
                session.state["漢" * 40] = 3
    for command, rows in ((["ls"], 4), (["log", "support/bob"], 2), (["sessions", "x" * 1000], 1)):
        text = on_terminal("--store", path, *command, COLUMNS=str(columns))
        head, *lines = COLOUR.sub("", text).splitlines()
        assert len(lines) == rows, text
        assert max(map(cell_len, (head, *lines))) <= columns, text
        assert all("just now" in line or " ago" in line or "…" in line for line in lines)
        if command == ["ls"]:
            assert "…" in text
            assert sum("support/bob" in line for line in lines) == (columns >= 80)
        if command == ["log", "support/bob"] and columns >= 80:
            assert all(re.search(r"  (just now|\d+ (s|min) ago)  ", line) for line in lines), text
    wide = COLOUR.sub("", on_terminal("--store", path, "log", "support/alice", COLUMNS="120"))
    assert re.search(r"\d\dZ \(.+\)  [0-9a-f]{12}  +messages, odd$", wide, re.MULTILINE)
    assert "…" not in wide


def test_a_problem_is_never_shortened(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE heads SET head = x'00'")
        base.commit()
    text = on_terminal("--store", path, "verify", code=1, COLUMNS="40")
    (problem,) = [each.problem for each in Store(path).verify()]
    assert problem
    assert problem in text


def test_python_runs_it_by_the_names_of_package_and_command(path: str) -> None:
    asked = ["--store", path, "ls", "--json"]
    ran = [
        subprocess.run([sys.executable, "-m", name, *asked], capture_output=True, check=True)
        for name in ("perdure", "perdure.cli")
    ]
    assert ran[0].stdout == ran[1].stdout
    assert json.loads(ran[0].stdout)["states"]


def test_a_person_is_asked_before_a_state_is_deleted(path: str) -> None:
    asked = on_terminal("--store", path, "rm", "support/alice", typed="n\n")
    assert "this brings it back: perdure undelete support/alice" in asked
    assert asked.endswith("nothing was changed\n")
    with Store(path) as store:
        assert [info.key for info in store.states()] == ["support/alice"]
        assert on_terminal("--store", path, "rm", "support/alice", typed="y\n")
        assert store.states() == []


def test_a_bar_is_drawn_on_a_terminal_only(path: str) -> None:
    assert "verifying" in on_terminal("--store", path, "verify")
    run = subprocess.run([*PERDURE, "--store", path, "verify"], capture_output=True, check=True)
    assert run.stderr == b""


def test_colour_is_for_terminals_that_want_it(path: str) -> None:
    colour = re.compile(r"\x1b\[3\d")
    assert colour.search(on_terminal("--store", path, "doctor"))
    assert not colour.search(on_terminal("--store", path, "doctor", NO_COLOR="1"))
    assert not colour.search(on_terminal("--store", path, "ls", NO_COLOR="1"))


def test_an_interrupted_session_is_told(path: str) -> None:
    agent = (
        "import os, sys, perdure\n"
        "session = perdure.Store(sys.argv[1]).open('cut')\n"
        "session.state['n'] = 1\n"
        "session.save()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", agent, path], check=False)
    assert killed.returncode == -9
    run = subprocess.run(
        [*PERDURE, "doctor", "--store", path, "--json"], capture_output=True, check=True
    )
    (told,) = [
        each
        for each in json.loads(run.stdout)["findings"]
        if each["check"] == "last session interrupted"
    ]
    assert (told["status"], told["found"]) == ("warn", "1 state: cut")
    assert "resumes" in told["way_out"]


def test_help_loads_nothing_slow() -> None:
    probe = (
        "import sys\n"
        "sys.argv = ['perdure', '--help']\n"
        "from perdure.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    slow = {'rich', 'apsw', 'msgspec', 'asyncio', 'perdure.store', 'perdure.demo'}\n"
        "    print(sorted(slow & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("Usage: perdure ")
    assert run.stdout.endswith("[]\n")


def test_a_graph_dims_what_was_left_and_marks_branches(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        with store.open("a") as session:
            for number in range(3):
                session.state["n"] = number
                session.save()
        store.fork("a", "what-if", at=1)
        store.rollback("a", 2)
    call = ["--store", path, "log", "a", "--graph", "--all"]
    left, main, forked = on_terminal(*call).splitlines()[1:]
    assert left.startswith("\x1b[2m*")
    assert "(left by main)" in left
    assert "\x1b[32m\x1b[1m(main)\x1b[0m" in main
    assert "\x1b[36m\x1b[1m(what-if)\x1b[0m" in forked
    assert all("\x1b" not in row for row in on_terminal(*call, NO_COLOR="1").splitlines())
