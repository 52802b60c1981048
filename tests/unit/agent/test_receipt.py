"""The loss receipt: what was resumed, how much is there, and exactly what is missing."""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Retention, Store
from perdure.agent import LossReceipt, Todo
from perdure.errors import Waiting


def receipt(store: Store, branch: str = "main") -> LossReceipt:
    with store.open("a", branch=branch) as session:
        found = session.briefing().receipt
    assert found is not None
    return found


def standing(store: Store) -> str:
    with store.open("a") as session:
        return "\n".join(
            item.text for item in session.briefing(9000).items if item.title == "Where it stands"
        )


def worked(store: Store) -> None:
    """Five checkpoints, with one of everything that is counted."""
    with pytest.raises(Waiting), store.open("a") as session:
        session.state["messages"] = [{"role": "user", "content": "Hi"}] * 3
        session.state["notes"] = "x"
        with session.task("pay") as task:
            task.step("look", int)
            task.options(key="orders/17").effect("refund", str, 17)
        session.goals.add("Refund")
        session.decide("Pay by card")
        session.facts.set("rate", 1.2)
        session.child("researcher").close()
        session.ask("approve", 40)


def test_everything_that_is_there_is_counted(store: Store) -> None:
    worked(store)
    found = receipt(store)
    assert (found.missing, found.pruned) == ((), 0)
    assert found.number == found.counts["checkpoints"] == store.info("a").number
    assert found.time == store.history("a", limit=1)[0].time
    assert {kind: each for kind, each in found.counts.items() if kind != "checkpoints"} == {
        "sections": 2,
        "messages": 3,
        "tasks": 1,
        "steps": 1,
        "effects": 1,
        "questions": 1,
        "goals": 1,
        "decisions": 1,
        "facts": 1,
        "children": 1,
        "branches": 1,
    }
    assert str(found).endswith(
        "2 sections, 3 messages, 1 task, 1 step, 1 effect, 1 question, 1 goal, 1 decision, 1 fact, "
        "1 child"
    )
    assert f"; everything that was acknowledged is present: {found}." in standing(store)


def test_a_new_state_has_none() -> None:
    with Store("memory:").open("a") as session:
        assert session.briefing().receipt is None


def test_what_a_rollback_left_is_told_until_it_is_built_on(store: Store) -> None:
    worked(store)
    last = store.info("a").number
    store.rollback("a", to=1)
    (missing,) = receipt(store).missing
    assert missing.startswith(f"{last - 1} checkpoints up to {last} of ")
    assert "main was moved to 1 on " in missing
    assert "(rollback); `perdure undo a` brings them back" in missing
    assert missing.endswith("Effects claimed in them are not undone: orders/17")
    assert "; there are: 1 checkpoint, 2 sections, 3 messages" in standing(store)
    assert f"Missing: {missing}." in standing(store)
    store.fork("a", "side")
    assert "perdure undo" not in receipt(store).missing[0]  # it would take the fork back
    store.rollback("a", to=1, branch="side")
    assert receipt(store, "side").missing == ()
    with store.open("a") as session:
        session.state["notes"] = "y"
    assert receipt(store).missing == ()


def test_an_undone_rollback_misses_nothing(store: Store) -> None:
    worked(store)
    store.rollback("a", to=1)
    store.undo("a")
    assert receipt(store).missing == ()


def test_a_section_that_cannot_be_read_is_named_and_the_rest_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    noise = random.Random(1)
    with Store(path, maintenance="off") as store:
        with store.open("a") as session:
            session.state["messages"] = [{"role": "user", "content": "Go on."}]
            session.plan.add_missing(
                [Todo(f"t{at}", input=noise.randbytes(200)) for at in range(2000)]
            )
        with store.open("a") as session:
            session.goals.add("Refund")
        store.maintain()
    with sqlite3.connect(path) as connection:
        for table in ("pages WHERE length(blob) > 9000", "records WHERE number = 1"):
            name, where = table.split(" ", 1)
            connection.execute(
                f"UPDATE {name} SET blob = CAST(substr(blob, 1, length(blob) - 9) AS BLOB) {where}"
            )
    connection.close()
    with Store(path) as store:
        (missing,) = receipt(store).missing
        assert missing.startswith("section perdure.tasks: section-damaged: ")
        text = standing(store)
        assert "Missing: section perdure.tasks: section-damaged: " in text
        assert "1 message, 1 goal" in text


def test_what_is_no_record_is_told_too(store: Store) -> None:
    with store.open("a") as session:
        session._document.write_reserved("perdure.facts", [1])
    (missing,) = receipt(store).missing
    assert missing.startswith("section perdure.facts: malformed: ")


def test_pruned_history_is_not_missing(store: Store) -> None:
    with store.open("a") as session:
        for at in range(20):
            session.state["n"] = at
            session.save()
    store.maintain()
    store.prune(Retention(keep_last=5))
    found = receipt(store)
    assert found.missing == ()
    assert found.pruned > 0
    assert found.counts["checkpoints"] + found.pruned == 20
    assert f"The history of {found.pruned} checkpoints was pruned" in standing(store)


def test_what_nobody_was_told_is_saved_is_said_to_be_lost(tmp_path: Path) -> None:
    program = (
        "import os, sys, perdure\n"
        "session = perdure.Store(sys.argv[1]).open('a')\n"
        "session.state['x'] = 1\n"
        "session.save()\n"
        "session.state['x'] = 2\n"
        "os._exit(9)\n"
    )
    path = str(tmp_path / "a.db")
    subprocess.run([sys.executable, "-c", program, path], check=False)
    with Store(path) as store:
        saved = f"{store.history('a')[0].time:%Y-%m-%d %H:%M:%SZ}"
        text = standing(store)
        assert receipt(store).missing == ()
    assert "The last session ended: interrupted." in text
    assert f"saved 1 checkpoint; what it did after {saved} it had not saved." in text
