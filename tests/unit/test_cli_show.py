"""`perdure show`: never a wall of text, and everything when it is asked for."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from perdure import Store, limits
from perdure.backends.sqlite import SqliteBackend
from perdure.cli.app import app
from perdure.cli.showing import SCREEN_LINES
from perdure.engine.requests import ReadPages

MESSAGES = 100_000
EXISTS = "The state 'support/alice' exists: put a space before the section:"
LONG = "one line\n" * 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    name = str(tmp_path_factory.mktemp("show") / "agents.db")
    with Store(name) as store, store.open("support/alice") as session:
        session.state["messages"] = [
            {"role": "user", "content": f"\x1b[31mmessage {number}"} for number in range(MESSAGES)
        ]
        session.save(label="many\x1b[2J")
        session.state["plan"] = {"a/b": 1, "cost": Decimal("1.50"), "raw": b"\x00\xff"}
        session.state["notes"] = LONG
        session.state["tags"] = {"x", "y"}
    return name


@pytest.fixture(scope="module")
def maintained(path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same with a snapshot."""
    name = str(tmp_path_factory.mktemp("show") / "maintained.db")
    with Store(path) as store:
        store.backup(name)
    with Store(name, maintenance="off") as store:
        with store.open("support/alice") as session:
            for n in range(limits.tail_records_max + 1):
                session.state["step"] = n
                session.save()
        store.maintain("support/alice")
    return name


def show(path: str, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", path, "show", "support/alice", *args])


def output(path: str, *args: str) -> list[str]:
    result = show(path, *args)
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    return result.stdout.splitlines()


def test_a_large_state_is_a_line_a_section(path: str) -> None:
    title, empty, head, *rows = output(path)
    assert title.startswith("support/alice at checkpoint 2 (")
    assert empty == ""
    assert head.split() == ["section", "type", "size", "value"]
    assert [row.split()[:2] for row in rows] == [
        ["messages", "list"], ["plan", "dict"], ["notes", "str"], ["tags", "set"],
    ]  # fmt: skip
    assert "100,000 items" in rows[0]
    assert max(map(len, rows)) < 120


def test_a_long_list_is_its_first_and_last_items(path: str) -> None:
    head, *rows = output(path, "messages")
    assert head == "messages: list, 100,000 items"
    assert [row.split(":")[0].strip() for row in rows] == [
        "0", "1", "2", "3", "4", "… 99,990 more", "99995", "99996", "99997", "99998", "99999",
    ]  # fmt: skip
    assert "--last N" in show(path, "messages").stderr


def test_last_keeps_true_positions(path: str) -> None:
    rows = output(path, "messages", "--last", "3")[1:]
    assert [row.split(":")[0].strip() for row in rows] == ["99997", "99998", "99999"]
    found = json.loads(show(path, "messages", "--last", "2", "--json").stdout)
    assert [item["content"] for item in found["value"]] == [
        "\x1b[31mmessage 99998",
        "\x1b[31mmessage 99999",
    ]


def test_last_of_a_mapping_is_its_newest_keys(path: str) -> None:
    found = json.loads(show(path, "plan", "--last", "2", "--json").stdout)
    assert list(found["value"]) == ["cost", "raw"]
    assert show(path, "notes", "--last", "2").exit_code == 2


def test_a_path_leads_to_a_value(path: str) -> None:
    assert output(path, "plan/a~1b") == ["plan/a~1b: int", "1"]
    assert output(path, "messages/-1") == [
        "messages/99999: dict, 2 keys",
        "  'role': 'user'",
        "  'content': '\\x1b[31mmessage 99999'",
    ]
    missing = show(path, "plan/none")
    assert missing.exit_code == 3
    assert "'cost'" in missing.stderr


def test_a_section_that_is_not_there(path: str) -> None:
    missing = show(path, "plans")
    assert missing.exit_code == 3
    assert missing.stderr == (
        "Error: no section 'plans' in 'support/alice', which has 'plan', 'messages', 'notes', "
        "'tags'\n"
    )
    assert "(state)" not in show(path, "--full").stdout
    assert "(state)" not in show(path, "--raw").stderr


def test_the_last_items_are_of_one_section(path: str) -> None:
    result = show(path, "--last", "2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "perdure show support/alice SECTION --last 2" in result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["show", "support/alice/messages/-1"], f"{EXISTS} perdure show support/alice messages/-1"),
        (["show", "support/alic"], "Did you mean 'support/alice'?"),
        (["stats", "Support/alice"], "Did you mean 'support/alice'?"),
        (["export", "zzz", "zzz.perdure"], "agents.db"),
    ],
)
def test_a_key_that_no_state_has_is_told_with_what_is_near(
    path: str, args: list[str], told: str
) -> None:
    result = CliRunner().invoke(app, ["--store", path, *args])
    assert result.exit_code == 3
    assert result.stderr.startswith(
        f"Error: there is no state '{args[1]}' in this store; the store is "
    )
    assert result.stderr.rstrip().endswith(told)


