"""Secrets in threads that move in: such a thread is refused whole, before any of it is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_moving import Plan, fill
from tests.adapters.langgraph.test_two_workers import put

from perdure import Store
from perdure.adapters.langgraph.moving import move_threads
from perdure.cli.app import app


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "their threads.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        fill(saver)
    return file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "agents.db") as store:
        yield store


PLACES = {
    "values": "messages/0/content of checkpoint {id}",
    "writes": "messages/0 of the writes of checkpoint {id}",
    "metadata": "metadata/by of checkpoint {id}",
}


PARTS = ("task", "path", "channel", "value")


@pytest.mark.parametrize("place", PLACES)
def test_a_thread_with_a_secret_is_refused_whole_and_others_go_on(
    place: str, tmp_path: Path
) -> None:
    ids = {}
    token, file, path = f"AKIA{'Q7' * 8}", tmp_path / "theirs.sqlite", tmp_path / "agents.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for name, text in (("bob", token), ("carol", "hello")):
            given = {each: text if each == place else "hello" for each in PLACES}
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": [HumanMessage(given["values"])]}
            checkpoint["channel_versions"] = {"messages": 1}
            config = put(saver, thread(name), 1)  # type: ignore[arg-type]  # it has the same methods
            metadata = {"source": "input", "step": 1, "by": given["metadata"]}
            at = saver.put(config, checkpoint, metadata, {"messages": 1})  # type: ignore[arg-type]
            saver.put_writes(at, [("messages", [given["writes"]])], "task")
            ids[name] = at["configurable"]["checkpoint_id"]
    with Store(path, secrets="refuse") as store:
        moved = {each.name: each.problem for each in move_threads(file, store).units}
        assert moved["carol"] is None
        said = f"{PLACES[place]} holds what looks like a secret: AWS Access Key. Nothing of it"
        assert said.format(id=ids["bob"]) in str(moved["bob"])
        assert "perdure.Secrets(allow=…)" in str(moved["bob"]) and token not in str(moved["bob"])
        assert [each.key for each in store.states()] == ["threads/carol"]
    with Store(tmp_path / "masked.db", secrets="mask") as store:
        assert [each.name for each in move_threads(file, store).units if each.problem] == ["bob"]
        assert [each.key for each in store.states()] == ["threads/carol"]
    call = ("import", "langgraph", str(file), "--store", str(path), "--refuse-secrets")
    for more in ((), ("--dry-run",), ("--dry-run", "--store", str(tmp_path / "none.db"))):
        told = CliRunner().invoke(app, (*call, *more))
        assert told.exit_code == 1
        (line,) = [each for each in told.stdout.splitlines() if "looks like a secret" in each]
        assert line.startswith("bob") and "without --refuse-secrets" in line
        assert "Secrets(" not in told.output and token not in told.output
    with Store(path) as store:
        assert move_threads(file, store).ok
        assert store.scan(history=True) != []
    with Store(path, secrets="refuse") as store:
        assert move_threads(file, store).ok, "there is nothing to write of what is there already"


def test_a_secret_in_a_subgraph_keeps_all_of_its_thread_away(source: Path, store: Store) -> None:
    token = f"AKIA{'Q7' * 8}"
    with SqliteSaver.from_conn_string(str(source)) as saver:
        inner = next(
            each for each in saver.list(None) if each.config["configurable"]["checkpoint_ns"]
        )
        saver.put_writes(inner.config, [("messages", [token])], "task")
    name = inner.config["configurable"]["thread_id"]
    with Store(store.url, secrets="refuse") as guarded:
        moved = move_threads(source, guarded)
        refused = {each.name for each in moved.units if each.problem is not None}
        assert refused == {each.name for each in moved.units if each.name.split()[0] == name}
        assert len(refused) > 1 and len(moved.units) > len(refused)
        assert not [each for each in guarded.states() if each.key.startswith(f"threads/{name}")]


def test_a_secret_holds_up_no_other_thread_and_another_failure_all_of_them(
    tmp_path: Path,
) -> None:
    file = tmp_path / "theirs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for name, value in (("a", 1), ("b", f"AKIA{'Q7' * 8}"), ("c", Plan(steps=["x"]))):
            put(saver, thread(name), value)  # type: ignore[arg-type]  # it has the same methods
    with Store(tmp_path / "agents.db", secrets="refuse") as store:
        assert move_threads(file, store).is_refused and store.states() == []
        move_threads(file, store, skip_failures=True)
        assert [each.key for each in store.states()] == ["threads/a"]
    with Store(tmp_path / "more.db", secrets="refuse") as store:
        moved = move_threads(file, store, allow=[Plan])
        assert [each.name for each in moved.units if each.problem] == ["b"]
        assert [each.key for each in store.states()] == ["threads/a", "threads/c"]


@pytest.mark.parametrize("place", ["task", "path", "channel", "channel and value"])
def test_a_secret_in_what_names_a_write_is_found_before_anything_is_written(
    place: str, tmp_path: Path
) -> None:
    token, file = f"AKIA{'Q7' * 8}", tmp_path / "theirs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for name in ("bob", "carol"):
            given = {each: token if each in place and name == "bob" else each for each in PARTS}
            at = put(saver, thread(name), 1)  # type: ignore[arg-type]  # it has the same methods
            write = [(given["channel"], given["value"])]
            saver.put_writes(at, write, given["task"], given["path"])
    for policy in ("refuse", "mask"):
        with Store(tmp_path / f"{policy}.db", secrets=policy) as store:
            moved = {each.name: str(each.problem) for each in move_threads(file, store).units}
            assert "looks like a secret" in moved["bob"] and moved["carol"] == "None"
            assert token not in moved["bob"]
            assert [each.key for each in store.states()] == ["threads/carol"]


def test_a_namespace_that_cannot_be_read_does_not_hide_the_secret_of_its_thread(
    tmp_path: Path,
) -> None:
    file = tmp_path / "theirs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        config = put(saver, thread("a"), f"AKIA{'Q7' * 8}")  # type: ignore[arg-type]
        put(saver, config, Plan(steps=["x"]))  # type: ignore[arg-type]
        inner = {"configurable": {"thread_id": "a", "checkpoint_ns": "inner"}}
        put(saver, inner, 1)  # type: ignore[arg-type]
        put(saver, thread("b"), 1)  # type: ignore[arg-type]
    with Store(tmp_path / "agents.db", secrets="refuse") as store:
        assert move_threads(file, store).is_refused and store.states() == []
        move_threads(file, store, skip_failures=True)
        assert [each.key for each in store.states()] == ["threads/b"]
