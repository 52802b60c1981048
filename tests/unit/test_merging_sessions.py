"""A save that comes second is merged onto what others saved, if asked to: both are kept (P3)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.merging import begin, elsewhere, is_as_stored, merging, stored

import perdure
from perdure import errors
from perdure.core.codec import pack


@pytest.fixture
def store(tmp_path: Path) -> Iterator[perdure.Store]:
    with perdure.Store(tmp_path / "agents.db", maintenance="off") as store:
        begin(store)
        yield store


# ---- both are kept --------------------------------------------------------------------------


def test_both_sides_edits_are_saved_and_shown_P3_P13(store: perdure.Store) -> None:
    session = merging(store)
    elsewhere(store, lambda state: state["facts"].update(theirs=1))
    session.state["facts"]["ours"] = 2
    checkpoint = session.save(label="second")
    assert (checkpoint.number, checkpoint.label, checkpoint.branch) == (3, "second", "main")
    assert stored(store)["facts"] == {"x": {"n": 1}, "theirs": 1, "ours": 2}
    assert is_as_stored(store, session)
    (newest,) = store.history("a", limit=1, changes=True)
    assert newest.changes == (perdure.Set(("facts", "ours"), 2),)
    assert all(each.ok for each in store.verify())


def test_a_checkpoint_tells_what_it_was_merged_with(store: perdure.Store) -> None:
    session = merging(store)
    session.state["log"].append("alone")
    assert session.save().merged is None
    elsewhere(store, lambda state: state["facts"].update(theirs=1))
    session.state["facts"]["ours"] = 2
    merged = session.save().merged
    history = store.history("a")
    assert [each.merged for each in history] == [merged, None, None, None]
    assert merged == history[1].id
    session.state["log"].append("again")
    assert session.save().merged is None


def test_where_no_section_was_touched_by_both_theirs_are_taken_in(store: perdure.Store) -> None:
    session = merging(store)
    facts, step = session.state["facts"], session.state["plan"]
    elsewhere(store, lambda state: state["log"].append("theirs"))
    facts["ours"], step["step"] = 2, 5
    checkpoint = session.save()
    assert checkpoint.merged == store.history("a")[1].id
    assert session.state["log"] == ["begun", "theirs"]
    facts["more"] = 3  # still attached
    session.save()
    assert is_as_stored(store, session)


def test_containers_whose_place_was_left_alone_stay_attached(store: perdure.Store) -> None:
    session = merging(store)
    old, facts = session.state["facts"]["x"], session.state["facts"]
    facts["ours"] = {"n": 2}
    ours = facts["ours"]
    elsewhere(store, lambda state: state["facts"].update(theirs={"n": 3}))
    session.save()
    assert list(facts) == ["x", "theirs", "ours"]  # theirs were first, and nothing was replaced
    old["n"], ours["n"] = 4, 5
    session.save()
    assert stored(store)["facts"] == {"x": {"n": 4}, "theirs": {"n": 3}, "ours": {"n": 5}}
    assert is_as_stored(store, session)


def test_what_others_replaced_refuses_edits(store: perdure.Store) -> None:
    session = merging(store, facts="theirs")
    old = session.state["facts"]["x"]
    elsewhere(store, lambda state: state["facts"].update(x=[1]))
    old["n"] = 4
    session.save()
    assert stored(store)["facts"] == {"x": [1]}
    with pytest.raises(errors.Detached):
        old["n"] = 5
    assert is_as_stored(store, session)


def test_runs_that_both_appended_stay_whole_and_in_the_order_of_saves(
    store: perdure.Store,
) -> None:
    sessions = [merging(store, log="append") for _ in range(2)]
    for turn in range(3):
        for name, session in zip("ab", sessions):
            session.state["log"] += [f"{name}{turn}", f"{name}{turn}!"]
            session.save()
    wanted = [f"{name}{turn}{mark}" for turn in range(3) for name in "ab" for mark in ("", "!")]
    assert stored(store)["log"] == ["begun", *wanted]
    sessions[0].refresh(keep_changes=True)
    assert all(is_as_stored(store, session) for session in sessions)


def test_what_both_appended_alike_was_appended_once(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["text"] = "begun"
    sessions = [merging(store, log="append", text="append") for _ in range(2)]
    for session in sessions:
        session.state["log"].append("retry")
        session.state["text"] += ", retried"
        session.save()
    assert stored(store)["log"] == ["begun", "retry"]
    assert stored(store)["text"] == "begun, retried"
    assert all(is_as_stored(store, session) for session in sessions)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("ours", 3),
        ("theirs", 2),
        ("counter", 4),
        (lambda base, ours, theirs: [base, ours, theirs], [1, 3, 2]),
    ],
)
def test_ours_is_what_the_session_did(store: perdure.Store, strategy: Any, wanted: Any) -> None:
    session = merging(store, plan__step=strategy)
    elsewhere(store, lambda state: state["plan"].update(step=2))
    session.state["plan"]["step"] = 3
    session.save()
    assert stored(store)["plan"] == {"step": wanted}
    assert is_as_stored(store, session)


def test_a_window_is_merged_at_its_true_positions(store: perdure.Store) -> None:
    elsewhere(store, lambda state: state.update(log=[{"n": n} for n in range(10)]))
    session = store.open("a", on_conflict="merge", strategies={"log": "append"}, windows={"log": 3})
    held = session.state["log"][-1]
    elsewhere(store, lambda state: state["log"].insert(0, "first") or state["log"].append("theirs"))
    session.state["log"].append("ours")
    held["n"] = "nine"
    session.save()
    wanted = ["first", *({"n": n} for n in range(9)), {"n": "nine"}, "theirs", "ours"]
    assert stored(store)["log"] == wanted
    assert session.state["log"] == wanted[-5:]
    assert (session.length("log"), session.window("log")) == (13, wanted)


def test_sections_that_are_not_loaded_take_part(store: perdure.Store) -> None:
    session = merging(store)
    elsewhere(store, lambda state: [state["log"].append("theirs"), state["facts"].update(y=1)])
    session.state["facts"]["z"] = 2
    session.save()
    assert is_as_stored(store, session)
    assert session.state["log"] == ["begun", "theirs"]


def test_new_states_and_sections_of_two_sessions_are_merged(store: perdure.Store) -> None:
    sessions = [store.open("new", on_conflict="merge") for _ in range(2)]
    for name, session in zip("ab", sessions):
        session.state.setdefault("both", {})[name] = {"n": 1}
        session.state[name] = [name]
    held = sessions[1].state["both"]["b"]
    assert [session.save().number for session in sessions] == [1, 2]
    held["n"] = 2
    sessions[1].save()
    assert stored(store, "new") == {"both": {"a": {"n": 1}, "b": {"n": 2}}, "a": ["a"], "b": ["b"]}
    assert is_as_stored(store, sessions[1])


def test_a_save_of_which_nothing_is_left_adds_no_checkpoint(store: perdure.Store) -> None:
    session = merging(store)
    for state in (session.state, None):
        if state is None:
            elsewhere(store, lambda state: state["plan"].update(step=7))
        else:
            state["plan"]["step"] = 7
    assert session.save().number == 2
    assert [each.number for each in store.history("a")] == [2, 1]
    session.state["plan"]["step"] = 8
    assert session.save().number == 3
    elsewhere(store, lambda state: state["plan"].update(step=9))
    session.state["plan"]["step"] = 9
    assert session.save(label="kept").number == 5  # it was asked for by name
    assert is_as_stored(store, session)


def test_the_end_of_a_session_merges(store: perdure.Store) -> None:
    with merging(store, log="append") as session:
        session.state["log"].append("ours")
        elsewhere(store, lambda state: state["log"].append("theirs"))
    assert stored(store)["log"] == ["begun", "theirs", "ours"]
    assert pack(session.state.plain()) == pack(stored(store))
    assert store.sessions("a")[0].ended == "closed"
    with pytest.raises(errors.Detached):
        session.state["log"].append("late")


def test_edits_made_between_saves_are_no_part_of_what_comes_second(store: perdure.Store) -> None:
    session = merging(store)
    elsewhere(store, lambda state: state["log"].append("theirs"))
    with session.atomic():
        session.state["plan"]["step"] = 2
    with pytest.raises(ZeroDivisionError), session.atomic():
        session.state["plan"]["step"] = 1 / 0
    session.save()
    assert stored(store)["plan"] == {"step": 2}
    assert is_as_stored(store, session)


def test_edits_behind_the_containers_backs_are_found_as_ever(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off", check_edits=True) as store:
        begin(store)
        session = merging(store)
        session.state["facts"]["ours"] = {"n": 1}
        elsewhere(store, lambda state: state["facts"].update(theirs=1))
        session.save()
        assert is_as_stored(store, session)
        session.state["facts"]["ours"]["n"] = 2
        session.save()
        assert is_as_stored(store, session)


def test_a_merge_of_branches_does_not_take_it_for_one_of_its_own(store: perdure.Store) -> None:
    store.fork("a", "side")
    session = merging(store)
    elsewhere(store, lambda state: state["facts"].update(theirs=1))
    session.state["facts"]["ours"] = 2
    session.save()
    with store.open("a", branch="side") as other:
        other.state["plan"]["step"] = 9
    merge = store.merge("a", "side")
    assert merge is not None
    assert merge.base == 1
    assert stored(store)["plan"] == {"step": 9}


# ---- conflicts ------------------------------------------------------------------------------


def clashing(store: perdure.Store) -> perdure.Session:
    session = merging(store)
    elsewhere(store, lambda state: state["plan"].update(step="theirs"))
    session.state["plan"]["step"] = "ours"
    session.state["log"].append("ours")
    return session


def test_an_overlap_is_told_and_nothing_is_lost(store: perdure.Store) -> None:
    session = clashing(store)
    with pytest.raises(errors.MergeConflicts, match=r"session\.strategies") as caught:
        session.save(label="mine")
    (conflict,) = caught.value.conflicts
    assert conflict.path == ("plan", "step")
    assert (conflict.base, conflict.ours, conflict.theirs) == (1, "ours", "theirs")
    assert session.state["plan"] == {"step": "ours"}
    assert len(session.changes()) == 2
    assert [each.number for each in store.history("a")] == [2, 1]
    session.state["more"] = 1  # it goes on
    session.strategies["plan/step"] = "ours"
    checkpoint = session.save()
    assert (checkpoint.number, store.history("a")[1].label) == (4, "mine")
    assert stored(store)["plan"] == {"step": "ours"}
    assert is_as_stored(store, session)


def test_a_refresh_that_gives_edits_up_is_a_way_out(store: perdure.Store) -> None:
    session = clashing(store)
    with pytest.raises(errors.MergeConflicts):
        session.save()
    session.refresh()
    assert is_as_stored(store, session)
    assert session.state["plan"] == {"step": "theirs"}
    session.state["log"].append("again")
    assert session.save().merged is None


def test_an_edit_to_their_value_is_a_way_out(store: perdure.Store) -> None:
    session = clashing(store)
    with pytest.raises(errors.MergeConflicts):
        session.save()
    session.state["plan"]["step"] = "theirs"
    session.save()
    assert is_as_stored(store, session)
    assert session.state["log"] == ["begun", "ours"]


def test_a_conflict_at_the_end_leaves_the_session_open(store: perdure.Store) -> None:
    with pytest.raises(errors.MergeConflicts) as caught, clashing(store):
        pass
    session = caught.value.session
    session.strategies["plan"] = "theirs"
    session.close()
    assert stored(store)["plan"] == {"step": "theirs"}
    assert stored(store)["log"] == ["begun", "ours"]


def test_a_refresh_that_keeps_edits_merges_without_saving(store: perdure.Store) -> None:
    session = merging(store)
    elsewhere(store, lambda state: state["facts"].update(theirs=1))
    session.state["facts"]["ours"] = 2
    checkpoint = session.refresh(keep_changes=True)
    assert checkpoint is not None
    assert checkpoint.number == 2
    assert session.state["facts"] == {"x": {"n": 1}, "theirs": 1, "ours": 2}
    assert session.changes() == [perdure.Set(("facts", "ours"), 2)]
    checkpoint = session.save()
    assert (checkpoint.number, checkpoint.merged) == (3, store.history("a")[1].id)
    assert is_as_stored(store, session)


def test_a_function_that_fails_leaves_all_as_it_is(store: perdure.Store) -> None:
    session = merging(store, plan__step=lambda base, ours, theirs: ours / theirs)
    elsewhere(store, lambda state: state["plan"].update(step=0))
    session.state["plan"]["step"] = 3
    with pytest.raises(ZeroDivisionError):
        session.save()
    assert session.state["plan"] == {"step": 3}
    session.strategies["plan/step"] = "counter"
    session.save()
    assert stored(store)["plan"] == {"step": 2}


def test_strategies_are_checked_when_the_session_is_opened(store: perdure.Store) -> None:
    with pytest.raises(errors.UsageError, match="no merge strategy 'oars'"):
        merging(store, log="oars")
    with pytest.raises(errors.UsageError, match='on_conflict="merge"'):
        store.open("a", strategies={"log": "append"})


# ---- where it is no matter of merging -------------------------------------------------------


def test_a_branch_that_was_moved_is_told_as_ever_P3(store: perdure.Store) -> None:
    elsewhere(store, lambda state: state["log"].append("more"))
    session, labelled = merging(store), merging(store)
    store.rollback("a", to=1)
    session.state["facts"]["ours"] = 2
    with pytest.raises(errors.BranchMoved):
        session.save()
    assert len(session.changes()) == 1
    session.refresh()
    assert is_as_stored(store, session)
    with pytest.raises(errors.BranchMoved):
        labelled.save(label="of nothing")
    labelled.refresh()
    assert is_as_stored(store, labelled)


def test_a_branch_that_was_moved_on_from_there_is_merged_with(store: perdure.Store) -> None:
    session = merging(store)
    store.fork("a", "side")
    with store.open("a", branch="side") as other:
        other.state["facts"]["theirs"] = 1
    store.promote("a", "side")
    session.state["facts"]["ours"] = 2
    assert session.save().number == 3
    assert stored(store)["facts"] == {"x": {"n": 1}, "theirs": 1, "ours": 2}
    assert is_as_stored(store, session)


def test_a_state_that_was_deleted_is_told_as_ever(store: perdure.Store) -> None:
    session = merging(store)
    store.delete("a")
    session.state["facts"]["ours"] = 2
    with pytest.raises(errors.StateDeleted):
        session.save()
    store.undelete("a")
    session.save()
    assert is_as_stored(store, session)


def test_a_branch_held_exclusively_is_told_as_ever(store: perdure.Store) -> None:
    session = merging(store)
    session.state["facts"]["ours"] = 2
    with store.open("a", exclusive=True) as holder:
        holder.state["facts"]["theirs"] = 1
        holder.save()
        with pytest.raises(errors.Busy):
            session.save()
    session.save()
    assert stored(store)["facts"] == {"x": {"n": 1}, "theirs": 1, "ours": 2}


# ---- under asyncio --------------------------------------------------------------------------


def test_sessions_under_asyncio_merge_too(store: perdure.Store) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(store.url, maintenance="off") as aio:
            options: Any = {"on_conflict": "merge", "strategies": {"log": "append"}}
            sessions = [await aio.open("a", **options) for _ in range(2)]

            async def work(session: Any, name: str) -> None:
                for number in range(10):
                    session.state["log"].append(f"{name}{number}")
                    session.state.setdefault(name, []).append(number)
                    await session.save()

            await asyncio.gather(*(work(each, name) for each, name in zip(sessions, "ab")))
            for session in sessions:
                await session.refresh(keep_changes=True)
                assert pack(session.state.plain()) == pack(stored(store))
                await session.close()

    asyncio.run(main())
    kept = stored(store)
    assert kept["a"] == kept["b"] == list(range(10))
    for name in "ab":
        mine = [each for each in kept["log"] if each.startswith(name) and each != "begun"]
        assert mine == [f"{name}{number}" for number in range(10)]


def test_edits_made_while_a_merge_is_under_way_are_kept(store: perdure.Store) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(store.url, maintenance="off") as aio:
            options: Any = {"on_conflict": "merge", "strategies": {"**": "append"}}
            session = await aio.open("a", **options)
            facts = session.state["facts"]
            for turn in range(20):
                elsewhere(store, lambda state: state["facts"].update({f"t{turn}": [turn]}))  # noqa: B023
                facts[f"o{turn}"] = [turn]
                saving = asyncio.create_task(session.save())
                while not saving.done():
                    facts["late"] = facts.get("late", 0) + 1
                    session.state["log"].append(facts["late"])
                    await asyncio.sleep(0)
                await saving
            await session.save()
            assert pack(session.state.plain()) == pack(stored(store))
            assert stored(store)["log"] == ["begun", *range(1, facts["late"] + 1)]
            await session.close()

    asyncio.run(main())
    facts = stored(store)["facts"]
    for turn in range(20):
        assert facts[f"o{turn}"] == facts[f"t{turn}"] == [turn]
