"""Sessions that read what was redacted since: nothing of theirs brings it back (P3, P8)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

import pytest
from msgspec.structs import replace
from tests.unit.pruned import require_sound

import perdure
from perdure import errors
from perdure.core.codec import pack
from perdure.core.redaction import wanted
from perdure.engine.claims import claim_for, settle, take_over
from perdure.engine.read import Site, read_head
from perdure.engine.redact import redact
from perdure.engine.requests import Commit
from perdure.engine.save import Position, commit
from perdure.types import EffectInfo

MAIL = "alice@example.com"
MARK = "[redacted]"
Conflicting = Literal["raise", "fork", "merge"]


def begin(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["profile"] = {"email": MAIL}
        session.state["log"] = [f"by {MAIL}"]


def require_gone(store: perdure.Store) -> None:
    found = store.history("a", every=True, changes=True)
    assert MAIL not in repr((found, [store.at("a", each.id).plain() for each in found]))
    assert [each.name for each in store.branches("a")] == ["main"]
    require_sound(store)


@pytest.mark.parametrize("on_conflict", ["raise", "fork", "merge"])
def test_a_save_of_what_was_read_before_is_refused_P8(
    store: perdure.Store, on_conflict: Conflicting
) -> None:
    begin(store)
    session = store.open("a", on_conflict=on_conflict)
    session.state["copied"] = session.state["profile"]["email"]
    store.redact("a", match=MAIL)
    for _ in range(2):
        with pytest.raises(errors.Redacted, match="something was redacted") as caught:
            session.save()
        assert [each.path for each in caught.value.mine] == [("copied",)]
    with pytest.raises(errors.Redacted):
        session.refresh(keep_changes=True)
    require_gone(store)
    session.refresh()
    assert session.state.plain() == {"profile": {"email": MARK}, "log": [f"by {MARK}"]}
    session.state["n"] = 1
    assert session.save() is not None
    session.close()
    require_gone(store)


@pytest.mark.parametrize("on_conflict", ["raise", "fork", "merge"])
def test_a_save_that_only_labels_is_refused_too(
    store: perdure.Store, on_conflict: Conflicting
) -> None:
    begin(store)
    session = store.open("a", on_conflict=on_conflict)
    store.redact("a", match=MAIL)
    with pytest.raises(errors.Redacted):
        session.save(label=f"of {MAIL}")
    require_gone(store)
    session.refresh()
    session.close()
    require_gone(store)


@pytest.mark.parametrize("on_conflict", ["raise", "fork", "merge"])
def test_others_saved_since_the_redaction(store: perdure.Store, on_conflict: Conflicting) -> None:
    begin(store)
    session = store.open("a", on_conflict=on_conflict)
    session.state["copied"] = session.state["profile"]["email"]
    store.redact("a", match=MAIL)
    with store.open("a") as other:
        other.state["n"] = 1
    with pytest.raises(errors.Redacted):
        session.save()
    session.refresh()
    assert session.state["n"] == 1
    session.close()
    require_gone(store)


def test_a_session_without_edits_shows_what_is_there_now(store: perdure.Store) -> None:
    begin(store)
    session = store.open("a")
    assert session.state["log"] == [f"by {MAIL}"]
    store.redact("a", match=MAIL)
    session.refresh(keep_changes=True)
    assert session.state.plain() == {"profile": {"email": MARK}, "log": [f"by {MARK}"]}
    session.close()


def test_what_is_loaded_later_is_what_is_there_now(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["large"] = [f"{number} {MAIL}" for number in range(3000)]
        session.state["n"] = 1
    for number in range(70):
        with store.open("a") as session:
            session.state["n"] = number
    store.maintain("a")
    late = store.open("a")
    assert late.state["n"] == 69
    store.redact("a", match=MAIL)
    assert late.state["large"][7] == f"7 {MARK}"
    late.close()


def test_an_exclusive_session_keeps_its_branch(store: perdure.Store) -> None:
    begin(store)
    session = store.open("a", exclusive=True)
    store.redact("a", match=MAIL)
    session.state["n"] = 1
    with pytest.raises(errors.Redacted):
        session.save()
    session.refresh()
    session.state["n"] = 1
    session.save()
    session.close()
    require_gone(store)


def test_the_error_at_the_end_of_a_block_leaves_a_session_that_can_be_used(
    store: perdure.Store,
) -> None:
    begin(store)
    with pytest.raises(errors.Redacted) as caught, store.open("a") as session:
        session.state["n"] = MAIL
        store.redact("a", match=MAIL)
    left: Any = caught.value.session
    left.refresh()
    left.state["n"] = 2
    left.close()
    assert store.at("a", "main")["n"] == 2
    require_gone(store)


def outcome(store: perdure.Store) -> EffectInfo:
    (found,) = store.effects("a")
    return found


@pytest.mark.parametrize("repeat", [1, 3000])
def test_what_an_effect_gave_is_not_kept_and_that_it_happened_is_P8_P9(
    store: perdure.Store, repeat: int
) -> None:
    """Small results stand in the head, large ones in pages."""
    begin(store)
    session, sent = store.open("a"), []

    def send() -> str:
        store.redact("a", match=MAIL)
        sent.append(session.state["profile"]["email"])
        return f"sent to {MAIL}" * repeat

    with pytest.raises(errors.Redacted) as caught, session.task("mail") as task:
        task.effect("send", send)
    assert caught.value.__notes__[0].endswith(
        "performed all the same, and that is known, but not what it gave, which may have what was "
        "redacted"
    )
    assert (outcome(store).status, outcome(store).result) == ("done", MARK)
    session.refresh()
    session.close()
    with store.open("a") as again, again.task("mail") as task, suppress(errors.AlreadyClaimed):
        task.effect("send", send)
    assert len(sent) == 1
    require_gone(store)
    assert MAIL not in repr(store.effects("a"))


def test_a_large_result_is_kept_under_no_head_that_was_redacted_since_P8(
    store: perdure.Store,
) -> None:
    """Who records an outcome alone may have read the head just before it was redacted."""
    begin(store)
    session = store.open("a")
    driver, core = session._driver, session._core
    claim, _ = driver.run(claim_for(core, "send", "mail"))
    assert core.position is not None
    before = Position(core.position.head, core.position.token)
    store.redact("a", match=MAIL)
    packed, fence = pack(f"sent to {MAIL}" * 3000), before.head.fence
    driver.run(settle(core.site, before, "send", claim, packed, None, is_sure=True, fence=fence))
    assert outcome(store).result == MARK
    require_gone(store)
    session.refresh()
    session.close()


@pytest.mark.parametrize("was_told", [False, True])
def test_the_end_of_a_session_writes_no_name_of_a_branch_back_P8(
    store: perdure.Store, was_told: bool
) -> None:
    begin(store)
    store.fork("a", "alice")
    session = store.open("a", branch="alice")
    session.state["n"] = 1
    session.save()
    store.delete_branch("a", "alice")
    store.redact("a", match="alice")
    if was_told:  # by a session that took this one for dead
        without_marks(store)
    session.close()
    head = store._driver.run(read_head(Site(store._driver.store_id, "a")))
    ends = [each.end for each in head.marks if each.id == session._core.id]
    assert ends == ([] if was_told else ["closed"])
    assert "alice" not in repr(head)


def without_marks(store: perdure.Store) -> None:
    """Let the head know of no session any more."""
    site = Site(store._driver.store_id, "a")
    head = store._driver.run(read_head(site))
    known = Position(head, head.token)
    store._driver.run(commit(site, known, lambda head: replace(head, marks=())))


def test_a_result_that_others_saves_alone_are_in_the_way_of_is_kept(store: perdure.Store) -> None:
    begin(store)
    session = store.open("a")

    def send() -> str:
        with store.open("a") as other:
            other.state["profile"]["n"] = 1
        return "sent"

    with pytest.raises(errors.Conflict) as caught, session.task("mail") as task:
        task.effect("send", send)
    assert caught.value.__notes__ == ["'mail/send' was performed all the same, and that is known"]
    assert (outcome(store).status, outcome(store).result) == ("done", "sent")
    session.refresh()
    session.close()


def test_an_effect_is_neither_claimed_nor_performed_on_what_was_read_before_P8(
    store: perdure.Store,
) -> None:
    begin(store)
    session, sent = store.open("a"), []
    # The claim would say what it is about.
    with pytest.raises(errors.Redacted), session.task(f"write to {MAIL}") as task:
        store.redact("a", match=MAIL)
        task.effect("send", lambda: sent.append(1))
    session.refresh()
    assert not sent
    assert store.effects("a") == []
    session.close()


def test_nor_is_a_claim_taken_over(store: perdure.Store) -> None:
    begin(store)
    first, session = store.open("a"), store.open("a")
    left, is_ours = first._driver.run(claim_for(first._core, "send", "mail"))
    assert is_ours
    first.close()
    store.redact("a", match=MAIL)
    steps = take_over(session._core, "send", left, f"write to {MAIL}")
    with pytest.raises(errors.Redacted):
        session._driver.run(steps)
    assert outcome(store).about == "mail"
    session.close()


def test_saves_while_it_is_planned_are_redacted_as_well(store: perdure.Store) -> None:
    """Others save between its reading and its commit: it begins again, and misses none."""
    begin(store)
    site = Site(store._driver.store_id, "a")
    steps = redact(site, wanted(None, MAIL), None, dry_run=False)
    saved, answer = 0, None
    with suppress(StopIteration):
        while True:
            request = steps.send(answer)
            if isinstance(request, Commit) and saved < 3:
                saved += 1
                with store.open("a") as other:
                    other.state[f"late{saved}"] = MAIL
            answer = store._driver.answer(request)
    assert saved == 3
    (receipt,) = store.movements("a")
    assert receipt.redacted == 4
    require_gone(store)
