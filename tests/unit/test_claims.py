"""Claims: each made once, whatever becomes of sessions, branches, copies and history (P9)."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import perdure
from perdure import Session, Store, limits
from perdure.core.claims import (
    claimed_of,
    claims_of,
    idempotency_key,
    is_open,
    origin_of,
    roots_of_claims,
)
from perdure.core.codec import pack
from perdure.core.head import Claim, Head, Unknown
from perdure.core.head_bytes import open_head, seal_head, to_wire
from perdure.core.seal import Kind, Place, seal
from perdure.engine import carry, claimed, claims, maintain
from perdure.engine.claims import Settling
from perdure.engine.read import Site, read_head
from perdure.engine.requests import Steps
from perdure.engine.save import HeadMoved, Position, commit


def opened(store: Store, key: str = "a", **options: Any) -> Session:
    session = store.open(key, **options)
    session.state["made"] = True
    session.save()
    return session


def claim(session: Session, key: str) -> tuple[Claim, bool]:
    return session._driver.run(claims.claim_for(session._core, key, "test"))


def settle(session: Session, key: str, claimed: Claim, result: Any) -> None:
    """Save what is unsaved, with the outcome of a claim."""
    body = session._core.stage(settles=(Settling(key, claimed, pack(result)),))
    session._flush("power")
    assert body is not None
    assert body.saved is not None


def head_of(store: Store, key: str = "a") -> Head:
    return store._driver.run(read_head(site(store, key)))


def site(store: Store, key: str = "a") -> Site:
    store._driver.is_made()  # it is opened then, and its id is known
    return Site(store._driver.store_id, key)


def every(store: Store, key: str = "a") -> dict[str, Claim]:
    return store._driver.run(claimed.every(site(store, key), head_of(store, key)))


def result(store: Store, name: str, key: str = "a") -> Any:
    head = head_of(store, key)
    found = store._driver.run(claimed.find(site(store, key), head, name))
    assert found is not None
    return store._driver.run(claimed.result_of(site(store, key), head, found))


def test_an_effect_is_claimed_once_across_sessions(store: Store) -> None:
    one, two = opened(store), store.open("a")
    made, is_ours = claim(one, "orders/17")
    assert is_ours
    for session in (one, two, store.open("a")):
        assert claim(session, "orders/17") == (made, False)
    assert claim(two, "orders/18")[1]
    assert {key: is_open(each) for key, each in every(store).items()} == {
        "orders/17": True,
        "orders/18": True,
    }
    one.close()
    two.close()


def test_a_claim_is_no_conflict_for_those_who_save(store: Store) -> None:
    one, two = opened(store), store.open("a")
    assert claim(two, "k")[1]
    one.state["x"] = 1
    one.save()
    assert claim(two, "other")[1]  # also from where others have saved since
    two.refresh()
    two.state["y"] = 2
    two.save()
    assert set(every(store)) == {"k", "other"}
    one.close()
    two.close()


def test_outcome_and_record_are_one_commit(store: Store) -> None:
    session = opened(store)
    made, _ = claim(session, "k")
    session.state["refunded"] = 40
    settle(session, "k", made, {"id": "re_1"})
    assert result(store, "k") == {"id": "re_1"}
    found = every(store)["k"]
    assert (found.id, found.number, is_open(found)) == (made.id, 2, False)
    assert store.at("a", 2)["refunded"] == 40
    session.close()


def test_outcome_goes_with_the_record_that_a_merge_makes(store: Store) -> None:
    session = opened(store, on_conflict="merge")
    made, _ = claim(session, "k")
    session.state["mine"] = 1
    with store.open("a") as other:
        other.state["theirs"] = 2
    settle(session, "k", made, "done")
    assert store.at("a", 3).plain() == {"made": True, "theirs": 2, "mine": 1}
    assert every(store)["k"].number == 3
    session.close()


def test_outcome_of_a_save_that_lost_stays_unknown_until_it_is_saved(store: Store) -> None:
    session = opened(store)
    made, _ = claim(session, "k")
    session.state["made"] = "mine"
    with store.open("a") as other:
        other.state["made"] = "theirs"
    with pytest.raises(perdure.Conflict):
        settle(session, "k", made, "done")
    assert is_open(every(store)["k"])
    session.refresh()
    session.close()
    assert is_open(every(store)["k"])


def test_outcome_of_a_session_that_forks_off_goes_with_its_branch(store: Store) -> None:
    session = opened(store, on_conflict="fork")
    made, _ = claim(session, "k")
    session.state["made"] = "mine"
    with store.open("a") as other:
        other.state["made"] = "theirs"
    settle(session, "k", made, "done")
    assert session.branch != "main"
    assert result(store, "k") == "done"
    session.close()


def test_rollback_fork_and_deleted_branches_leave_claims_as_they_are(store: Store) -> None:
    with opened(store) as session:
        made, _ = claim(session, "k")
        settle(session, "k", made, 1)
    store.fork("a", "b")
    with store.open("a", branch="b") as session:
        assert claim(session, "k")[1] is False
        assert claim(session, "on b")[1]
    store.rollback("a", 1)
    store.delete_branch("a", "b")
    with store.open("a") as session:
        assert claim(session, "k") == (every(store)["k"], False)
        assert claim(session, "on b")[1] is False


def test_pruning_leaves_claims_as_they_are(store: Store) -> None:
    with opened(store) as session:
        made, _ = claim(session, "k")
        settle(session, "k", made, "x" * 3000)
        for at in range(5):
            session.state["n"] = at
            session.save()
    store.prune(perdure.Retention(keep_last=1), "a")
    store.maintain()
    assert result(store, "k") == "x" * 3000
    assert all(each.ok for each in store.verify())


def test_a_claim_is_released_and_made_anew(store: Store) -> None:
    with opened(store) as session:
        made, _ = claim(session, "k")
        session._driver.run(claims.release_for(session._core, "k", made))
        assert every(store) == {}
        again, is_ours = claim(session, "k")
        assert is_ours
        settle(session, "k", again, 1)
        with pytest.raises(HeadMoved):
            session._driver.run(claims.release_for(session._core, "k", again))


def test_a_person_settles_what_is_unknown(store: Store) -> None:
    with opened(store) as session:
        made, _ = claim(session, "k")
    head = head_of(store)
    position = Position(head, head.token)
    settling = claims.settle(site(store), position, "k", made, pack("sent"), "ann")
    store._driver.run(settling)
    found = every(store)["k"]
    assert (found.by, found.number, result(store, "k")) == ("ann", 0, "sent")
    with pytest.raises(HeadMoved):
        store._driver.run(claims.settle(site(store), position, "k", made, pack(1), "bob"))


def test_a_new_life_of_a_key_has_claims_of_its_own(store: Store) -> None:
    with opened(store) as session:
        claim(session, "k")
    store.delete("a")
    with opened(store) as session:
        assert claim(session, "k")[1]
        assert claim(session, "new")[1]
    store.delete("a")
    store.undelete("a", life=1)
    assert set(every(store)) == {"k"}


@pytest.mark.parametrize("large", [False, True])
def test_many_claims_are_put_into_pages_and_found_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    monkeypatch.setattr(limits, "claim_result_inline_bytes_max", 10)
    session = opened(store)
    store.maintain()  # a snapshot: there is a secret for pages from now on
    for at in range(40):
        made, _ = claim(session, f"k{at}")
        session.state["at"] = at
        settle(session, f"k{at}", made, f"result {at} " * (50 if large else 1))
    unknown, _ = claim(session, "unknown")
    session.close()
    assert len(claims_of(head_of(store))) <= 17
    store.maintain()
    assert len(claims_of(head_of(store))) <= 5
    assert claimed_of(head_of(store)) is not None
    assert list(every(store)) == [*(f"k{at}" for at in range(40)), "unknown"]
    assert every(store)["unknown"].id == unknown.id
    assert result(store, "k3") == "result 3 " * (50 if large else 1)
    with store.open("a") as session:
        assert claim(session, "k3")[1] is False
    assert all(each.ok for each in store.verify())
    assert store.maintain() is not None  # collecting leaves what claims are in
    assert result(store, "k39") == "result 39 " * (50 if large else 1)


def test_copies_exports_and_backups_have_claims_and_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    with Store(tmp_path / "a.db") as store, Store(tmp_path / "b.db") as other:
        with opened(store) as session:
            for at in range(20):
                made, _ = claim(session, f"k{at}")
                settle(session, f"k{at}", made, at)
        store.maintain()
        assert roots_of_claims(head_of(store))
        origin = origin_of(head_of(store))
        assert origin == head_of(store).incarnation
        store.copy("a", "copy")
        store.copy("copy", "second", at=2)
        store.export("a", tmp_path / "a.perdure")
        other.import_(tmp_path / "a.perdure", "imported")
        store.backup(tmp_path / "backup.db")
        with Store(tmp_path / "backup.db") as backup:
            assert every(backup) == every(store)
        for where, key in ((store, "copy"), (store, "second"), (other, "imported")):
            head = head_of(where, key)
            assert (head.incarnation == origin) is (key == "imported")  # it has its id still
            assert origin_of(head) == origin
            assert list(every(where, key)) == [f"k{at}" for at in range(20)]
            assert [result(where, f"k{at}", key) for at in range(20)] == list(range(20))
            with where.open(key) as session:
                assert claim(session, "k7")[1] is False
            assert all(each.ok for each in where.verify())
            assert not any(each.unreferenced for each in where.verify())


def test_idempotency_key_follows_from_origin_and_key() -> None:
    assert idempotency_key(bytes(16), "orders/17") == "37cca8438731e4cdc64cfcf4997c8edb"
    others = {idempotency_key(bytes(15) + b"\1", "orders/17"), idempotency_key(bytes(16), "\ud800")}
    assert len(others) == 2
    assert "37cca8438731e4cdc64cfcf4997c8edb" not in others


def test_what_a_newer_version_wrote_of_a_claim_is_kept_P10(store: Store) -> None:
    with opened(store) as session:
        claim(session, "k")
    head = head_of(store)
    id_ = bytes(store._driver.store_id)
    wire = to_wire(head)
    wire["claims"]["k"].append("newer")
    read = open_head(seal(Kind.HEAD, Place(id_, b"a"), pack(wire)), store=id_, key="a")
    assert claims_of(read) == claims_of(head)
    again = seal_head(replace(read, lines=7), store=id_, key="a")
    unknown = open_head(again, store=id_, key="a").unknown
    assert isinstance(unknown, Unknown)
    assert list(unknown.items.values()) == [["newer"]]


def test_a_claim_whose_answer_was_lost_is_not_made_again_once_a_person_settled_it(
    store: Store,
) -> None:
    session = opened(store)
    made, _ = claim(session, "k")
    session._core.claiming["k"] = made  # as if nobody had said that it stands
    head = head_of(store)
    settling = claims.settle(site(store), Position(head, head.token), "k", made, pack(1), "ann")
    store._driver.run(settling)
    standing, is_ours = claim(session, "k")
    assert not is_ours
    assert standing.by == "ann"
    session.close()


def test_an_outcome_takes_the_place_of_the_claim_of_another_as_a_whole(store: Store) -> None:
    one, two = opened(store), store.open("a")
    made, _ = claim(one, "k")
    claims_again = claims.release_for(two._core, "k", made)  # a person erred: it was under way
    two._driver.run(claims_again)
    assert claim(two, "k")[1]
    one.state["paid"] = True
    settle(one, "k", made, "paid")
    found = every(store)["k"]
    assert (found.id, found.session, found.at_us) == (made.id, made.session, made.at_us)
    assert result(store, "k") == "paid"
    one.close()
    two.close()


def test_pages_of_a_result_that_were_collected_meanwhile_are_not_referred_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_twice = carry.put_twice

    def planted(where: Site, *what: Any) -> Steps[None]:
        yield from put_twice(where, *what)
        yield from maintain.collect(where)

    session = opened(store)
    store.maintain()
    made, _ = claim(session, "k")
    session.state["n"] = 1
    monkeypatch.setattr(claims, "put_twice", planted)
    settle(session, "k", made, "x" * 3000)
    monkeypatch.undo()
    assert result(store, "k") == "x" * 3000
    assert all(each.ok for each in store.verify())
    session.close()


def test_a_large_result_never_makes_the_head_large(store: Store) -> None:
    with opened(store) as session:
        made, _ = claim(session, "k")
        settle(session, "k", made, "x" * 100_000)
    other, _ = claim(store.open("a"), "settled by a person")
    head = head_of(store)
    position = Position(head, head.token)
    large = pack("y" * 100_000)
    key = "settled by a person"
    store._driver.run(claims.settle(site(store), position, key, other, large, "ann"))
    assert len(seal_head(head_of(store), store=bytes(16), key="a")) < 2_000
    assert result(store, "k") == "x" * 100_000
    assert result(store, key) == "y" * 100_000
    store.maintain()
    assert all(each.ok for each in store.verify())


def test_what_a_newer_version_wrote_of_a_claim_is_neither_shelved_nor_left_by_a_copy_P10(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    with opened(store) as session:
        for at in range(12):
            made, _ = claim(session, f"k{at}")
            settle(session, f"k{at}", made, at)
    head = head_of(store)
    told = {("k0", claims_of(head)["k0"].id): ["newer"]}
    newer = replace(head, unknown=Unknown({}, dict(told)))
    store._driver.run(commit(site(store), Position(head, head.token), lambda _: newer))
    store.maintain()
    assert {"k0", "k11"} <= claims_of(head_of(store)).keys()
    assert "k1" not in claims_of(head_of(store))
    store.copy("a", "copy")
    for key in ("a", "copy"):
        unknown = head_of(store, key).unknown
        assert isinstance(unknown, Unknown)
        assert unknown.items == told
        assert list(every(store, key)) == [f"k{at}" for at in range(12)]


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_page_of_claims_that_is_lost_is_made_from_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    path = tmp_path / "a.db"
    with Store(path) as store, opened(store) as session:
        for at in range(12):
            made, _ = claim(session, f"k{at}")
            settle(session, f"k{at}", made, at)
        made, _ = claim(session, "large")
        settle(session, "large", made, "x" * 3000)
        store.maintain()
        claimed = claimed_of(head_of(store))
    assert claimed is not None
    with closing(sqlite3.connect(path)) as database, database:
        lost = {"damaged": "UPDATE pages SET blob = zeroblob(100)", "missing": "DELETE FROM pages"}
        database.execute(f"{lost[how]} WHERE id = ?", (claimed.id,))
    with Store(path) as store:
        assert not store.verify("a")[0].ok
        assert result(store, "k3") == 3
        with store.open("a") as session:
            assert claim(session, "k3")[1] is False
            assert claim(session, "new")[1]
        store.maintain()
        assert store.verify("a")[0].ok


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("rides", [False, True])
def test_a_session_that_ended_is_not_at_its_claims_whoever_ends_after_it(
    store: Store, saves: bool, rides: bool
) -> None:
    opened(store).close()
    with store.open("a") as session:
        if saves:
            session.state["n"] = 1
            session.save()
        claim(session, "k")
        claim(session, "done")
        settle(session, "done", every(store)["done"], 1)
        assert {each.status for each in store.effects("a")} == {"running", "done"}
        if rides:
            session.state["m"] = 1
    with store.open("a") as session:  # its end takes the place of the other's
        session.state["later"] = True
    assert [(each.key, each.status) for each in store.effects("a")] == [
        ("k", "unknown"),
        ("done", "done"),
    ]
    assert store.settle("a", "k", happened=True, result=1).status == "done"


def test_a_session_that_saved_nothing_leaves_no_claim_held(store: Store) -> None:
    opened(store).close()
    with store.open("a") as session:
        claim(session, "k")
    assert [each.status for each in store.effects("a")] == ["unknown"]
    assert len(store.history("a")) == 1
