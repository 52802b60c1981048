"""Threads move in from LangGraph's own savers, whole, and what they wait for goes on here."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from pydantic import BaseModel
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread, told
from tests.adapters.langgraph.test_same_as_memory import human
from tests.adapters.langgraph.test_two_workers import put, values

from perdure import Store, errors
from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.from_sqlite import SqliteRows
from perdure.adapters.langgraph.moving import ThreadMover, move_threads
from perdure.adapters.moving import parents_first
from perdure.cli.app import app


class Plan(BaseModel):
    steps: list[str]


class Goal(BaseModel):
    text: str


def fill(saver: Any) -> None:
    """A thread that waits at an interrupt, with forks and a subgraph; and one of delta channels."""
    graph = graphs.chat().compile(checkpointer=saver)
    graph.invoke(human("hi", "h1"), thread())
    graph.invoke(human("ask", "h2"), thread())
    old = next(each for each in graph.get_state_history(thread()) if each.next == ("inner",))
    graph.invoke(None, old.config)
    graph.invoke(human("ask", "h3"), thread("bob"))
    other = graphs.deltas().compile(checkpointer=saver)
    for number in range(4):
        other.invoke({"log": [number]}, thread("log"))


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


def all_of(saver: Any) -> list[Any]:
    """All that a saver has, as LangGraph sees it."""
    found = []
    for each in saver.list(None):
        where = {k: v for k, v in each.config["configurable"].items() if not k.startswith("__")}
        parent = each.parent_config and each.parent_config["configurable"]["checkpoint_id"]
        found.append((where, each.checkpoint, each.metadata, parent, each.pending_writes))
    return sorted(found, key=lambda each: tuple(each[0].values()))


def test_all_that_a_saver_has_is_there_and_waiting_graphs_go_on(source: Path, store: Store) -> None:
    moved = move_threads(source, store)
    assert moved.ok and [each.problem for each in moved.units] == [None] * len(moved.units)
    assert all(each.source == each.stored for each in moved.units)
    by_name = {each.name: each for each in moved.units}
    assert by_name["bob"].source is not None and by_name["bob"].source.parts > 0
    assert any(" inner:" in name for name in by_name)
    with SqliteSaver.from_conn_string(str(source)) as theirs, PerdureSaver(store) as ours:
        assert all_of(ours) == all_of(theirs)
        for graph, name in (
            (graphs.chat(), "alice"),
            (graphs.chat(), "bob"),
            (graphs.deltas(), "log"),
        ):
            there, here = (graph.compile(checkpointer=saver) for saver in (theirs, ours))
            assert told(list(here.get_state_history(thread(name)))) == told(
                list(there.get_state_history(thread(name)))
            )
        here = graphs.chat().compile(checkpointer=ours)
        waiting = here.get_state(thread("bob"))
        assert waiting.next == ("ask",) and waiting.interrupts[0].value == {"question": "go on?"}
        done = here.invoke(Command(resume="yes"), thread("bob"))
        assert "answered yes" in [each.content for each in done["messages"]]
        again = (
            graphs.chat().compile(checkpointer=theirs).invoke(Command(resume="yes"), thread("bob"))
        )
        assert done == again
    assert all(each.ok for each in store.verify())


def digests(directory: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in directory.iterdir()
        if not each.name.startswith("agents.db")
    }


def test_the_source_is_not_touched_also_where_it_is_in_use(source: Path, store: Store) -> None:
    before = digests(source.parent)
    assert move_threads(source, store, dry_run=True).ok
    assert digests(source.parent) == before and before.keys() == {source.name}
    with SqliteSaver.from_conn_string(str(source)) as saver:
        saver.put(thread("new"), empty_checkpoint(), {"step": 1}, {})
        in_use = {name: each for name, each in digests(source.parent).items() if "-shm" not in name}
        assert in_use[source.name] == before[source.name] and len(in_use) == 2
        moved = move_threads(source, store)
        assert moved.ok and "new" in [each.name for each in moved.units]
        left = {name: each for name, each in digests(source.parent).items() if "-shm" not in name}
        assert left == in_use
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        SqliteRows(source)._base.execute("DELETE FROM checkpoints")


def test_a_dry_run_says_the_same_and_writes_nothing(source: Path, store: Store) -> None:
    planned = move_threads(source, store, dry_run=True)
    assert planned.ok and planned.dry_run and store.states() == []
    moved = move_threads(source, store)
    assert [each.source for each in moved.units] == [each.source for each in planned.units]
    again = move_threads(source, store, dry_run=True)
    assert [each.already for each in again.units] == [each.copied for each in moved.units]


class Cut(Exception):
    """The process ends here."""


def test_a_run_that_was_cut_off_anywhere_goes_on(
    source: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, puts = ThreadMover._entries, ThreadMover._put
    left = 0

    def counted(method: Any) -> Any:
        def call(self: Any, *args: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut
            return method(self, *args)

        return call

    monkeypatch.setattr(ThreadMover, "_entries", counted(entries))
    monkeypatch.setattr(ThreadMover, "_put", counted(puts))
    runs, moved = 0, None
    while moved is None and runs < 200:  # so that an import that gets nowhere ends too
        left, runs = 5, runs + 1
        try:
            moved = move_threads(source, store)
        except Cut:
            continue
    assert moved is not None
    assert runs > 10 and moved.ok and sum(each.already for each in moved.units) > 20
    with SqliteSaver.from_conn_string(str(source)) as theirs, PerdureSaver(store) as ours:
        assert all_of(ours) == all_of(theirs)
    records = sum(len(store.history(each.key, every=True)) for each in store.states())
    assert move_threads(source, store).ok
    assert records == sum(len(store.history(each.key, every=True)) for each in store.states())


def test_what_the_source_came_to_have_since_is_copied_too(source: Path, store: Store) -> None:
    assert move_threads(source, store).ok
    with SqliteSaver.from_conn_string(str(source)) as theirs:
        graphs.chat().compile(checkpointer=theirs).invoke(Command(resume="yes"), thread("bob"))
        moved = move_threads(source, store)
        assert moved.ok and {each.name for each in moved.units if each.copied} >= {"bob"}
        with PerdureSaver(store) as ours:
            assert all_of(ours) == all_of(theirs)


def test_a_thread_that_went_on_here_is_left_as_it_is(source: Path, store: Store) -> None:
    assert move_threads(source, store).ok
    with PerdureSaver(store) as ours:
        graphs.chat().compile(checkpointer=ours).invoke(Command(resume="yes"), thread("bob"))
        before = all_of(ours)
        # The answer to the interrupt is a write of the checkpoint that the source has, too.
        moved = move_threads(source, store)
        assert [each.name for each in moved.units if each.problem] == ["bob"]
        assert all_of(ours) == before


def test_what_could_not_be_kept_is_told_before_anything_is_written(
    tmp_path: Path, store: Store
) -> None:
    file = tmp_path / "theirs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for name, value in (("a", 1), ("b", Plan(steps=["x"])), ("c", 3)):
            put(saver, thread(name), value)  # type: ignore[arg-type]  # it has the same methods
    moved = move_threads(file, store)
    assert not moved.ok and moved.is_refused and store.states() == []
    (problem,) = [each.problem for each in moved.units if each.problem]
    assert f"{__name__}.Plan" in problem and "allow" in problem
    assert not move_threads(file, store, skip_failures=True).ok
    assert [each.key for each in store.states()] == ["threads/a", "threads/c"]
    assert move_threads(file, store, allow=[Plan]).ok
    with PerdureSaver(store, allow=[Plan]) as saver:
        assert values(saver, thread("b")) == {"x": Plan(steps=["x"])}


def test_the_command_names_the_option_that_allows_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "theirs.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        for name, value in (("a", Plan(steps=["x"])), ("b", Goal(text="y"))):
            put(saver, thread(name), value)  # type: ignore[arg-type]  # it has the same methods
    refused = run(tmp_path, "langgraph", str(file))
    options = [f"--allow {__name__}:{name}" for name in ("Plan", "Goal")]
    assert refused.exit_code == 1 and "allow=" not in refused.stdout
    assert all(each in refused.stdout for each in options)
    assert "allowed_msgpack_modules" not in caplog.text  # LangGraph's way out, in Python
    told = json.loads(run(tmp_path, "langgraph", str(file), "--json").stdout)
    assert options[0] in told["moved"]["units"][0]["problem"]
    given = " ".join(options).split()
    assert run(tmp_path, "langgraph", str(file), *given).exit_code == 0


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


@pytest.mark.parametrize("name", ["a*b", "a//b", "long" * 1000])
def test_a_thread_with_an_odd_id_moves_as_any_other(name: str, source: Path, store: Store) -> None:
    with SqliteSaver.from_conn_string(str(source)) as saver:
        checkpoint = empty_checkpoint() | {"channel_values": {"x": 1}}
        saver.put(thread(name), checkpoint, {"step": 1}, {"x": 1})
    assert move_threads(source, store).ok
    with PerdureSaver(store) as ours:
        assert name in {each.config["configurable"]["thread_id"] for each in ours.list(None)}


@pytest.mark.parametrize(
    ("prefix", "value", "problem"),
    [
        ("a*b/", 1, "can be made under"),
        ("threads/", nested(129), "nested over 128 deep"),
    ],
)
def test_a_thread_that_no_state_could_hold_is_told_before_anything_is_written(
    prefix: str, value: Any, problem: str, source: Path, store: Store
) -> None:
    with SqliteSaver.from_conn_string(str(source)) as saver:
        checkpoint = empty_checkpoint() | {"channel_values": {"x": value}}
        saver.put(thread("deep"), checkpoint, {"step": 1}, {"x": 1})
    looked = move_threads(source, store, prefix=prefix, dry_run=True)
    moved = move_threads(source, store, prefix=prefix)
    assert looked.units == moved.units and moved.is_refused and store.states() == []
    told = {each.name: each.problem for each in moved.units if each.problem is not None}
    assert problem in str(told["deep"])
    assert prefix == "a*b/" or list(told) == ["deep"]


def test_what_is_nested_as_deep_as_may_be_is_moved(source: Path, store: Store) -> None:
    with SqliteSaver.from_conn_string(str(source)) as saver:
        checkpoint = empty_checkpoint() | {"channel_values": {"x": nested(128)}}
        saver.put(thread("deep"), checkpoint, {"step": 1}, {"x": 1})
    assert move_threads(source, store).ok


def test_another_thread_of_the_name_and_a_deleted_one_are_left_alone(
    source: Path, store: Store
) -> None:
    with PerdureSaver(store) as saver:
        put(saver, thread("bob"), 1)
        put(saver, thread(), 1)
        saver.delete_thread("alice")
    moved = move_threads(source, store, skip_failures=True)
    problems = {each.name: each.problem for each in moved.units if each.problem}
    assert "already" in str(problems["bob"]) and "deleted" in str(problems["alice"])
    with PerdureSaver(store) as saver:
        assert values(saver, thread("bob")) == {"x": 1} and values(saver) is None


def test_what_differs_in_the_store_is_found(source: Path, store: Store) -> None:
    assert move_threads(source, store).ok
    with closing(sqlite3.connect(source)) as base:
        base.execute("UPDATE checkpoints SET metadata = ? WHERE thread_id = 'log'", (b'{"a": 1}',))
        base.commit()
    moved = move_threads(source, store)
    (changed,) = [each for each in moved.units if each.problem]
    assert changed.name == "log" and changed.source != changed.stored


@pytest.mark.parametrize("kind", ["missing", "other", "text", "sealed"])
def test_a_source_that_is_none(tmp_path: Path, store: Store, kind: str) -> None:
    file = tmp_path / "file"
    if kind == "other":
        with closing(sqlite3.connect(file)) as base:
            base.execute("CREATE TABLE checkpoints (x)")
    elif kind == "text":
        file.write_text("not a database, not at all " * 100)
    elif kind == "sealed":
        with SqliteSaver.from_conn_string(str(file)) as saver:
            put(saver, thread(), 1)  # type: ignore[arg-type]  # it has the same methods
            saver.conn.execute("UPDATE checkpoints SET type = 'msgpack+aes'")
            saver.conn.commit()
        (unit,) = move_threads(file, store).units
        assert "'msgpack+aes'" in str(unit.problem)
        return
    with pytest.raises((errors.UsageError, errors.StoreUnavailable)):
        move_threads(file, store)


def run(path: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["--store", str(path / "agents.db"), "import", *args])


def test_the_command(source: Path, tmp_path: Path) -> None:
    planned = run(tmp_path, "langgraph", str(source), "--dry-run")
    assert planned.exit_code == 0 and "can be imported" in planned.stdout
    assert not (tmp_path / "agents.db").exists()
    done = run(tmp_path, "langgraph", str(source), "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["ok"] and all(each["source"] == each["stored"] for each in said["moved"]["units"])
    text = run(tmp_path, "--json", "langgraph", str(source), "--prefix", "theirs/")
    assert json.loads(text.stdout)["moved"]["units"][0]["key"] == "theirs/alice"
    again = run(tmp_path, "langgraph", str(source))
    assert (
        again.exit_code == 0 and " equal" in again.stdout and "are as in the source" in again.stdout
    )
    lost = run(tmp_path, "langgraph", str(tmp_path / "none"))
    assert lost.exit_code == 6 and "there is no file" in lost.stderr


def test_an_exported_state_is_imported_as_before(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("agents.db") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        store.export("a", "langgraph")
        store.export("a", "a.perdure")
    assert run(tmp_path, "a.perdure", "b").stdout == "imported b, up to checkpoint 1\n"
    assert run(tmp_path, "--json", "./langgraph", "c").exit_code == 0
    assert run(tmp_path, "langgraph", "d").exit_code == 6
    help_ = run(tmp_path, "--help").stdout
    assert "import [OPTIONS] FILE [KEY]" in help_ and "\n  langgraph " in help_
    assert run(tmp_path).exit_code == 2


def test_parents_come_first_and_circles_are_told() -> None:
    assert parents_first({"3": "2", "1": "3", "2": "x"}) == ["2", "3", "1"]
    with pytest.raises(errors.UsageError, match="its own ancestor"):
        parents_first({"1": "2", "2": "1"})


def test_messages_of_every_kind_are_compared_as_they_are(tmp_path: Path, store: Store) -> None:
    file = tmp_path / "theirs.sqlite"
    value = [HumanMessage("a", mine={1, 2}), {"set": {"x", "y"}, "t": [1, b"2"]}, frozenset({3})]
    with SqliteSaver.from_conn_string(str(file)) as saver:
        put(saver, thread(), value)  # type: ignore[arg-type]  # it has the same methods
    assert move_threads(file, store).ok
    with PerdureSaver(store) as ours:
        assert values(ours) == {"x": value}
