"""Shared effects whose process died, or whose claim or outcome did not come through (P9)."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.test_effects import Bank
from tests.unit.agent.test_effects_elsewhere import SHARED, here, perform, there
from tests.unit.test_claims import every, head_of, site

from perdure import Store
from perdure.agent.effects import (
    Happened,
)
from perdure.engine import claims, elsewhere
from perdure.engine.save import Position
from perdure.errors import (
    AlreadyClaimed,
    CommitUnknown,
    UnknownOutcome,
)


def test_a_crash_between_both_outcomes_is_recorded_from_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
        monkeypatch.setattr(type(session), "_saved_with", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            perform(session, bank)
        monkeypatch.undo()
        session._document.close()
        session._closed = True
    assert (here(store).status, here(store).result) == ("done", {"receipt": "re_17"})
    assert "refund" not in store.at("a", 1).plain()
    with store.open("a") as session:
        assert perform(session, bank) == {"receipt": "re_17"}
        assert session.state["refund"]["result"] == {"receipt": "re_17"}
    assert here(store).number == 2
    assert len(bank.paid) == 1


def test_a_session_that_ends_leaves_its_claims_there_to_whoever_comes(store: Store) -> None:
    with store.open("a") as session, pytest.raises(UnknownOutcome):
        perform(session, Bank(TimeoutError()))
    assert every(store, SHARED)["refund"].holder == ("", 0, "", "")
    assert every(store)["perdure.in orders/17 refund"].holder == ("", 0, "", "")


def test_a_claim_there_whose_answer_was_lost_is_made_by_the_same_id(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank()
    with store.open("a") as session:
        session.save()
        real = claims.claim

        def lost(where: Any, head: Any, key: str, made: Any, **options: Any) -> Any:
            standing = yield from real(where, head, key, made, **options)
            if where.key == SHARED:
                raise CommitUnknown("lost")
            return standing

        monkeypatch.setattr(claims, "claim", lost)
        with pytest.raises(CommitUnknown):
            perform(session, bank)
        monkeypatch.undo()
        assert perform(session, bank) == {"receipt": "re_17"}
    assert len(bank.paid) == 1


FORKS = """
import os, sys
from perdure import Store
from perdure.errors import AlreadyClaimed
from tests.unit.agent.test_effects import Bank
from tests.unit.agent.test_effects_elsewhere import perform

def child(go):
    os.read(go, 1)
    for key in ("a", "b"):
        try:
            with Store(sys.argv[1]) as store, store.open(key) as session:
                perform(session, Bank())
        except AlreadyClaimed as error:
            if error.is_running or error.result != {"receipt": "re_17"}:
                os._exit(3)
        else:
            os._exit(4)
    os._exit(0)

class Forks(Bank):
    def pay(self, order):
        self.go, self.child = os.pipe(), os.fork()
        if self.child == 0:
            child(self.go[0])
        return super().pay(order)

bank = Forks()
with Store(sys.argv[1]) as store, store.open("a") as session:
    perform(session, bank)
os.write(bank.go[1], b"x")
assert os.waitstatus_to_exitcode(os.waitpid(bank.child, 0)[1]) == 0
"""


def test_a_child_forked_in_the_call_is_told_what_became_of_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", FORKS, str(tmp_path / "a.db")], cwd=root, check=True)


DIES = """
import os, signal, sys
from perdure import Store
from tests.unit.agent.test_effects import Bank
from tests.unit.agent.test_effects_elsewhere import perform
class Dies(Bank):
    def pay(self, order):
        os.kill(os.getpid(), signal.SIGKILL)
with Store(sys.argv[1]).open("a") as session:
    perform(session, Dies())
"""


def test_a_process_that_died_in_the_call_leaves_it_unknown_to_all(tmp_path: Path) -> None:
    path, root = str(tmp_path / "a.db"), Path(__file__).parents[3]
    died = subprocess.run([sys.executable, "-c", DIES, path], cwd=root, check=False)
    assert died.returncode == -signal.SIGKILL
    bank = Bank()
    with Store(path) as store:
        for key in ("b", "a"):
            with store.open(key) as session, pytest.raises(UnknownOutcome):
                perform(session, bank)
        assert (here(store).status, there(store).status) == ("unknown", "unknown")
        with store.open("a") as session:
            assert perform(session, bank, reconcile=lambda told: Happened("paid")) == "paid"
        assert site(store).store
    assert bank.paid == []
    assert os.path.exists(path)


def test_what_could_not_be_recorded_there_is_known_there_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank()

    def lost(*_: Any, **__: Any) -> Any:
        raise CommitUnknown("lost")
        yield

    with store.open("a") as session:
        monkeypatch.setattr(elsewhere, "record_there", lost)
        assert perform(session, bank) == {"receipt": "re_17"}
        monkeypatch.undo()
    assert every(store, SHARED)["refund"].ended_us is None
    assert (there(store).status, there(store).result) == ("done", {"receipt": "re_17"})
    with store.open("b") as session, pytest.raises(AlreadyClaimed) as caught:
        perform(session, bank)
    assert caught.value.result == {"receipt": "re_17"}
    assert every(store, SHARED)["refund"].ended_us is not None  # and it is recorded there now
    assert len(bank.paid) == 1


def test_a_claim_there_that_a_person_released_by_mistake_is_put_back_with_its_outcome(
    store: Store,
) -> None:
    class Erred(Bank):
        def pay(self, order: str) -> Any:
            head = head_of(store, SHARED)
            id_ = every(store, SHARED)["refund"].id
            position = Position(head, head.token)
            store._driver.run(claims.release(site(store, SHARED), position, "main", "refund", id_))
            return super().pay(order)

    bank = Erred()
    with store.open("a") as session:
        perform(session, bank)
    assert (there(store).status, there(store).state) == ("done", "a")
    assert every(store, SHARED)["refund"].elsewhere is None
    with store.open("b") as session, pytest.raises(AlreadyClaimed):
        perform(session, bank)


def test_a_claim_here_that_never_came_to_the_call_is_taken_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the claim here and the claim there: nobody has to find out."""
    bank = Bank()

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt
        yield

    with store.open("a") as session:
        monkeypatch.setattr(elsewhere, "claim_there", dies)
        with pytest.raises(KeyboardInterrupt):
            perform(session, bank)
        monkeypatch.undo()
    first = every(store)["perdure.in orders/17 refund"]
    with store.open("a") as session:
        assert perform(session, bank) == {"receipt": "re_17"}
    second = every(store)["perdure.in orders/17 refund"]
    assert (first.ended_us is None, second.ended_us is None) == (True, False)
    assert first.id != second.id
    assert len(bank.paid) == 1
