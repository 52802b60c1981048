"""Effects: claimed, called, recorded; and what is done where the outcome is not known (P9)."""

import asyncio
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from perdure import AsyncStore, Session, Store
from perdure.agent.acts import Call
from perdure.agent.effects import (
    CannotTell,
    DidNotHappen,
    Effect,
    Happened,
    Place,
    Terms,
    current_effect,
    effect,
)
from perdure.errors import (
    AlreadyClaimed,
    EffectRefused,
    NotStorable,
    UnknownOutcome,
    UsageError,
)


class CardDeclined(Exception):
    pass


class Bank:
    """The world: it counts what is done to it."""

    def __init__(self, *problems: BaseException | None) -> None:
        self.paid: list[str] = []
        self._problems = list(problems)

    def pay(self, order: str) -> dict[str, str]:
        problem = self._problems.pop(0) if self._problems else None
        if isinstance(problem, CardDeclined):
            raise problem
        self.paid.append(current_effect().key)
        if problem is not None:
            raise problem
        return {"receipt": f"re_{order}"}


def place(session: Any) -> Place:
    def record(value: Any, now: datetime, told: Effect) -> None:
        session.state["refund"] = {"result": value, "at": now, "key": told.name}

    return Place("refund/pay", record)


def perform(session: Session, bank: Bank, **terms: Any) -> Any:
    call = Call(bank.pay, ("17",))
    return session._act(effect(session, place(session), Terms("orders/17", **terms), call))


