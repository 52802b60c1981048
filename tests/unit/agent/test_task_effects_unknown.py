"""Effects that failed, or of which nobody knows: tried again, settled, waited for (P9)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.bank import Bank, CardDeclined, refund

from perdure import Store
from perdure.agent import Happened, Task
from perdure.errors import (
    AlreadyClaimed,
    StepFailed,
    UnknownOutcome,
    Waiting,
)
from perdure.testing.clock import Clock


def test_what_was_certainly_not_performed_has_failed_and_may_be_tried_again(store: Store) -> None:
    bank = Bank(CardDeclined("no funds"))
    with store.open("a") as session:
        with pytest.raises(StepFailed, match="CardDeclined: no funds") as caught:
            refund(session, bank, not_done=(CardDeclined,))
        assert isinstance(caught.value.__cause__, CardDeclined)
        assert session.task("refunds").status == "failed"
        assert store.effects("a") == []
        assert refund(session, bank, not_done=(CardDeclined,)) == {"receipt": "re_17"}
    assert len(bank.paid) == 1


def test_it_is_tried_again_at_once_where_that_is_wanted(store: Store) -> None:
    bank = Bank(CardDeclined(), CardDeclined())
    with store.open("a") as session, session.task("t") as task:
        options = task.options(not_done=(CardDeclined,), retries=2, backoff=0)
        assert options.effect("refund", bank.pay, "17") == {"receipt": "re_17"}
        assert session.raw["perdure.tasks"]["t"]["steps"]["refund"]["attempts"] == 3
    assert len(bank.paid) == 1


def test_what_can_be_repeated_is_tried_again_under_the_same_key(store: Store) -> None:
    bank = Bank(TimeoutError(), TimeoutError())
    with store.open("a") as session, session.task("t") as task:
        with pytest.raises(UnknownOutcome):  # nothing says that it can be
            task.options(retries=2, backoff=0).effect("refund", bank.pay, "17")
        assert len(bank.paid) == 1
        options = task.options(repeatable=True, retries=2, backoff=0, key="t/refund")
        assert options.effect("refund", bank.pay, "17") == {"receipt": "re_17"}
    assert len(bank.paid) == 3
    assert len({key for _, key in bank.paid}) == 1


def test_attempts_of_all_sessions_together_have_a_limit(store: Store) -> None:
    bank = Bank(CardDeclined(), CardDeclined())
    terms: dict[str, Any] = {"not_done": (CardDeclined,), "attempts_max": 2}
    for _ in range(2):
        with pytest.raises(StepFailed), store.open("a") as session, session.task("t") as task:
            task.options(**terms).effect("refund", bank.pay, "17")
    with store.open("a") as session, session.task("t") as task:
        with pytest.raises(StepFailed, match=r"\(2 attempts\): CardDeclined"):
            task.options(**terms).effect("refund", bank.pay, "17")
        assert task.options(key="else", **terms).effect("refund", bank.pay, "17")
    assert len(bank.paid) == 1


def limited(store: Store, bank: Bank, **options: Any) -> Any:
    with store.open("a") as session, session.task("t") as task:
        terms = task.options(key="orders/17", attempts_max=1, **options)
        return terms.effect("refund", bank.pay, "17")


def test_the_last_attempt_may_have_been_performed_and_is_found_out(store: Store) -> None:
    bank = Bank(TimeoutError())
    for repeatable in (False, True):  # no limit is passed
        with pytest.raises(UnknownOutcome):
            limited(store, bank, repeatable=repeatable)
    assert store.open("a").task("t").status == "waiting"
    assert limited(store, bank, reconcile=lambda _: Happened("found")) == "found"
    assert store.open("a").task("t").done
    assert len(bank.paid) == 1


def test_the_last_attempt_is_as_a_person_settled_it(store: Store) -> None:
    bank = Bank(TimeoutError())
    with pytest.raises(UnknownOutcome):
        limited(store, bank)
    store.settle("a", "orders/17", happened=True, result="found", by="ann")
    assert limited(store, bank) == "found"
    assert len(bank.paid) == 1


def test_the_last_attempt_that_was_not_performed_has_failed(store: Store) -> None:
    bank = Bank(TimeoutError())
    with pytest.raises(UnknownOutcome):
        limited(store, bank)
    store.settle("a", "orders/17", happened=False, by="ann")
    for _ in range(2):
        with pytest.raises(StepFailed):
            limited(store, bank)
    assert store.effects("a") == []
    assert len(bank.paid) == 1


def test_an_unknown_outcome_leaves_the_task_waiting_until_a_person_settles_it(store: Store) -> None:
    bank = Bank(TimeoutError("no answer"))
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome) as caught:
            refund(session, bank)
        assert caught.value.effect is not None
        task = session.raw["perdure.tasks"]["refunds"]
        assert (task["status"], task["effect"]) == ("waiting", "orders/17")
        assert task["steps"]["orders/17"]["status"] == "unknown"
        assert "refunds: waits to know what became of orders/17" in str(session.briefing())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        refund(session, bank)
    store.settle("a", "orders/17", happened=True, result={"receipt": "found"}, by="ann")
    with store.open("a") as session:
        assert refund(session, bank) == {"receipt": "found"}
        assert session.task("refunds").status == "done"
        assert "effect" not in session.raw["perdure.tasks"]["refunds"]
    assert len(bank.paid) == 1
    (told,) = store.effects("a")
    assert (told.status, told.by, told.number is None) == ("done", "ann", False)


def test_what_a_person_settled_is_recorded_on_one_branch_alone(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session:
        session.save()
        with pytest.raises(UnknownOutcome):
            refund(session, bank)
    store.fork("a", "other", at=1)
    store.settle("a", "orders/17", happened=True, result="found", by="ann")
    with store.open("a") as session:
        assert refund(session, bank) == "found"
    with store.open("a", branch="other") as session, pytest.raises(AlreadyClaimed, match="ann"):
        refund(session, bank)
    assert len(bank.paid) == 1


def test_what_a_person_settled_as_not_performed_is_performed(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        refund(session, bank)
    store.settle("a", "orders/17", happened=False)
    with store.open("a") as session:
        assert refund(session, bank) == {"receipt": "re_17"}


def test_reconcile_is_asked_on_resume(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        refund(session, bank)
    with store.open("a") as session:
        found = refund(session, bank, reconcile=lambda told: Happened([told.name, told.key]))
    assert found == ["orders/17", bank.paid[0][1]]


def test_work_takes_up_a_task_when_what_it_waits_for_has_come(tmp_path: Path) -> None:
    clock = Clock()
    bank = Bank(TimeoutError())
    done: list[str] = []

    def through(store: Store) -> None:
        with store.open("a") as session:
            session.plan.add_missing(["asks", "sleeps", "pays"])
            for task in session.plan.work():
                try:
                    with task:
                        if task.name == "asks":
                            session.ask("go", {"may": "I?"})
                        if task.name == "sleeps":
                            session.sleep_until("later", timedelta(days=1))
                        if task.name == "pays":
                            task.effect("refund", bank.pay, "17")
                        done.append(task.name)
                except (Waiting, UnknownOutcome):
                    pass

    with Store(tmp_path / "a.db", clock=clock) as store:
        through(store)
        through(store)
        assert done == []
        store.answer("a", "go", True, by="ann")
        through(store)
        assert done == ["asks"]
        clock.advance(2 * 86_400)
        store.settle("a", "pays/refund", happened=True)
        through(store)
        assert sorted(done) == ["asks", "pays", "sleeps"]
    assert len(bank.paid) == 1


def test_a_step_that_calls_an_effect_passes_on_that_nobody_knows(store: Store) -> None:
    bank = Bank(TimeoutError())

    def both(task: Task) -> Any:
        return task.effect("refund", bank.pay, "17")

    with store.open("a") as session:
        with pytest.raises(UnknownOutcome), session.task("t") as task:
            task.step("outer", both, task)
        assert session.task("t").status == "waiting"


def test_what_a_person_settled_of_a_shared_effect_is_recorded_where_it_was_claimed(
    store: Store,
) -> None:
    bank = Bank(TimeoutError())
    terms: dict[str, Any] = {"key": "refund", "claims": "orders/17"}
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome), session.task("t") as task:
            task.effect("refund", bank.pay, "17", **terms)
        assert session.task("t").status == "waiting"

    def work() -> list[Any]:
        results = []
        with store.open("a") as session:
            for task in session.plan.work():
                with task:
                    task.result = task.effect("refund", bank.pay, "17", **terms)
                results.append(task.result)
        return results

    assert work() == []
    store.settle("orders/17", "refund", happened=True, result="found", by="ann")
    assert [work(), work()] == [["found"], []]
    assert len(bank.paid) == 1
