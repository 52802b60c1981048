"""A save that finds its branch moved keeps its work on a branch of its own, if asked to."""

import asyncio
from pathlib import Path

import pytest

import perdure
from perdure import errors, limits
from perdure.core.refs import check_branch


@pytest.fixture
def store(tmp_path: Path) -> perdure.Store:
    store = perdure.Store(tmp_path / "agents.db", maintenance="off")
    with store.open("a") as session:
        session.state["log"] = ["begun"]
    return store


def names(store: perdure.Store) -> list[str]:
    return [each.name for each in store.branches("a")]


def test_the_loser_goes_on_on_a_branch_of_its_own_and_is_told_P3(store: perdure.Store) -> None:
    first, second = store.open("a"), store.open("a", on_conflict="fork")
    first.state["log"].append("first")
    first.save()
    second.state["log"].append("second")
    checkpoint = second.save()
    assert (checkpoint.number, checkpoint.branch) == (2, second.branch)
    assert second.branch == f"main-{second.id[:8]}"
    assert isinstance(second.diverged, errors.Conflict)
    assert second.diverged.branch == "main"
    assert [each.number for each in second.diverged.theirs] == [2]
    second.state["log"].append("more")
    second.close()
    first.close()
    assert store.open("a").state["log"] == ["begun", "first"]
    assert store.open("a", branch=second.branch).state["log"] == ["begun", "second", "more"]
    assert store.movements("a")[0].summary() == f"fork of {second.branch} at 1"
    assert all(each.ok for each in store.verify())


def test_the_branch_of_its_own_has_a_name_that_a_branch_may_have(store: perdure.Store) -> None:
    name = "n" * limits.branch_chars_max
    store.fork("a", name)
    session = store.open("a", branch=name, on_conflict="fork")
    for branch in (name, f"{name[: limits.branch_chars_max - 18]}-{session.id[:8]}"):
        assert session.branch == branch
        with store.open("a", branch=branch) as other:
            other.state["log"].append("other")
        session.state["log"].append("mine")
        session.save()
        assert check_branch(session.branch) in names(store)
    session.close()


def test_where_it_was_is_pruned_the_conflict_is_told_with_what_it_had(store: perdure.Store) -> None:
    session = store.open("a", on_conflict="fork")
    for _ in range(4):
        with store.open("a") as other:
            other.state["log"].append("other")
    store.prune(perdure.Retention(keep_last=2), "a")
    session.state["log"].append("mine")
    with pytest.raises(errors.BranchMoved, match="was pruned") as found:
        session.save()
    assert [change.path for change in found.value.mine] == [("log",)]
    assert (session.branch, names(store)) == ("main", ["main"])
    session.refresh()
    session.state["log"].append("again")
    session.close()
    assert store.open("a").state["log"] == ["begun", *["other"] * 4, "again"]


def test_a_session_whose_save_met_nobody_stays_where_it_is(store: perdure.Store) -> None:
    with store.open("a", on_conflict="fork") as session:
        session.state["n"] = 1
    assert (session.branch, session.diverged) == ("main", None)
    assert names(store) == ["main"]


def test_the_edits_at_the_end_of_a_block_are_kept_too(store: perdure.Store) -> None:
    with store.open("a", on_conflict="fork") as session:
        session.state["n"] = 1
        with store.open("a") as other:
            other.state["n"] = 2
    assert session.branch != "main"
    assert store.open("a").state["n"] == 2
    resumed = store.open("a", branch=session.branch)
    assert resumed.state["n"] == 1
    assert resumed.resumed is not None
    assert resumed.resumed.session.id == session.id
    assert resumed.resumed.ended == "closed"


def test_a_rollback_under_a_session_leaves_it_with_its_own_line(store: perdure.Store) -> None:
    session = store.open("a", on_conflict="fork")
    session.state["n"] = 1
    session.save()
    store.rollback("a", to=1)
    session.state["n"] = 2
    assert session.save().number == 3
    assert isinstance(session.diverged, errors.BranchMoved)
    assert "n" not in store.open("a").state
    assert store.at("a", f"{session.branch}@2")["n"] == 1
    session.close()


def test_a_session_may_diverge_again(store: perdure.Store) -> None:
    session = store.open("a", on_conflict="fork")
    branches = [session.branch]
    for n in range(3):
        with store.open("a", branch=session.branch) as other:
            other.state["n"] = n
        session.state["mine"] = n
        session.save()
        branches.append(session.branch)
    assert len(set(branches)) == 4
    assert sorted(names(store)) == sorted(branches)
    session.close()


def test_by_default_nothing_is_forked(store: perdure.Store) -> None:
    first, second = store.open("a"), store.open("a")
    first.state["n"] = 1
    first.save()
    second.state["n"] = 2
    with pytest.raises(errors.Conflict):
        second.save()
    assert names(store) == ["main"]
    second.refresh()


def test_two_that_begin_one_state_cannot_share_what_neither_has(store: perdure.Store) -> None:
    first, second = store.open("new"), store.open("new", on_conflict="fork")
    first.state["n"] = 1
    first.save()
    second.state["n"] = 2
    with pytest.raises(errors.Conflict):
        second.save()
    second.refresh()


def test_a_state_that_was_deleted_is_not_forked(store: perdure.Store) -> None:
    with (
        pytest.raises(errors.StateDeleted),
        store.open("a", on_conflict="fork") as session,
    ):
        store.delete("a")
        session.state["n"] = 1


def test_a_word_that_means_nothing_is_refused(store: perdure.Store) -> None:
    with pytest.raises(errors.UsageError, match="on_conflict is one of 'raise', 'fork', 'merge'"):
        store.open("a", on_conflict="ignore")  # type: ignore[call-overload]


def test_the_same_under_asyncio(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "agents.db") as store:
            async with store.open("a") as session:
                session.state["n"] = 0
            first, second = await store.open("a"), await store.open("a", on_conflict="fork")
            first.state["n"] = 1
            second.state["n"] = 2
            await first.save()
            await first.close()
            await second.save()
            assert second.diverged is not None
            await second.close()
            assert (await store.open("a", branch=second.branch)).state["n"] == 2

    asyncio.run(main())
