"""Effects of tasks: what is recorded of them, and how a later session goes on (P9)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.bank import Bank, refund

import perdure.agent
from perdure import AsyncStore, Store
from perdure.agent import Happened, current_effect
from perdure.errors import (
    AlreadyClaimed,
    Conflict,
    StepFailed,
    StepRepeated,
    UnknownOutcome,
    UsageError,
)


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
