"""Effects of tasks: what is recorded of them, and how a later session goes on (P9)."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import perdure.agent
from perdure import AsyncStore, Session, Store
from perdure.agent import Happened, Task, current_effect
from perdure.errors import (
    AlreadyClaimed,
    Conflict,
    StepFailed,
    StepRepeated,
    UnknownOutcome,
    UsageError,
    Waiting,
)
from perdure.testing.clock import Clock


class CardDeclined(Exception):
    pass


class Bank:
    """The world: it counts what is done to it."""

    def __init__(self, *problems: Exception | None) -> None:
        self.paid: list[tuple[str, str]] = []
        self._problems = list(problems)

    def pay(self, order: str) -> dict[str, str]:
        problem = self._problems.pop(0) if self._problems else None
        if isinstance(problem, CardDeclined):
            raise problem
        self.paid.append((order, current_effect().key))
        if problem is not None:
            raise problem
        return {"receipt": f"re_{order}"}


def refund(session: Session, bank: Bank, name: str = "refunds", **options: Any) -> Any:
    with session.task(name) as task:
        return task.effect("refund", bank.pay, "17", key="orders/17", **options)


def test_an_effect_is_two_saves_and_later_sessions_are_given_its_result(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session, session.task("refunds") as task:
        session.save()
        before = session.checkpoint.number if session.checkpoint else 0
        assert task.effect("refund", bank.pay, "17", key="orders/17") == {"receipt": "re_17"}
        assert session.checkpoint is not None
        assert session.checkpoint.number == before + 1  # the claim is no checkpoint
    with store.open("a") as session, session.task("more") as task:
        record = session.raw["perdure.tasks"]["refunds"]["steps"]["orders/17"]
        assert (record["status"], record["effect"]) == ("done", "orders/17")
        with pytest.raises(AlreadyClaimed) as caught:
            task.effect("refund", bank.pay, "17", key="orders/17")
        assert caught.value.result == {"receipt": "re_17"}
    assert [order for order, _ in bank.paid] == ["17"]


def test_a_task_that_is_entered_again_is_given_what_it_recorded(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session, pytest.raises(RuntimeError), session.task("refunds") as task:
        task.effect("refund", bank.pay, "17")
        raise RuntimeError
    with store.open("a") as session, session.task("refunds") as task:
        assert task.effect("refund", bank.pay, "17") == {"receipt": "re_17"}
        with pytest.raises(StepRepeated):
            task.effect("refund", bank.pay, "17")
    assert len(bank.paid) == 1
    assert [effect.key for effect in store.effects("a")] == ["refunds/refund"]


def test_the_default_key_is_of_that_task_and_step_alone(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        for task_name, step_name in (("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c")):
            with session.task(task_name) as task:
                task.effect(step_name, bank.pay, "1")
    assert len({key for _, key in bank.paid}) == 3


def test_options_that_may_be_the_functions_are_refused(store: Store) -> None:
    calls: list[Any] = []
    with store.open("a") as session, session.task("t") as task:

        def put(key: str) -> None:
            calls.append(key)

        for function in (put, lambda **rest: calls.append(rest)):
            with pytest.raises(UsageError, match=r"task\.options\(key=…\)\.effect"):
                task.effect("put", function, key="orders/17")
        assert calls == []
        task.options(key="orders/17").effect("put", put, key="mine")
        assert calls == ["mine"]
    assert [effect.key for effect in store.effects("a")] == ["orders/17"]


def test_options_of_the_other_kind_are_refused(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        with pytest.raises(UsageError, match="give what is to be done once more"):
            task.options(version=2).effect("pay", int)
        with pytest.raises(UsageError, match="are for an action on the world"):
            task.options(repeatable=True).step("parse", int)
        with pytest.raises(UsageError, match="not_done= is a tuple of types"):
            task.options(not_done=("CardDeclined",)).effect("pay", int)  # type: ignore[arg-type]


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


def test_edits_that_follow_are_in_the_checkpoint_of_the_record(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        refund(session, bank, apply=lambda found: session.state.update(receipt=found["receipt"]))
    history = list(store.history("a"))
    states = [store.at("a", each.number).plain() for each in history]
    done = [
        "orders/17" in (state.get("perdure.tasks", {}).get("refunds", {}).get("steps") or {})
        for state in states
    ]
    assert done == ["receipt" in state for state in states]
    assert any(done)


def test_edits_that_fail_are_made_again_and_the_action_is_not(store: Store) -> None:
    bank, problems = Bank(), [KeyError("receipts")]

    def keep(found: Any) -> None:
        session.state["half"] = True
        if problems:
            raise problems.pop()
        session.state["receipt"] = found["receipt"]

    with store.open("a") as session:
        with pytest.raises(StepFailed, match="KeyError"):
            refund(session, bank, apply=keep)
        assert "half" not in session.state
    assert [effect.status for effect in store.effects("a")] == ["done"]
    with store.open("a") as session:
        assert refund(session, bank, apply=keep) == {"receipt": "re_17"}
        assert session.state["receipt"] == "re_17"
    assert len(bank.paid) == 1


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


def test_a_function_can_be_an_effect_wherever_it_is_called(store: Store) -> None:
    bank = Bank()

    @perdure.agent.effect(key=lambda order: f"orders/{order}")
    def pay(order: str) -> dict[str, str]:
        return bank.pay(order)

    with store.open("a") as session, session.task("refunds"):
        assert [pay("17"), pay("18")] == [{"receipt": "re_17"}, {"receipt": "re_18"}]
    with pytest.raises(UsageError, match="runs in no task"):
        pay("19")
    assert [effect.key for effect in store.effects("a")] == ["orders/17", "orders/18"]


def test_async_tasks_do_the_same(tmp_path: Path) -> None:
    paid: list[str] = []

    async def pay(order: str) -> str:
        await asyncio.sleep(0)
        paid.append(current_effect().key)
        if order == "lost":
            raise TimeoutError
        return order

    async def run() -> None:
        store = AsyncStore(tmp_path / "a.db")
        async with store, store.open("a") as session, session.task("t") as task:
            assert await task.effect("refund", pay, "17", key="orders/17") == "17"
            with pytest.raises(UnknownOutcome):
                await task.effect("lose", pay, "lost")
            options = task.options(reconcile=lambda told: Happened("found"), key="t/lose")
            assert await options.effect("lose", pay, "lost") == "found"

    asyncio.run(run())
    assert len(set(paid)) == 2


def test_a_step_that_calls_an_effect_passes_on_that_nobody_knows(store: Store) -> None:
    bank = Bank(TimeoutError())

    def both(task: Task) -> Any:
        return task.effect("refund", bank.pay, "17")

    with store.open("a") as session:
        with pytest.raises(UnknownOutcome), session.task("t") as task:
            task.step("outer", both, task)
        assert session.task("t").status == "waiting"


def test_many_states_perform_it_once_among_them(store: Store) -> None:
    bank = Bank()

    def pay(name: str) -> Any:
        with store.open(name) as session, session.task("refunds") as task:
            return task.effect("refund", bank.pay, "17", key="refund", claims="orders/17")

    assert pay("a") == {"receipt": "re_17"}
    with pytest.raises(AlreadyClaimed, match="'refund' in 'orders/17'") as caught:
        pay("b")
    assert caught.value.result == {"receipt": "re_17"}
    assert len(bank.paid) == 1
    with store.open("a") as session:
        assert session.raw["perdure.tasks"]["refunds"]["steps"]["refund"]["status"] == "done"


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


def test_an_outcome_that_others_were_before_is_known_all_the_same(store: Store) -> None:
    paid: list[str] = []

    def pay() -> str:
        paid.append("17")
        with store.open("a") as other:
            other.state["x"] = len(paid)
        return "paid"

    with store.open("a") as session:
        session.save()
        with pytest.raises(Conflict) as caught, session.task("t") as task:
            task.effect("refund", pay, key="orders/17")
        assert "was performed all the same" in caught.value.__notes__[0]
        session.refresh()
    (told,) = store.effects("a")
    assert (told.status, told.result) == ("done", "paid")
    with store.open("a") as session, session.task("t") as task:
        assert task.effect("refund", pay, key="orders/17") == "paid"
    assert paid == ["17"]


def test_a_function_that_the_session_cannot_call_leaves_nothing_unknown(store: Store) -> None:
    async def pay() -> str:
        return "paid"

    with store.open("a") as session:
        with pytest.raises(UsageError, match="coroutine"), session.task("t") as task:
            task.effect("refund", pay)
        assert store.effects("a") == []
        with session.task("t") as task:
            assert task.effect("refund", lambda: "paid") == "paid"


def test_what_a_step_gave_is_no_outcome_of_an_effect(store: Store) -> None:
    with store.open("a") as session, session.task("t") as task:
        task.step("notify", lambda: "draft")
        task.effect("send", lambda: "sent")
    with store.open("a") as session, session.task("t") as task:
        with pytest.raises(UsageError, match="has done 'notify' as a step"):
            task.effect("notify", lambda: "sent")
        with pytest.raises(UsageError, match="'send' as an action on the world"):
            task.step("send", lambda: "draft")
