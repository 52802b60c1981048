"""Secrets that are stored are found: on every branch, in all of history; `perdure scan`."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import perdure
from perdure import FoundSecret, Retention, Secrets, Store
from perdure.cli.app import FOUND, NOT_FOUND, USAGE, app
from perdure.errors import NotAllowed, StateNotFound, UsageError

KEY = f"AKIA{'Q7' * 8}"
KIND = "AWS Access Key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "agents.db"
    with Store(path, maintenance="off") as store:
        with store.open("clean") as session:
            session.state["note"] = "nothing to hide"
        with store.open("now") as session:
            session.state["messages"] = [{"content": "hello"}, {"content": f"it is {KEY}"}]
        with store.open("then") as session:
            session.state["note"] = {"a": KEY}
            session.save()
            session.state["note"]["a"] = "gone"
        with store.open("deleted") as session:
            session.state["note"] = KEY
        store.delete("deleted")
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path, maintenance="off") as store:
        yield store


def places(found: list[FoundSecret]) -> list[tuple[Any, ...]]:
    return [(each.key, each.path, each.branch, each.number) for each in found]


def test_what_stands_there_now(store: Store) -> None:
    assert store.scan("clean") == store.scan("then") == []
    place = FoundSecret("now", KIND, ("messages", 1, "content"), "main", 1)
    assert store.scan("now") == store.scan() == [place]
    with pytest.raises(StateNotFound):
        store.scan("nobody")
    with pytest.raises(StateNotFound):
        store.scan("deleted")


def test_what_was_saved_at_any_time(store: Store) -> None:
    assert places(store.scan("then", history=True)) == [("then", ("note", "a"), "main", 1)]
    assert places(store.scan(history=True)) == [
        ("deleted", ("note",), "main", 1),
        ("now", ("messages", 1, "content"), "main", 1),
        ("then", ("note", "a"), "main", 1),
    ]
    assert store.scan("deleted", history=True)


def test_a_former_life(store: Store) -> None:
    with store.open("deleted") as session:
        session.state["note"] = "a new life"
    assert store.scan("deleted") == []
    assert places(store.scan("deleted", history=True)) == [("deleted", ("note",), "main", 1)]


def test_branches_and_what_they_left(store: Store) -> None:
    store.fork("clean", "what-if")
    with store.open("clean", branch="what-if") as session:
        session.state["note"] = KEY
    assert places(store.scan("clean")) == [("clean", ("note",), "what-if", 2)]
    store.rollback("clean", 1, branch="what-if")
    assert store.scan("clean") == []
    assert [each.number for each in store.scan("clean", history=True)] == [2]


def test_what_a_save_says_besides(store: Store) -> None:
    with store.open("clean") as session:
        session.summary = KEY
        session.save(KEY, {"note": [KEY]})
    told = {each.path for each in store.scan("clean", history=True)}
    assert told == {("label",), ("metadata", "note", 0), ("summary",)}
    assert places(store.scan("clean")) == [("clean", ("summary",), None, None)]


def test_what_stands_in_for_what_was_pruned(store: Store) -> None:
    with store.open("then") as session:
        session.state["kept"] = KEY
        session.save()
        for number in range(5):
            session.state["number"] = number
            session.save()
        session.state["kept"] = "gone"
    store.prune(Retention(keep_last=2), "then")
    assert store.scan("then") == []
    assert {each.path for each in store.scan("then", history=True)} == {("kept",)}


def test_a_long_state_is_scanned_to_its_end(store: Store) -> None:
    with store.open("long") as session:
        session.state["messages"] = []
        for number in range(300):
            session.state["messages"].append({"content": f"message {number}"})
            session.save()
        session.state["messages"].append({"content": KEY})
    store.maintain("long")
    now, ever = store.scan("long"), store.scan("long", history=True)
    assert places(now) == [("long", ("messages", 300, "content"), "main", 301)]
    assert places(ever) == places(now)


def test_by_another_policy(store: Store) -> None:
    own = Secrets(patterns={"Greeting": "hel+o"}, builtin=False)
    assert [each.kind for each in store.scan("now", secrets=own)] == ["Greeting"]
    assert store.scan("now", secrets=Secrets(allow=(KEY,))) == []
    with pytest.raises(UsageError):
        store.scan("now", secrets="shred")  # type: ignore[arg-type]


def test_progress_and_scope(store: Store) -> None:
    told: list[tuple[int, int]] = []
    store.scan(progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    handle = store.scoped("then", allow={"read"})
    assert [each.key for each in handle.scan(history=True)] == ["then"]
    with pytest.raises(NotAllowed):
        handle.scan("now")


def test_the_async_twin(path: Path) -> None:
    async def work() -> None:
        async with perdure.AsyncStore(path) as store:
            assert [each.key for each in await store.scan()] == ["now"]
            assert len(await store.scan(history=True)) == 3

    asyncio.run(work())


# ---- the command ----------------------------------------------------------------------------


def run(path: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path), *args])


def test_the_command_tells_where_and_never_what(path: Path) -> None:
    shown = run(path, "scan", "--all", "--history")
    assert shown.stderr.endswith("then take it out here: perdure redact KEY --match TEXT\n")
    assert shown.exit_code == FOUND
    assert KEY not in shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["key", "branch", "checkpoint", "kind", "place"]
    assert [line.split()[0] for line in lines[1:4]] == ["deleted", "now", "then"]
    assert "messages/1/content" in lines[2]
    assert "3 places" in shown.output


def test_the_command_gives_json(path: Path) -> None:
    shown = run(path, "scan", "now", "--json")
    assert shown.exit_code == FOUND
    assert json.loads(shown.stdout) == {
        "found": [
            {
                "key": "now",
                "kind": KIND,
                "path": ["messages", 1, "content"],
                "branch": "main",
                "number": 1,
            }
        ]
    }
    clean = run(path, "scan", "clean", "--json")
    assert (clean.exit_code, json.loads(clean.stdout)) == (0, {"found": []})


def test_the_command_takes_patterns(path: Path) -> None:
    assert run(path, "scan", "clean").stdout == "no secrets found\n"
    shown = run(path, "scan", "clean", "--pattern", "Hint=to hide")
    assert (shown.exit_code, "Hint" in shown.stdout) == (FOUND, True)
    assert run(path, "scan", "clean", "--pattern", "Hint").exit_code == USAGE
    assert run(path, "scan", "clean", "--pattern", "Hint=(").exit_code == USAGE


def test_calls_that_are_none(path: Path) -> None:
    assert run(path, "scan").exit_code == USAGE
    assert run(path, "scan", "now", "--all").exit_code == USAGE
    assert run(path, "scan", "nobody").exit_code == NOT_FOUND
