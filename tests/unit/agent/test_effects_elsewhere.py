"""Effects that are claimed in a state that many share, whichever of them comes first (P9)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.test_effects import Bank, CardDeclined, place
from tests.unit.test_claims import claim, every, head_of

from perdure import AsyncStore, Session, Store, limits
from perdure.agent.acts import Call
from perdure.agent.effects import (
    DidNotHappen,
    Effect,
    Happened,
    Terms,
    current_effect,
    effect,
)
from perdure.core.claims import idempotency_key
from perdure.errors import (
    AlreadyClaimed,
    EffectRefused,
    InvalidKey,
    PathNotFound,
    StateDeleted,
    TooManyOpen,
    UnknownOutcome,
    UsageError,
)

SHARED = "orders/17"


def perform(session: Any, bank: Bank, **terms: Any) -> Any:
    terms = {"key": "refund", "claims": SHARED, **terms}
    return session._act(effect(session, place(session), Terms(**terms), Call(bank.pay, ("17",))))


def there(store: Store, key: str = SHARED) -> Any:
    return {each.key: each for each in store.effects(key)}["refund"]


def here(store: Store, key: str = "a") -> Any:
    return there(store, key)


def test_many_states_perform_it_once_and_all_get_the_result(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        assert perform(session, bank) == {"receipt": "re_17"}
        assert session.state["refund"]["result"] == {"receipt": "re_17"}
    for key in ("b", "c", "b"):
        with (
            store.open(key) as session,
            pytest.raises(AlreadyClaimed, match="performed by refund/pay of 'a' before") as caught,
        ):
            perform(session, bank)
        assert caught.value.result == {"receipt": "re_17"}
        assert store.effects(key) == []  # it gave its claim back
    assert len(bank.paid) == 1
    assert bank.paid == [idempotency_key(head_of(store, SHARED).incarnation, "refund")]


def test_it_is_told_of_here_and_there(store: Store) -> None:
    with store.open("a") as session:
        perform(session, Bank())
    mine, shared = here(store), there(store)
    assert (mine.key, mine.claims, mine.state, mine.status) == ("refund", SHARED, None, "done")
    assert (shared.key, shared.claims, shared.state, shared.status) == ("refund", None, "a", "done")
    assert mine.result == shared.result == {"receipt": "re_17"}
    assert mine.idempotency_key == shared.idempotency_key
    assert (mine.number, shared.number) == (2, None)
    assert every(store)["perdure.in orders/17 refund"].id == every(store, SHARED)["refund"].id


def test_a_state_that_is_not_there_is_made_with_one_empty_checkpoint(store: Store) -> None:
    with store.open("a") as session:
        perform(session, Bank())
    (only,) = store.history(SHARED)
    assert (only.number, only.label, only.sections) == (1, "made for claims", ())
    assert store.at(SHARED, 1).plain() == {}
    assert [each.key for each in store.states()] == ["a", SHARED]
    assert [each.ended for each in store.sessions(SHARED)] == ["closed"]
    store.copy(SHARED, "copy")
    assert there(store, "copy").result == {"receipt": "re_17"}
    assert all(each.ok for each in store.verify())


def test_four_commits_of_which_two_are_saves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[str] = []
    with store.open(SHARED) as session:
        session.save()
    with store.open("a") as session:
        session.save()
        perform_commit = store._driver._answers
        commit = next(each for each in perform_commit if each.__name__ == "Commit")
        answer = perform_commit[commit]

        def counted(request: Any) -> Any:
            heads.append(request.key)
            return answer(request)

        monkeypatch.setitem(perform_commit, commit, counted)
        perform(session, Bank())
        assert heads == ["a", SHARED, SHARED, "a"]
        assert len(store.history("a")) == 2


def test_sessions_on_the_shared_state_save_on(store: Store) -> None:
    with store.open(SHARED) as shared:
        shared.state["order"] = 17
        shared.save()
        with store.open("a") as session:
            perform(session, Bank())
        shared.state["more"] = 1
        shared.save()
        with store.open("b") as session, pytest.raises(AlreadyClaimed):
            perform(session, Bank())
        shared.state["more"] = 2
    assert len(store.history(SHARED)) == 3
    assert there(store).status == "done"


def test_an_exception_leaves_it_unknown_for_all(store: Store) -> None:
    bank = Bank(TimeoutError("no answer"))
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome, match="perdure effects settle orders/17 refund") as one:
            perform(session, bank)
        assert isinstance(one.value.__cause__, TimeoutError)
        with store.open("b") as other, pytest.raises(UnknownOutcome, match="refund/pay of 'a'"):
            perform(other, bank)
        assert store.effects("b") == []
    assert (here(store).status, there(store).status) == ("unknown", "unknown")
    with store.open("a") as session:
        assert "- refund in orders/17: claimed " in str(session.briefing())
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
    with store.open("b") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    assert len(bank.paid) == 1


def test_who_made_the_unknown_claim_reconciles_it(store: Store) -> None:
    bank, asked = Bank(TimeoutError()), list[Effect]()

    def ask(told: Effect) -> Any:
        asked.append(told)
        return Happened({"receipt": "found"})

    with store.open("a") as session:
        with pytest.raises(UnknownOutcome):
            perform(session, bank)
        assert perform(session, bank, reconcile=ask) == {"receipt": "found"}
        assert session.state["refund"]["result"] == {"receipt": "found"}
    assert here(store).status == there(store).status == "done"
    assert there(store).result == {"receipt": "found"}
    assert asked[0].about == "refund/pay"
    assert len(bank.paid) == 1


def test_another_state_reconciles_it_for_all(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    with store.open("b") as session, pytest.raises(AlreadyClaimed) as caught:
        perform(session, bank, reconcile=lambda told: Happened("found"))
    assert caught.value.result == "found"
    assert (here(store).status, here(store).result) == ("done", "found")
    with store.open("a") as session:
        assert perform(session, bank) == "found"  # it is recorded from there, and not called
        assert session.state["refund"]["result"] == "found"
    assert len(bank.paid) == 1


def test_another_state_finds_out_that_it_did_not_happen_and_performs_it(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    bank.paid.clear()  # the service never got it
    with store.open("b") as session:
        found = perform(session, bank, reconcile=lambda told: DidNotHappen())
        assert found == {"receipt": "re_17"}
    with store.open("a") as session, pytest.raises(AlreadyClaimed, match="of 'b' before"):
        perform(session, bank)
    assert store.effects("a") == []
    assert len(bank.paid) == 1


def test_what_is_repeatable_is_called_again_under_the_same_key(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    with store.open("b") as session:
        assert perform(session, bank, repeatable=True) == {"receipt": "re_17"}
    assert len(bank.paid) == 2
    assert len(set(bank.paid)) == 1


def test_an_exception_that_says_it_was_not_done_releases_both_claims(store: Store) -> None:
    bank = Bank(CardDeclined("no funds"))
    with store.open("a") as session, pytest.raises(CardDeclined):
        perform(session, bank, not_done=(CardDeclined,))
    assert store.effects("a") == store.effects(SHARED) == []
    with store.open("b") as session:
        assert perform(session, bank) == {"receipt": "re_17"}
    assert len(bank.paid) == 1


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize("happened", [True, False])
def test_a_person_settles_it_here_or_there(store: Store, where: str, happened: bool) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    key, shared = ("a", SHARED) if where == "here" else (SHARED, None)
    with pytest.raises(PathNotFound):
        store.settle(key, "refund", happened=True, claims=None if shared else "a")
    info = store.settle(key, "refund", happened=happened, result="sent", by="ann", claims=shared)
    assert info.status == ("done" if happened else "unknown")
    if happened:
        assert (here(store).status, there(store).status) == ("done", "done")
        assert there(store).by == here(store).by == "ann"
        with pytest.raises(AlreadyClaimed):
            store.settle(key, "refund", happened=True, claims=shared)
    bank.paid.clear()
    with store.open("b") as session:
        if happened:
            with pytest.raises(AlreadyClaimed) as caught:
                perform(session, bank)
            assert caught.value.result == "sent"
        else:
            perform(session, bank)
    assert len(bank.paid) == (0 if happened else 1)


def test_a_rollback_tells_of_it_and_it_is_not_repeated(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
        perform(session, bank)
    moved = store.rollback("a", 1)
    assert moved is not None
    assert [(each.key, each.claims) for each in moved.effects] == [("refund", SHARED)]
    with store.open("a") as session, pytest.raises(AlreadyClaimed) as caught:
        perform(session, bank)
    assert caught.value.result == {"receipt": "re_17"}
    with store.open(SHARED) as session:
        session.state["order"] = 17
    moved = store.rollback(SHARED, 1)
    assert moved is not None
    assert moved.effects == ()  # its history has none
    assert there(store).status == "done"
    assert len(bank.paid) == 1


def test_an_effect_of_two_orders_is_two_effects(store: Store) -> None:
    bank = Bank()
    with store.open("a") as session:
        for at in (17, 18):
            perform(session, bank, claims=f"orders/ {at}%")
        with pytest.raises(AlreadyClaimed):
            perform(session, bank, claims="orders/ 18%")
        assert perform(session, bank, claims=None) == {"receipt": "re_17"}
    assert [(each.key, each.claims) for each in store.effects("a")] == [
        ("refund", "orders/ 17%"),
        ("refund", "orders/ 18%"),
        ("refund", None),
    ]
    assert len(set(bank.paid)) == 3


def test_claimed_in_the_state_itself_is_claimed_once(store: Store) -> None:
    bank = Bank()
    with store.open(SHARED) as session:
        perform(session, bank)
        with pytest.raises(AlreadyClaimed):
            perform(session, bank, claims=None)
    with store.open("b") as session, pytest.raises(AlreadyClaimed, match="by refund/pay before"):
        perform(session, bank)
    assert len(store.effects(SHARED)) == 1


def test_a_shared_state_that_was_deleted_takes_no_claim(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    store.delete(SHARED)
    with store.open("b") as session, pytest.raises(StateDeleted, match="'orders/17' was deleted"):
        perform(session, bank)
    assert store.effects("b") == []
    assert here(store).status == "unknown"
    store.undelete(SHARED)
    with store.open("b") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)


def test_a_claim_whose_shared_state_is_another_by_now_stays_unknown(store: Store) -> None:
    bank = Bank(TimeoutError())
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    store.delete(SHARED)
    with store.open(SHARED) as session:
        session.state["anew"] = True
    with store.open("a") as session:
        with pytest.raises(UnknownOutcome, match=r"deleted since.*settle a refund --claims orders"):
            perform(session, bank)
        assert here(store).status == "unknown"
        assert perform(session, bank, reconcile=lambda told: Happened("found")) == "found"
    assert len(bank.paid) == 1
    with store.open("a") as session, pytest.raises(AlreadyClaimed):
        perform(session, bank)


def test_one_process_does_it_once_from_whichever_state(store: Store) -> None:
    found: list[Any] = []

    class Slow(Bank):
        def pay(self, order: str) -> dict[str, str]:
            with store.open("b") as other:
                for terms in ({}, {"repeatable": True}):
                    with pytest.raises(AlreadyClaimed) as caught:
                        perform(other, self, **terms)
                    found.append(caught.value.is_running)
            with store.open(SHARED) as other, pytest.raises(AlreadyClaimed) as caught:
                perform(other, self, claims=None, repeatable=True)
            found.append(caught.value.is_running)
            return super().pay(order)

    bank = Slow()
    with store.open("a") as session:
        perform(session, bank)
    assert found == [True, True, True]
    assert len(bank.paid) == 1
    assert Session._performing == {}


def test_only_so_many_are_open_here_and_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank(*[TimeoutError()] * 5)
    monkeypatch.setattr(limits, "claims_open_max", 3)
    for at in range(3):
        with store.open(f"a{at}") as session, pytest.raises(UnknownOutcome):
            perform(session, bank, key=f"k{at}")
    with store.open("a") as session:
        with pytest.raises(TooManyOpen, match="perdure effects orders/17 --unknown"):
            perform(session, bank)
        assert store.effects("a") == []
    store.settle(SHARED, "k1", happened=False)
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, bank)
    with store.open("b") as session:
        for at in range(3):
            claim(session_saved(session), f"k{at}")
        with pytest.raises(TooManyOpen):
            claim(session, "k3")


def session_saved(session: Any) -> Any:
    session.save()
    return session


def test_stand_ins_and_refusals_claim_nothing(store: Store) -> None:
    bank, told = Bank(), list[Effect]()
    with store.open("a", effects=told.append) as session:
        perform(session, bank)
    with store.open("a", effects="refuse") as session, pytest.raises(EffectRefused):
        perform(session, bank)
    assert (bank.paid, len(told)) == ([], 1)
    assert [each.key for each in store.states()] == ["a"]  # which has the record of the stand-in
    assert store.effects("a") == []


@pytest.mark.parametrize("claims", ["", "\x00", "x" * 2000])
def test_what_is_no_key_of_a_state_is_refused(store: Store, claims: str) -> None:
    with store.open("a") as session, pytest.raises(InvalidKey):
        perform(session, Bank(), claims=claims)


@pytest.mark.parametrize("key", ["perdure.in x y", "perdure.answer x", "x" * 2000])
def test_what_is_no_key_of_an_effect_is_refused(store: Store, key: str) -> None:
    with store.open("a") as session, pytest.raises(UsageError):
        perform(session, Bank(), key=key)


def test_large_results_are_in_pages_of_both(store: Store) -> None:
    class Large(Bank):
        def pay(self, order: str) -> Any:
            super().pay(order)
            return "x" * 100_000

    bank = Large()
    with store.open("a") as session:
        assert perform(session, bank) == "x" * 100_000
    with store.open("b") as session, pytest.raises(AlreadyClaimed) as caught:
        perform(session, bank)
    assert caught.value.result == "x" * 100_000
    store.maintain()
    assert here(store).result == there(store).result == "x" * 100_000
    assert all(each.ok for each in store.verify())


def test_async_sessions_race_for_it(tmp_path: Path) -> None:
    paid: list[str] = []

    async def pay() -> str:
        paid.append(current_effect().about)
        await asyncio.sleep(0.01)
        return "paid"

    async def one(store: AsyncStore, key: str) -> Any:
        async with store.open(key) as session:
            terms = Terms("refund", claims=SHARED)
            return await session._act(effect(session, place(session), terms, Call(pay)))

    async def run() -> list[Any]:
        async with AsyncStore(tmp_path / "a.db") as store:
            racers = (one(store, f"agents/{at}") for at in range(8))
            return await asyncio.gather(*racers, return_exceptions=True)

    found = asyncio.run(run())
    assert [each for each in found if not isinstance(each, AlreadyClaimed)] == ["paid"]
    assert len(paid) == 1
