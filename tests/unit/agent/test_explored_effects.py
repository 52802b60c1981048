"""Effects in sessions that only explore, and what these leave to a session that acts (P9)."""

from typing import Any

import pytest
from tests.unit.agent.bank import Bank, refund

from perdure import Session, Store
from perdure.errors import (
    EffectRefused,
    StepFailed,
)


def test_who_only_explores_is_refused_or_given_a_stand_in(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
    store.fork("a", "what-if")
    exploring = store.open("a", branch="what-if", effects="refuse")
    with exploring as session, pytest.raises(EffectRefused):
        refund(session, bank)
    kept: list[Any] = []

    def explore() -> Any:
        asking = store.open("a", branch="what-if", effects=lambda told: f"as if {told.name}")
        with asking as session, session.task("explored") as task:
            options = task.options(key="orders/17", apply=kept.append)
            found = options.effect("refund", bank.pay, "17")
            raise RuntimeError(found)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="as if orders/17"):
            explore()
    assert (bank.paid, kept) == ([], ["as if orders/17"])
    assert store.effects("a") == []


def test_a_stand_in_is_none_for_a_session_that_acts(store: Store) -> None:
    bank = Bank()
    asking = store.open("a", effects=lambda told: "as if")
    with pytest.raises(RuntimeError), asking as session, session.task("refunds") as task:
        task.effect("refund", bank.pay, "17")
        raise RuntimeError
    with store.open("a") as session, session.task("refunds") as task:
        assert task.effect("refund", bank.pay, "17") == {"receipt": "re_17"}
    assert len(bank.paid) == 1


def test_a_stand_in_whose_edits_failed_at_first_stays_one(store: Store) -> None:
    bank, kept = Bank(), []

    def apply(result: Any) -> None:
        kept.append(result)
        if len(kept) == 1:
            raise RuntimeError

    for error in (StepFailed, ValueError):
        asking = store.open("a", effects=lambda told: "as if")
        with pytest.raises(error), asking as session, session.task("refunds") as task:
            task.effect("refund", bank.pay, "17", apply=apply)
            raise ValueError
    assert kept == ["as if", "as if"]
    with store.open("a") as session, session.task("refunds") as task:
        assert task.effect("refund", bank.pay, "17") == {"receipt": "re_17"}
    assert len(bank.paid) == 1


def test_a_task_that_was_only_explored_is_done_by_who_acts(store: Store) -> None:
    bank = Bank()

    def run(session: Session) -> Any:
        with session.task("refunds") as task:
            if not task.done:
                order = task.step("find", lambda: "17")
                paid = task.effect("refund", bank.pay, order, key="orders/17")
                task.result = task.step("tell", lambda: f"paid {paid}")
        return task.result

    with store.open("a") as session:
        session.save()
    store.fork("a", "what-if")
    with store.open("a", branch="what-if", effects=lambda told: "as if") as session:
        assert run(session) == "paid as if"
        assert session.task("refunds").done
    store.merge("a", "what-if")
    with store.open("a") as session:
        assert not session.task("refunds").done
        assert session.task("refunds").status == "pending"
        assert run(session) == "paid {'receipt': 're_17'}"
        assert session.task("refunds").done
        assert "stood_in" not in session.raw["perdure.tasks"]["refunds"]
    assert len(bank.paid) == 1
