"""`docs/cli.md` is what the commands say and do."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from agents.memory import SQLiteSession
from click.testing import CliRunner
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from perdure import Store
from perdure.cli.app import EXIT_CODES, app
from perdure.cli.reference import DOCUMENTS, RESULTS, document, every_command
from perdure.engine.claims import claim_for
from perdure.errors import Waiting

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS = (
    *(
        "demo",
        "ls",
        "show",
        "log",
        "diff",
        "blame",
        "brief",
        "effects",
        "effects list",
        "effects settle",
        "waiting",
        "answer",
        "tasks",
        "sessions",
        "branches",
        "fork",
        "rollback",
        "promote",
        "merge",
    ),
    *("branch", "branch rename", "branch delete", "undo", "redo", "movements", "watch"),
    *("export", "import", "import langgraph", "import openai-agents", "backup", "copy"),
    *("rm", "undelete", "verify", "stats", "recover", "scan", "maintain"),
    *("migrate", "upgrade"),
    *("keys", "keys new", "keys init", "keys list", "keys rotate", "keys rewrap"),
    *("schema", "schema versions", "schema infer", "schema compare", "schema draft"),
    *("prune", "erase", "sweep", "redact", "doctor"),
)
RUNNING = [name for name in COMMANDS if name not in ("branch", "schema", "effects", "keys")]
"""Those that do something; `branch`, `effects`, `keys` and `schema` only hold others."""

CALLS = {
    "ls": ["ls"],
    "show": ["show", "a"],
    "log": ["log", "a"],
    "diff": ["diff", "a", "1"],
    "blame": ["blame", "a", "n"],
    "brief": ["brief", "a"],
    "waiting": ["waiting"],
    "answer": ["answer", "a", "q", "true"],
    "effects list": ["effects", "list", "a"],
    "effects settle": ["effects", "settle", "a", "e", "--not-done"],
    "tasks": ["tasks", "a"],
    "sessions": ["sessions", "a"],
    "watch": ["watch", "a", "--since", "start", "--timeout", "0"],
    "branches": ["branches", "a"],
    "fork": ["fork", "a", "b"],
    "rollback": ["rollback", "a", "1"],
    "promote": ["promote", "a", "b"],
    "merge": ["merge", "a", "b"],
    "branch rename": ["branch", "rename", "a", "b", "c"],
    "branch delete": ["branch", "delete", "a", "c"],
    "undo": ["undo", "a"],
    "redo": ["redo", "a"],
    "movements": ["movements", "a"],
    "export": ["export", "a", "a.perdure"],
    "import": ["import", "a.perdure", "again"],
    "import langgraph": ["import", "langgraph", "threads.sqlite"],
    "import openai-agents": ["import", "openai-agents", "conversations.sqlite"],
    "backup": ["backup", "backup.db"],
    "copy": ["copy", "a", "b"],
    "rm": ["rm", "b", "--yes"],
    "undelete": ["undelete", "b"],
    "verify": ["verify"],
    "stats": ["stats"],
    "recover": ["recover", "agents.db", "new.db"],
    "scan": ["scan", "a"],
    "maintain": ["maintain"],
    "migrate": ["migrate", "tests.evolution:Newest", "a*", "--dry-run"],
    "upgrade": ["upgrade"],
    "schema versions": ["schema", "versions"],
    "schema infer": ["schema", "infer"],
    "schema compare": ["schema", "compare", "tests.evolution:Inner", "tests.evolution:Newest"],
    "schema draft": ["schema", "draft", "tests.evolution:Inner", "tests.evolution:Newest"],
    "prune": ["prune", "a", "--keep-last", "1", "--yes"],
    "erase": ["erase", "b", "--yes"],
    "sweep": ["sweep"],
    "redact": ["redact", "a", "n", "--yes"],
    "doctor": ["doctor"],
    "keys new": ["keys", "new", "a.key"],
    "keys init": ["keys", "init", "--key", "file:a.key"],
    "keys list": ["keys", "list", "--key", "file:a.key"],
    "keys rotate": ["keys", "rotate", "file:a.key", "--key", "file:a.key"],
    "keys rewrap": ["keys", "rewrap", "--key", "file:a.key"],
}


def test_the_page_is_the_generated_text() -> None:
    # To renew it: python -m perdure.cli.reference > docs/cli.md
    assert PAGE.read_text(encoding="utf-8") == document()


def test_every_command_is_there() -> None:
    assert tuple(every_command(app.commands)) == COMMANDS
    page = PAGE.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## `perdure ([a-z -]+)`$", page, re.MULTILINE)) == COMMANDS
    assert sorted(DOCUMENTS) == sorted(RUNNING)
    for code in EXIT_CODES:
        assert f"\n| {code} | " in page


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command, _ = every_command(app.commands)[name]
    text = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
    assert re.search(rf"Example:\n.*  perdure [^\n]*\b{name}\b", text, re.DOTALL)
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert all(option.help for option in options)
    assert any("--json" in option.opts for option in options) or name not in RUNNING


def documented(name: str) -> dict[str, set[str] | None]:
    """The keys that the page promises, and of each the fields of what it holds."""
    results = {result.__name__: set(result.__struct_fields__) for result in RESULTS}
    shape = DOCUMENTS[name]
    if "fields of Exported" in shape:
        return {"file": None, **dict.fromkeys(results["Exported"])}
    if name == "diff":
        (inner,) = re.findall(r"\[\{(.*)\}\]", shape)
        return {"differences": set(re.findall(r'"(\w+)"', inner))}
    return {key: results.get(kind) for key, kind in re.findall(r'"(\w+)": \[?(\w+)', shape)}


def test_json_has_the_documented_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("agents.db") as store, store.open("a") as session:
        session.state["n"] = 1
        session.save()
        session.state["n"] = 2
        session._driver.run(claim_for(session._core, "e", "task/step"))
        with suppress(Waiting):
            session.ask("q", "really?")
    with SqliteSaver.from_conn_string("threads.sqlite") as saver:
        saver.put(
            {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}},
            empty_checkpoint(),
            {"step": 1},
            {},
        )
    conversation = SQLiteSession("alice", "conversations.sqlite")
    asyncio.run(conversation.add_items([{"role": "user", "content": "Hi"}]))
    conversation.close()
    assert CALLS.keys() | {"demo"} == DOCUMENTS.keys()
    for name, call in CALLS.items():
        result = CliRunner().invoke(app, ["--store", "agents.db", *call, "--json"])
        assert result.exit_code == 0, (name, result.stderr)
        said = result.stdout.splitlines()[0] if name == "watch" else result.stdout
        found: dict[str, Any] = json.loads(said)
        promised = documented(name)
        assert promised.keys() == found.keys(), name
        for key, names in promised.items():
            if names is not None and found[key] != []:
                value = found[key][0] if isinstance(found[key], list) else found[key]
                assert value.keys() == names - {"changes", "differences"}, (name, key)


def test_a_demo_with_nothing_to_audit_is_a_wrong_call(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--path", str(tmp_path)])
    assert result.exit_code == 2
    assert "Error: " in result.stderr
