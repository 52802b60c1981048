"""Effects as people see and settle them: `Store.effects`, `Store.settle`, `perdure effects`."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.agent.test_effects import Bank, perform

from perdure import AsyncStore, Store
from perdure.cli.app import NOT_FOUND, RELOAD, USAGE, app
from perdure.errors import AlreadyClaimed, NotStorable, PathNotFound, UnknownOutcome


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A state with one effect that was performed, and one of which nobody knows."""
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        with store.open("b") as session:
            perform(session, Bank())
        with store.open("a") as session, pytest.raises(UnknownOutcome):
            perform(session, Bank(TimeoutError()))
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def test_store_tells_what_is_known(path: str) -> None:
    with Store(path) as store:
        (done,) = store.effects("b")
        assert (done.key, done.status, done.about) == ("orders/17", "done", "refund/pay")
        assert (done.result, done.number, done.by) == ({"receipt": "re_17"}, 2, None)
        assert done.ended is not None
        (unknown,) = store.effects("a")
        assert (unknown.status, unknown.result, unknown.ended) == ("unknown", None, None)


def test_what_happened_counts_as_performed(path: str) -> None:
    with Store(path) as store:
        settled = store.settle("a", "orders/17", happened=True, result={"receipt": "x"}, by="ann")
        assert (settled.status, settled.by, settled.number) == ("done", "ann", None)
        with store.open("a") as session:
            assert perform(session, Bank()) == {"receipt": "x"}  # it is recorded now
            with pytest.raises(AlreadyClaimed, match="settled by ann") as caught:
                perform(session, Bank())
            assert caught.value.result == {"receipt": "x"}
        with pytest.raises(AlreadyClaimed, match="has its outcome already"):
            store.settle("a", "orders/17", happened=False)


def test_what_did_not_happen_may_be_performed(path: str) -> None:
    with Store(path) as store:
        store.settle("a", "orders/17", happened=False)
        assert store.effects("a") == []
        with store.open("a") as session:
            assert perform(session, Bank()) == {"receipt": "re_17"}


def test_what_cannot_be_settled_is_told(path: str) -> None:
    with Store(path) as store:
        with pytest.raises(PathNotFound, match="no effect 'nope'"):
            store.settle("a", "nope", happened=True)
        with pytest.raises(NotStorable):
            store.settle("a", "orders/17", happened=True, result=object())
        assert store.effects("a")[0].status == "unknown"


def test_settling_does_not_disturb_who_is_at_work(path: str) -> None:
    with Store(path) as store, store.open("a") as session:
        session.state["x"] = 1
        store.settle("a", "orders/17", happened=True)
        session.state["y"] = 2
        session.save()
        assert store.effects("a")[0].status == "done"


def test_async_store_does_the_same(path: str) -> None:
    async def settled() -> list[str]:
        async with AsyncStore(path) as store:
            await store.settle("a", "orders/17", happened=True, by="ann")
            return [each.status for each in await store.effects("a")]

    assert asyncio.run(settled()) == ["done"]


def test_effects_are_listed(path: str) -> None:
    found = run("--store", path, "effects", "a")
    assert found.exit_code == 0
    assert "orders/17" in found.stdout
    assert "unknown" in found.stdout
    assert "perdure effects settle a orders/17" in found.stderr
    assert "re_17" in run("--store", path, "effects", "list", "b").stdout
    assert run("--store", path, "effects", "b", "--unknown").stdout == "no effect is unknown\n"
    (told,) = json.loads(run("--store", path, "effects", "b", "--json").stdout)["effects"]
    assert (told["status"], told["result"]) == ("done", {"receipt": "re_17"})


def test_an_effect_is_settled(path: str) -> None:
    done = '{"receipt": "x"}'
    found = run(
        "--store", path, "effects", "settle", "a", "orders/17", "--done", done, "--by", "ann"
    )
    assert (found.exit_code, found.stdout) == (0, "orders/17 counts as performed\n")
    again = run("--store", path, "effects", "settle", "a", "orders/17", "--not-done")
    assert again.exit_code == RELOAD
    with Store(path) as store:
        assert store.effects("a")[0].result == {"receipt": "x"}


def test_calls_that_make_no_sense_are_told(path: str) -> None:
    settle = "--store", path, "effects", "settle", "a", "orders/17"
    assert run(*settle).exit_code == USAGE
    assert run(*settle, "--done", "1", "--not-done").exit_code == USAGE
    assert "is no JSON" in run(*settle, "--done", "re_1").stderr
    assert run("--store", path, "effects", "nope").exit_code == NOT_FOUND
    assert run("--store", path, "effects", "settle", "a", "x", "--not-done").exit_code == NOT_FOUND
