"""Threads move in from a real PostgreSQL, started for these tests on this machine alone."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.types import Command
from tests.adapters.langgraph import graphs
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_moving import all_of, fill

from perdure import Store, errors
from perdure.adapters.langgraph import PerdureSaver
from perdure.adapters.langgraph.from_postgres import PostgresRows
from perdure.adapters.langgraph.moving import ThreadMover, move_threads

NOBODY = 65534
SECONDS_MAX = 30


def programs() -> Path | None:
    """Where the programs of a server are."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in places if (each / "postgres").exists()), None)


PROGRAMS = programs()
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="there is no PostgreSQL here")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    assert PROGRAMS is not None
    directory = Path(tempfile.mkdtemp(prefix="perdure-pg-"))
    user = NOBODY if os.geteuid() == 0 else None  # a server refuses to run as root
    if user is not None:
        os.chown(directory, user, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = directory / "data"
    made: list[str | Path] = [
        PROGRAMS / "initdb",
        "-D",
        data,
        "-U",
        "agents",
        "-A",
        "trust",
        "-N",
        "-E",
        "UTF8",
    ]
    subprocess.run(made, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)
    command: list[str | Path] = [
        PROGRAMS / "postgres",
        "-D",
        data,
        "-p",
        str(port),
        "-k",
        directory,
        "-F",
    ]
    command += ["-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen(command, user=user, cwd=directory, stderr=subprocess.DEVNULL)
    try:
        where = f"postgresql://agents:secret@127.0.0.1:{port}/postgres"
        await_server(where)
        yield where
    finally:
        server.terminate()
        server.wait(SECONDS_MAX)
        shutil.rmtree(directory, ignore_errors=True)


def await_server(url: str) -> None:
    until = time.monotonic() + SECONDS_MAX
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def rows_in(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as base:
        return [
            row
            for name in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
            for row in base.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4, 5")
        ]


def test_all_that_a_database_has_is_there_and_waiting_graphs_go_on(url: str) -> None:
    with pytest.raises(errors.UsageError, match="no tables of LangGraph's PostgresSaver"):
        PostgresRows(url)
    with PostgresSaver.from_conn_string(url) as theirs, Store("memory:") as store:
        theirs.setup()
        fill(theirs)
        before = rows_in(url)
        assert move_threads(url, store, dry_run=True).ok and store.states() == []
        moved = move_threads(url, store)
        assert moved.ok and "secret" not in repr(moved)
        assert sum(each.stored.items for each in moved.units if each.stored) > 30
        assert rows_in(url) == before
        with PerdureSaver(store) as ours:
            assert all_of(ours) == all_of(theirs)
            here = graphs.chat().compile(checkpointer=ours)
            there = graphs.chat().compile(checkpointer=theirs)
            done = here.invoke(Command(resume="yes"), thread("bob"))
            assert done == there.invoke(Command(resume="yes"), thread("bob"))
        rows = PostgresRows(url)
        with pytest.raises(errors.StoreUnavailable) as told:
            rows._all("DELETE FROM checkpoints RETURNING 1")
        assert isinstance(told.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)
        rows.close()


def test_a_connection_that_is_lost_is_told_and_not_thrown(url: str) -> None:
    with PostgresSaver.from_conn_string(url) as theirs, Store("memory:") as store:
        theirs.setup()
        theirs.put(thread("lost"), empty_checkpoint(), {"step": 1}, {})
        rows = PostgresRows(url)
        mover = ThreadMover(rows, store)
        units = mover.units()
        pid = rows._all("SELECT pg_backend_pid()")[0][0]
        theirs.conn.execute("SELECT pg_terminate_backend(%s)", (pid,))  # type: ignore[union-attr]  # no pool
        with pytest.raises(errors.StoreUnavailable, match="cannot be read"):
            list(mover.contents(units[0]))
        rows.close()


def test_a_database_that_is_not_there_is_told_without_the_password() -> None:
    with Store("memory:") as store, pytest.raises(errors.StoreUnavailable) as told:
        move_threads("postgresql://agents:secret@127.0.0.1:1/none", store)
    assert "secret" not in str(told.value) and "127.0.0.1" in str(told.value)


def test_psycopg_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with Store("memory:") as store, pytest.raises(errors.UsageError, match="pip install"):
        move_threads("postgresql://127.0.0.1/none", store)
