"""Conversations move in from the SDK's own sessions, whole and compared; the source stays."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agents.extensions.memory import AdvancedSQLiteSession, EncryptedSession
from agents.memory import SQLiteSession
from click.testing import CliRunner, Result

from perdure import Store, errors
from perdure.adapters.openai_agents import PerdureSession
from perdure.adapters.openai_agents.from_sqlite import SqliteItems
from perdure.adapters.openai_agents.moving import BATCH, ConversationMover, move_conversations
from perdure.cli.app import app

SECRET = "a-long-secret-of-the-session"
MANY = 2 * BATCH + 7


def items(count: int, name: str) -> list[Any]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": f"{name} {number} \ud83d"}
        for number in range(count)
    ]


async def fill(file: Path) -> None:
    for name, count in (("alice", MANY), ("bob/7", 3)):
        session = SQLiteSession(name, file)
        await session.add_items(items(count, name))
        session.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "their conversations.db"
    asyncio.run(fill(file))
    return file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "agents.db") as store:
        yield store


def kept(store: Store, name: str, branch: str = "main") -> Any:
    return store.at(f"sessions/{name}", branch).plain()["messages"]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_all_of_it_is_there_compared_and_the_source_is_untouched(
    source: Path, store: Store
) -> None:
    before, beside = digest(source), sorted(source.parent.iterdir())
    looked = move_conversations(source, store, dry_run=True)
    assert looked.ok and store.states() == []
    assert [each.stored for each in looked.units] == [None, None]
    moved = move_conversations(source, store)
    assert moved.ok and [each.copied for each in moved.units] == [MANY, 3]
    assert all(each.source == each.stored and each.source for each in moved.units)
    assert kept(store, "alice") == items(MANY, "alice")
    assert kept(store, "bob/7") == items(3, "bob/7")
    assert digest(source) == before
    assert [each for each in beside if not each.exists()] == []
    again = move_conversations(source, store)
    assert again.ok and [each.copied for each in again.units] == [0, 0]
    assert all(each.ok for each in store.verify())


def test_the_conversation_goes_on_here(source: Path, store: Store, tmp_path: Path) -> None:
    move_conversations(source, store)

    async def on() -> Any:
        async with PerdureSession("bob/7", tmp_path / "agents.db") as session:
            await session.add_items([{"role": "user", "content": "on"}])
            return [each.number for each in await session.turns()]

    assert asyncio.run(on()) == [1, 2, 3]
    again = move_conversations(source, store)
    assert again.ok, "what was added here is no part of the comparison"


def test_a_run_that_was_interrupted_goes_on(source: Path, store: Store) -> None:
    rows = SqliteItems(source, "agent_messages", None)
    mover = ConversationMover(rows, store)
    unit = mover.units()[0]
    ids = [each.id for each in mover.contents(unit)]
    copying: Any = mover.copy(unit, ids)
    assert [next(copying) for _ in range(BATCH)] == ids[:BATCH]
    copying.close()
    rows.close()
    assert len(kept(store, "alice")) == BATCH
    moved = move_conversations(source, store)
    assert moved.ok
    assert (moved.units[0].already, moved.units[0].copied) == (BATCH, MANY - BATCH)
    assert kept(store, "alice") == items(MANY, "alice")


def test_another_conversation_under_the_key_is_left_alone(source: Path, store: Store) -> None:
    with store.open("sessions/alice") as session:
        session.state["messages"] = [{"role": "user", "content": "mine"}]
    moved = move_conversations(source, store)
    assert moved.is_refused and "item 0 is another one" in str(moved.units[0].problem)
    assert moved.units[1].problem is None
    assert move_conversations(source, store, skip_failures=True).units[1].copied == 3
    assert kept(store, "alice") == [{"role": "user", "content": "mine"}]


def test_what_the_sdk_would_pass_over_in_silence_is_told(source: Path, store: Store) -> None:
    with sqlite3.connect(source) as base:
        base.execute("UPDATE agent_messages SET message_data = '{' WHERE session_id = 'bob/7'")
    base.close()
    moved = move_conversations(source, store)
    assert moved.is_refused and "no JSON" in str(moved.units[1].problem)


async def branched(file: Path, branch: str, name: str = "alice") -> tuple[Any, Any]:
    """A conversation and a branch of it; their items."""
    session = AdvancedSQLiteSession(session_id=name, db_path=file, create_tables=True)
    await session.add_items(items(6, name))
    await session.create_branch_from_turn(2, branch)
    await session.add_items([{"role": "user", "content": "elsewhere"}])
    found = await session.get_items(branch_id="main"), await session.get_items()
    session.close()
    return found


def test_branches_become_branches(tmp_path: Path, store: Store) -> None:
    main, other = asyncio.run(branched(tmp_path / "advanced.db", "other"))
    assert main != other and len(other) > 1
    moved = move_conversations(tmp_path / "advanced.db", store)
    assert moved.ok and [each.name for each in moved.units] == ["alice", "alice (other)"]
    assert (kept(store, "alice"), kept(store, "alice", "other")) == (main, other)


def test_a_run_that_was_interrupted_when_it_had_made_a_branch_goes_on(
    tmp_path: Path, store: Store
) -> None:
    main, other = asyncio.run(branched(tmp_path / "advanced.db", "other"))
    rows = SqliteItems(tmp_path / "advanced.db", "agent_messages", None)
    mover = ConversationMover(rows, store)
    unit = mover.units()[0]
    list(mover.copy(unit, [each.id for each in mover.contents(unit)]))
    store.fork(unit.key, "other")
    rows.close()
    moved = move_conversations(tmp_path / "advanced.db", store)
    assert moved.ok and [each.copied for each in moved.units] == [0, len(other)]
    assert (kept(store, "alice"), kept(store, "alice", "other")) == (main, other)
    again = move_conversations(tmp_path / "advanced.db", store)
    assert again.ok and [each.copied for each in again.units] == [0, 0]


def test_a_conversation_that_is_called_as_a_branch_of_another_is_not_mixed_with_it(
    tmp_path: Path, store: Store
) -> None:
    file = tmp_path / "advanced.db"
    main, other = asyncio.run(branched(file, "b"))
    named_alike, _ = asyncio.run(branched(file, "c", "alice (b)"))
    assert move_conversations(file, store).ok
    assert (kept(store, "alice"), kept(store, "alice", "b")) == (main, other)
    assert store.at(key("alice (b)"), "main").plain()["messages"] == named_alike


def key(session_id: str) -> str:
    return PerdureSession(session_id, "memory:").key


@pytest.mark.parametrize("branch", ["17", "my branch", "b" * 300])
def test_a_branch_whose_name_none_can_have_is_told_before_anything_is_written(
    branch: str, tmp_path: Path, store: Store
) -> None:
    asyncio.run(branched(tmp_path / "advanced.db", branch))
    looked = move_conversations(tmp_path / "advanced.db", store, dry_run=True)
    moved = move_conversations(tmp_path / "advanced.db", store)
    assert looked.units == moved.units and moved.is_refused and store.states() == []
    assert moved.units[0].problem is None and "branch" in str(moved.units[1].problem)


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("", "hi", "a part of it is empty"),
        ("x" * 2000, "hi", "at most 1024 bytes"),
        ("deep", nested(200), "nested over 128 deep"),
    ],
)
def test_what_cannot_be_kept_is_told_before_anything_is_written(
    name: str, content: Any, problem: str, source: Path, store: Store
) -> None:
    async def add() -> None:
        session = SQLiteSession(name, source)
        await session.add_items([{"role": "user", "content": content}])
        session.close()

    asyncio.run(add())
    looked = move_conversations(source, store, dry_run=True)
    moved = move_conversations(source, store)
    assert looked.units == moved.units and moved.is_refused and store.states() == []
    assert [problem in str(each.problem) for each in moved.units].count(True) == 1
    others = move_conversations(source, store, skip_failures=True)
    assert sum(each.copied for each in others.units) == MANY + 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("'" + "[" * 100_000 + "'", "no JSON"),
        ("CAST(x'ff00fe' AS TEXT)", "cannot be read"),
    ],
)
def test_an_item_that_cannot_be_read_is_told_and_others_are_moved(
    data: str, problem: str, source: Path, store: Store
) -> None:
    with sqlite3.connect(source) as base:
        base.execute(f"UPDATE agent_messages SET message_data = {data} WHERE session_id = 'bob/7'")
    base.close()
    moved = move_conversations(source, store, skip_failures=True)
    assert [each.copied for each in moved.units] == [MANY, 0]
    assert problem in str(moved.units[1].problem)


def test_encrypted_items_are_moved_with_their_key_alone(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "encrypted.db"
    plain: Any = [{"role": "user", "content": "swordfish"}]  # its lone surrogates it cannot encrypt

    async def keeping() -> None:
        under = SQLiteSession("alice", file)
        await EncryptedSession("alice", under, SECRET, ttl=1).add_items(plain)
        under.close()

    asyncio.run(keeping())
    without = move_conversations(file, store)
    assert not without.ok and "encrypted" in str(without.units[0].problem)
    wrong = move_conversations(file, store, encryption_key="another")
    assert not wrong.ok and "decrypted" in str(wrong.units[0].problem)
    assert move_conversations(file, store, encryption_key=SECRET).ok
    assert kept(store, "alice") == plain


def test_other_files_are_refused(tmp_path: Path, store: Store, source: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="there is no file"):
        move_conversations(tmp_path / "missing.db", store)
    (tmp_path / "text.db").write_text("a text that is no database " * 100)
    with pytest.raises(errors.StoreUnavailable, match="cannot be read"):
        move_conversations(tmp_path / "text.db", store)
    with pytest.raises(errors.UsageError, match="no table 'mine'"):
        move_conversations(source, store, table="mine")


def perdure(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(app, arguments)


def test_on_the_command_line(source: Path, tmp_path: Path) -> None:
    call = ("import", "openai-agents", str(source), "--store", str(tmp_path / "agents.db"))
    looked = perdure(*call, "--dry-run")
    assert looked.exit_code == 0 and "2 of 2 conversations can be imported" in looked.stdout
    assert not (tmp_path / "agents.db").exists()
    moved = perdure(*call)
    assert moved.exit_code == 0 and "2 of 2 conversations are as in the source" in moved.stdout
    with closing(sqlite3.connect(source)) as base, base:
        base.execute("DELETE FROM agent_messages WHERE session_id != 'alice'")
        base.execute("DELETE FROM agent_sessions WHERE session_id != 'alice'")
    assert "1 of 1 conversation is as in the source" in perdure(*call).stdout
    told = json.loads(perdure(*call, "--json").stdout)
    assert told["ok"] and told["moved"]["units"][0]["source"]["items"] == MANY
    refused = perdure(*call, "--encryption-key", "env:NOTHING_IS_HERE")
    assert refused.exit_code == 2 and "env:NOTHING_IS_HERE" in refused.stderr
    assert perdure(*call, "--encryption-key", "env:K", K=SECRET).exit_code == 0


def test_a_conversation_with_a_secret_is_refused_whole_and_others_go_on(
    source: Path, tmp_path: Path
) -> None:
    token = f"AKIA{'Q7' * 8}"
    more: Any = [*items(BATCH, "bob/7"), {"role": "user", "content": token}]
    asyncio.run(SQLiteSession("bob/7", source).add_items(more))
    at = f"messages/{BATCH + 3}/content"
    path = tmp_path / "agents.db"
    told = perdure("import", "openai-agents", str(source), "--store", str(path), "--refuse-secrets")
    assert told.exit_code == 1
    (line,) = [each for each in told.stdout.splitlines() if "looks like a secret" in each]
    assert f"{at} holds what looks like a secret: AWS Access Key. Nothing of it was w" in line
    assert "without --refuse-secrets" in line and "Secrets(" not in told.output
    assert "1 of 2 conversations is as in the source" in told.stdout
    assert token not in told.output
    with Store(path, secrets="refuse") as store:
        assert [each.key for each in store.states()] == ["sessions/alice"]
        assert store.scan(history=True) == []
        moved = {each.name: each.problem for each in move_conversations(source, store).units}
        assert moved["alice"] is None and "looks like a secret" in str(moved["bob/7"])
    with Store(path, secrets="mask") as store:
        moved = {each.name: each.problem for each in move_conversations(source, store).units}
        assert moved["alice"] is None and f"{at} holds" in str(moved["bob/7"])
        assert [each.key for each in store.states()] == ["sessions/alice"]


def test_a_secret_in_a_branch_keeps_all_of_its_conversation_away(tmp_path: Path) -> None:
    file = tmp_path / "advanced.db"
    asyncio.run(branched(file, "other"))
    with sqlite3.connect(file) as base:
        base.execute(
            "UPDATE agent_messages SET message_data = replace(message_data, 'elsewhere', ?)",
            (f"AKIA{'Q7' * 8}",),
        )
    base.close()
    with Store(tmp_path / "agents.db", secrets="refuse") as store:
        main, other = move_conversations(file, store, skip_failures=True).units
        assert "alice (other) has a secret" in str(main.problem) and "holds" in str(other.problem)
        assert store.states() == []
