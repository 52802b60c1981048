"""A state with a branch, and the command line on it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from perdure import Store
from perdure.cli.app import app
from perdure.testing.clock import Clock


def branched(directory: Path) -> str:
    """Checkpoints 1 to 5 on main, a minute apart; what-if left it at 3 and has two of its own."""
    name, clock = str(directory / "agents.db"), Clock()
    with Store(name, clock=clock) as store:
        with store.open("a") as session:
            session.state["plan"] = {"goal": "refund"}
            for number in range(1, 6):
                session.state["n"] = number
                session.save(label=f"step {number}")
                clock.advance(60)
        store.fork("a", "what-if", at=3)
        with store.open("a", branch="what-if") as session:
            session.state["plan"]["goal"] = "replace"
            session.save(label="tried")
            session.state["sent"] = True
    return name


def run(path: str, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def found(path: str, *args: str) -> Any:
    return json.loads(run(path, *args, "--json").stdout)


def tips(path: str) -> dict[str, int]:
    return {
        each["name"]: each["tip"]["number"] for each in found(path, "branches", "a")["branches"]
    }


def value(path: str, *args: str) -> Any:
    return found(path, "show", "a", *args)["value"]
