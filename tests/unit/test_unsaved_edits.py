"""Unsaved edits that nobody saves are not lost in silence."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure
from perdure import errors

LOST = "whose unsaved edits are lost"


@pytest.fixture
def told() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of the test, which are no errors here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield caught


def test_a_session_that_is_dropped_with_unsaved_edits_is_told_of(
    told: list[warnings.WarningMessage], caplog: pytest.LogCaptureFixture
) -> None:
    with perdure.Store("memory:") as store:
        session = store.open("support/alice")
        session.state["b"] = 3
        del session
        [warning] = told
    assert warning.category is ResourceWarning
    assert "nothing refers any more to a session on 'support/alice', " + LOST in str(warning)
    assert "`with store.open('support/alice') as session:`" in str(warning)
    assert "session.close()" in str(warning)
    assert warning.filename == __file__
    # Python hides the warning by default; the log does not.
    [record] = caplog.records
    assert (record.name, record.levelno) == ("perdure", logging.WARNING)
    assert LOST in record.getMessage()


def test_a_store_closed_before_its_session_tells_once(told: list[warnings.WarningMessage]) -> None:
    with perdure.Store("memory:") as store:
        session = store.open("a")
        session.state["b"] = 3
        assert repr(session) == "<Session 'a' at checkpoint 0, open>"
    store.close()
    assert repr(session) == "<Session 'a' at checkpoint 0, its store is closed>"
    del session
    [warning] = told
    assert "the store was closed before its session on 'a', " + LOST in str(warning)
    assert warning.filename == __file__


def test_only_the_sessions_of_the_closed_store_are_told_of(
    told: list[warnings.WarningMessage],
) -> None:
    with perdure.Store("memory:") as other, other.open("mine") as session:
        session.state["b"] = 3
        with perdure.Store("memory:") as store:
            store.open("a")
        assert told == []
    assert told == []


def test_a_body_that_could_not_be_saved_is_unsaved(told: list[warnings.WarningMessage]) -> None:
    with perdure.Store("memory:") as store:
        one, two = store.open("a"), store.open("a")
        one.state["x"], two.state["x"] = 1, 2
        one.close()
        with pytest.raises(errors.Conflict):
            two.save()
        assert two._document.has_edits() is False
        del two
    assert len(told) == 1


def test_a_summary_is_something_to_lose(told: list[warnings.WarningMessage]) -> None:
    with perdure.Store("memory:") as store:
        session = store.open("a")
        session.state["n"] = 1
        session.save()
        session.summary = "half way"
        del session
    assert len(told) == 1


def test_with_nothing_to_lose_nothing_is_told(told: list[warnings.WarningMessage]) -> None:
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        saved = store.open("a")
        saved.state["n"] = 2
        saved.save()
        undone = store.open("a")
        undone.state["n"] = 3
        undone.state["n"] = 2
        with pytest.raises(KeyError), store.open("a") as failed:
            failed.state["n"] = 4
            raise KeyError
        store.open("b")
        del saved, undone, failed
    assert told == []


def test_an_exit_that_raised_is_not_told_again(told: list[warnings.WarningMessage]) -> None:
    with perdure.Store("memory:") as store, store.open("a") as one:
        with pytest.raises(errors.Conflict), store.open("a") as two:
            two.state["x"] = 2
            one.state["x"] = 1
            one.save()
        del two
    assert told == []


def test_a_container_that_outlives_its_session_refuses_edits() -> None:
    with perdure.Store("memory:") as store:
        state = store.open("a").state
        with pytest.raises(errors.Detached):
            state["b"] = 3


def test_an_async_session_is_told_of_in_its_own_words(
    told: list[warnings.WarningMessage],
) -> None:
    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            dropped = await store.open("a")
            dropped.state["n"] = 1
            del dropped
            outlived = await store.open("b")
            outlived.state["n"] = 1
        assert "its store is closed" in repr(outlived)

    asyncio.run(main())
    assert ["on 'a'" in str(told[0]), "on 'b'" in str(told[1])] == [True, True]
    for each in told:
        assert "`async with store.open(" in str(each)
        assert "await session.close()" in str(each)


SCRIPT = """
import perdure
store = perdure.Store("memory:")
session = store.open("support/alice")
session.state["b"] = 3
"""


def test_the_end_of_the_process_tells() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert f"the process ended before its session on 'support/alice', {LOST}" in ran.stderr
    assert ran.stderr.count(LOST) == 1
    strict = [sys.executable, "-W", "always", "-c", SCRIPT]
    ran = subprocess.run(strict, capture_output=True, text=True, check=True)
    assert "ResourceWarning: the process ended" in ran.stderr


def test_a_forked_child_tells_nothing_of_its_parents_sessions() -> None:
    forked = SCRIPT + (
        "dropped = store.open('b')\n"
        "dropped.state['b'] = 3\n"
        "import os\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
        "    session.close(), dropped.close()\n"
        "del dropped\n"
        "store.close()\n"
    )
    ran = subprocess.run([sys.executable, "-c", forked], capture_output=True, text=True, check=True)
    assert ran.stderr == ""


TESTS = """
def test_closed(perdure_store):
    with perdure_store.open("a") as session:
        session.state["b"] = 3
    perdure_store.close()

def test_dropped(perdure_store):
    session = perdure_store.open("dropped")
    session.state["b"] = 3

def test_kept(perdure_store):
    with perdure_store.open("kept") as session:
        session.state["b"] = 3
"""


def test_the_fixture_warns_where_pytest_hides_the_other_warning(tmp_path: Path) -> None:
    (tmp_path / "test_agent.py").write_text(TESTS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_agent.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed, 1 warning" in ran.stdout
    assert "session on 'dropped', " + LOST in ran.stdout