def test_a_text_is_shown_to_the_end_of_the_screen(path: str) -> None:
    rows = output(path, "notes")
    assert rows == ["notes: str, 9,000 characters", *["one line"] * SCREEN_LINES]
    assert "more characters; --full" in show(path, "notes").stderr
    assert output(path, "notes", "--full")[1:1001] == ["one line"] * 1000


def test_full_leaves_nothing_out(path: str) -> None:
    rows = output(path, "messages", "--full")
    assert len(rows) == MESSAGES + 1
    assert rows[-1] == "  99999: {'role': 'user', 'content': '\\x1b[31mmessage 99999'}"


def test_raw_is_the_value_as_it_is(path: str) -> None:
    assert show(path, "notes", "--raw").stdout == LONG
    assert show(path, "plan/raw", "--raw").stdout_bytes == b"\x00\xff"
    assert show(path, "messages/0/content", "--raw").stdout == "\x1b[31mmessage 0"
    assert show(path, "plan", "--raw").exit_code == 2
    assert show(path, "notes", "--raw", "--full").exit_code == 2


def test_an_earlier_checkpoint_by_number_and_by_id(path: str) -> None:
    assert [row.split()[0] for row in output(path, "--at", "1")[3:]] == ["messages"]
    assert "'many\\x1b[2J'" in output(path, "--at", "1")[0]
    newest = json.loads(show(path, "plan/a~1b", "--json").stdout)["checkpoint"]
    by_id = json.loads(show(path, "plan/a~1b", "--json", "--at", newest["id"][:12]).stdout)
    assert by_id["checkpoint"] == newest
    assert by_id["value"] == 1


READS = {
    ("messages", "--last", "20"): 8,
    ("messages", "--last", "20", "--at", "66"): 8,
    ("messages", "--last", "20", "--json"): 8,
    ("messages/-1/content",): 8,
    ("plan",): 2,
    ("notes",): 2,
}
"""Commands, and how many pages they may read; the list has over a hundred."""


@pytest.fixture
def pages_read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pages that are read from now on."""
    read: list[bytes] = []
    perform = SqliteBackend.perform

    def counted(backend: SqliteBackend, request: Any) -> Any:
        read.extend(request.ids if isinstance(request, ReadPages) else ())
        return perform(backend, request)

    monkeypatch.setattr(SqliteBackend, "perform", counted)
    return read


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_what_is_not_shown_is_not_read(
    maintained: str, args: tuple[str, ...], pages_read: list[bytes]
) -> None:
    assert show(maintained, *args).exit_code == 0
    assert len(pages_read) <= READS[args]


def test_what_is_shown_is_read(maintained: str, pages_read: list[bytes]) -> None:
    assert show(maintained, "messages", "--json").exit_code == 0
    assert len(pages_read) > 50


def test_an_error_names_true_positions(path: str) -> None:
    missing = show(path, "messages/-2/none")
    assert "no 'none' in messages/99998, which has 'role', 'content'" in missing.stderr
    assert "a list of 100000 (0 to 99999)" in show(path, "messages/-100001").stderr
    assert output(path, "messages/-0")[0] == "messages/0: dict, 2 keys"


def test_json_gives_all_of_the_value(path: str) -> None:
    found = json.loads(show(path, "plan", "--json").stdout)
    assert found["path"] == "plan"
    assert found["value"] == {
        "a/b": 1,
        "cost": {"$decimal": "1.50"},
        "raw": {"$bytes": "AP8="},
    }


def test_a_state_without_sections(tmp_path: Path) -> None:
    name = str(tmp_path / "agents.db")
    with Store(name) as store, store.open("support/alice") as session:
        session.save()
    assert output(name)[1:] == ["no sections"]