def test_an_effect_is_performed_and_recorded_in_two_commits(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
        assert perform(session, bank) == {"receipt": "re_17"}
        assert len(store.history("a")) == 2
        assert store.at("a", 2)["refund"]["result"] == {"receipt": "re_17"}
    assert len(bank.paid) == 1


def test_what_it_returns_is_what_the_next_session_reads_P13(store: Store) -> None:
    class Odd(Bank):
        def pay(self, order: str) -> Any:
            return {"t": (1, 2), "n": {"x": float("inf")}}

    with store.open("a") as session:
        found = perform(session, Odd())
        assert found == {"t": (1, 2), "n": {"x": float("inf")}}
        found["t"] = "edited"
        assert session.state["refund"]["result"]["t"] == (1, 2)


def test_a_branch_that_has_no_record_of_it_is_told_and_given_the_result(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
        perform(session, bank)
    store.rollback("a", 1)
    with (
        store.open("a") as session,
        pytest.raises(AlreadyClaimed, match="'orders/17' was performed by refund/pay") as caught,
    ):
        perform(session, bank)
    assert caught.value.result == {"receipt": "re_17"}
    assert not caught.value.is_running
    assert len(bank.paid) == 1


def test_an_exception_leaves_it_unknown_and_it_is_not_repeated(store: Store) -> None:
    bank = Bank(TimeoutError("no answer"))
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome) as caught:
            perform(session, bank)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert caught.value.effect is not None
        assert caught.value.effect.name == "orders/17"
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
    with store.open("a") as session, pytest.raises(UnknownOutcome, match="refund/pay claimed it"):
        perform(session, bank)
    assert len(bank.paid) == 1


def test_an_exception_that_says_it_was_not_done_releases_the_claim(store: Store) -> None:
    bank = Bank(CardDeclined("no funds"))
    with store.open("a") as session:
        with pytest.raises(CardDeclined):
            perform(session, bank, not_done=(CardDeclined,))
        assert perform(session, bank, not_done=(CardDeclined,)) == {"receipt": "re_17"}
    assert len(bank.paid) == 1


def test_reconcile_finds_out_that_it_happened(store: Store) -> None:
    bank, asked = Bank(TimeoutError()), []

    def ask(told: Effect) -> Any:
        asked.append(told)
        return Happened({"receipt": "found"})

    with store.open("a") as session:
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
        assert perform(session, bank, reconcile=ask) == {"receipt": "found"}
        assert session.state["refund"]["result"] == {"receipt": "found"}
    (told,) = asked
    assert (told.name, told.key) == ("orders/17", bank.paid[0])
    assert (told.about, told.claimed is None) == ("refund/pay", False)
    assert len(bank.paid) == 1


def test_reconcile_finds_out_that_it_did_not_happen(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
        found = perform(session, bank, reconcile=lambda told: DidNotHappen())
        assert found == {"receipt": "re_17"}
    assert len(set(bank.paid)) == 1


def test_reconcile_finds_out_while_others_have_saved_since(store: Store) -> None:
    """What a session knows of claims is as old as its last save; it is not asked for ever."""
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    asked: list[Effect] = []

    def ask(told: Effect) -> Any:
        asked.append(told)
        return DidNotHappen()

    with store.open("a", on_conflict="merge") as session:
        with store.open("a") as other:
            other.state["more"] = 1
        assert perform(session, bank, reconcile=ask) == {"receipt": "re_17"}
    assert len(asked) == 1


def test_reconcile_that_cannot_tell_leaves_it_unknown(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
        with pytest.raises(UnknownOutcome):
            perform(session, bank, reconcile=lambda told: CannotTell())
        with pytest.raises(UsageError, match="reconcile gave True"):
            perform(session, bank, reconcile=lambda told: True)
    assert len(bank.paid) == 1


def test_what_is_repeatable_is_called_again_under_the_same_key(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
        assert perform(session, bank, repeatable=True) == {"receipt": "re_17"}
    assert len(bank.paid) == 2
    assert len(set(bank.paid)) == 1


def test_key_is_the_same_in_a_copy(store: Store) -> None:
    one, two = Bank(), Bank()
    with store.open("a") as session:
        session.save()
    store.copy("a", "b")
    for key, bank in (("a", one), ("b", two)):
        with store.open(key) as session:
            perform(session, bank)
    assert one.paid == two.paid


def test_effects_are_refused_or_stood_in_for(store: Store) -> None:
    bank = Bank()
    refused = pytest.raises(EffectRefused, match=r"refund/pay would perform 'orders/17'")
    with store.open("a", effects="refuse") as session, refused:
        perform(session, bank)
    with store.open("a", effects=lambda told: {"receipt": f"as if {told.name}"}) as session:
        assert perform(session, bank) == {"receipt": "as if orders/17"}
    assert bank.paid == []
    with pytest.raises(UsageError, match="effects is"):
        store.open("a", effects="maybe")  # type: ignore[call-overload]
    with store.open("a") as session:
        assert perform(session, bank) == {"receipt": "re_17"}


def test_a_result_that_cannot_be_stored_is_told_and_not_performed_again(store: Store) -> None:
    class Odd(Bank):
        def pay(self, order: str) -> Any:
            super().pay(order)
            return object()

    bank = Odd()
    with store.open("a") as session:
        with pytest.raises(NotStorable) as caught:
            perform(session, bank)
        assert "performed all the same" in caught.value.__notes__[0]
        with pytest.raises(AlreadyClaimed):
            perform(session, bank)
    assert len(bank.paid) == 1


def test_what_is_unknown_is_told_in_the_briefing(store: Store) -> None:
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, Bank(TimeoutError()))
    with store.open("a") as session:
        text = str(session.briefing())
        assert "## Effects with unknown outcome\n\n- orders/17: claimed " in text
        assert " by refund/pay; find out whether it happened" in text
    store.settle("a", "orders/17", happened=True)
    with store.open("a") as session:
        assert "orders/17" not in str(session.briefing())


def test_current_effect_is_for_inside_of_one() -> None:
    with pytest.raises(UsageError, match="inside the function"):
        current_effect()


def test_async_session_does_the_same(tmp_path: Path) -> None:
    paid: list[str] = []

    async def pay(order: str) -> str:
        await asyncio.sleep(0)
        paid.append(current_effect().key)
        return order

    async def ask(told: Effect) -> Happened:
        return Happened("found")

    async def hang() -> None:
        raise TimeoutError

    async def run() -> list[Any]:
        async with AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            first = effect(session, place(session), Terms("one"), Call(pay, ("17",)))
            found = [await session._act(first)]
            with pytest.raises(UnknownOutcome):
                await session._act(effect(session, place(session), Terms("two"), Call(hang)))
            terms = Terms("two", reconcile=ask)
            found.append(await session._act(effect(session, place(session), terms, Call(hang))))
            return found

    assert asyncio.run(run()) == ["17", "found"]
    assert len(paid) == 1


def test_one_that_another_task_of_the_session_is_at_is_not_performed_again(tmp_path: Path) -> None:
    async def run() -> tuple[int, list[Any]]:
        calls, go = 0, asyncio.Event()

        async def pay() -> str:
            nonlocal calls
            calls += 1
            await go.wait()
            return "paid"

        async with AsyncStore(tmp_path / "a.db") as store, store.open("a") as session:
            made = [
                asyncio.create_task(
                    session._act(effect(session, place(session), Terms("k"), Call(pay)))
                )
                for _ in range(3)
            ]
            await asyncio.wait(made, return_when=asyncio.FIRST_EXCEPTION)
            go.set()
            found = await asyncio.gather(*made, return_exceptions=True)
            return calls, found

    calls, found = asyncio.run(run())
    assert calls == 1
    assert sorted(map(str, found))[-1] == "paid"
    running = [each for each in found if isinstance(each, AlreadyClaimed)]
    assert len(running) == 2
    assert all(each.is_running for each in running)


DIES = """
import os, signal, sys
from perdure import Store
from perdure.agent.acts import Call
from perdure.agent.effects import Terms, effect
from tests.unit.agent.test_effects import place
with Store(sys.argv[1]).open("a") as session:
    def pay():
        open(sys.argv[2], "a").write("paid\\n")
        os.kill(os.getpid(), signal.SIGKILL)
    session._act(effect(session, place(session), Terms("orders/17"), Call(pay)))
"""


def test_a_process_that_died_in_the_call_leaves_it_unknown_P9(tmp_path: Path) -> None:
    path, log = str(tmp_path / "a.db"), tmp_path / "log"
    root = Path(__file__).parents[3]
    died = subprocess.run([sys.executable, "-c", DIES, path, str(log)], cwd=root, check=False)
    assert died.returncode == -signal.SIGKILL
    bank = Bank()
    with Store(path) as store, store.open("a") as session:
        assert session.resumed is not None
        with pytest.raises(UnknownOutcome, match="perdure effects settle a orders/17"):
            perform(session, bank)
        assert perform(session, bank, reconcile=lambda told: Happened("paid")) == "paid"
    assert (log.read_text(), bank.paid) == ("paid\n", [])
