"""Whose a task is: dead holders are passed over, living ones are not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import Session, Store
from perdure.agent.holding import Held, state_of_hold

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)


def held(session: Session[Any], at: str, until: datetime, attempts: int = 1) -> dict[str, Any]:
    """The record of a task that another session's process runs."""
    host, pid, boot, started = session._core.holder
    places = {
        "dead": [host, 2**22 + 1, boot, started],
        "here": [host, pid, boot, started],
        "elsewhere": [f"not {host}", pid, boot, started],
    }
    hold = {"session": "f" * 32, "until": until, "at": places[at]}
    return {"status": "running", "attempts": attempts, "created": NOW, "holder": hold}


@pytest.mark.parametrize(
    ("at", "until", "expected"),
    [
        ("dead", LATER, Held.BY_DEAD),
        ("here", LATER, Held.FREE),  # that session of this process has ended
        ("elsewhere", LATER, Held.BY_OTHER),
        ("elsewhere", EARLIER, Held.BY_DEAD),
    ],
)
def test_what_a_hold_says(at: str, until: datetime, expected: Held) -> None:
    with Store("memory:").open("a") as session:
        assert state_of_hold(session, held(session, at, until), NOW) is expected


def test_a_living_session_of_this_process_holds_its_task() -> None:
    store = Store("memory:")
    one, two = (store.open("a", on_conflict="merge") for _ in range(2))
    with one, two, one.task("t") as task:
        task.step("one", int)
        two.refresh()
        record = two.raw["perdure.tasks"]["t"]
        assert state_of_hold(two, record, datetime.max.replace(tzinfo=UTC)) is Held.BY_OTHER
        assert state_of_hold(one, record, NOW) is Held.FREE


def test_the_tasks_of_the_dead_are_taken_over_as_often_as_they_may_be_begun() -> None:
    with Store("memory:").open("a") as session:
        tasks = {"once": held(session, "dead", LATER), "twice": held(session, "dead", LATER, 2)}
        session._document.write_reserved("perdure.tasks", tasks)
        names = []
        for task in session.plan.work(attempts_max=2):
            with task:
                names.append(task.name)
        assert names == ["once"]
        once, twice = (session.raw["perdure.tasks"][name].plain() for name in ("once", "twice"))
    assert (once["status"], once["attempts"], once["died"]) == ("done", 2, 1)
    assert (twice["status"], twice["attempts"], twice["died"]) == ("failed", 2, 1)
    assert twice["error"]["type"] == "Interrupted"
