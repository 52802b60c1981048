"""Versions that change while a session is open: nothing is saved over a migration."""

from __future__ import annotations

from typing import Any

import pytest
from tests.evolution import newest, version

import perdure
from perdure import errors


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_a_session_does_not_save_over_a_migration(
    old_state: perdure.Store, v1: type[Any], v2: type[Any], on_conflict: Any
) -> None:
    session = old_state.open("a", schema=v1, on_conflict=on_conflict)
    session.state.topic = "bees"
    with old_state.open("a", schema=v2) as other:
        other.save()
    with pytest.raises(errors.SchemaChanged, match="from version 1 of Research to 2"):
        session.save()
    with pytest.raises(errors.SchemaChanged, match="from version 1 of Research to 2"):
        session.refresh(keep_changes=True)
    assert [each.path for each in session.changes()] == [("topic",)]
    with pytest.raises(errors.SchemaChanged):
        session.close()
    with pytest.raises(errors.SchemaChanged):
        session.refresh()
    assert session.changes() == []
    session.close()
    with old_state.open("a", schema=v1) as again:
        again.state.topic = "bees"
    assert newest(old_state)["subject"] == "bees"


def test_a_session_that_forks_goes_on_in_its_own_version(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with old_state.open("a", schema=v1, on_conflict="fork") as session:
        session.state.topic = "bees"
        with old_state.open("a", schema=v2) as other:
            other.save()
        session.save()
        assert session.branch != "main"
    assert old_state.at("a", session.branch, schema=v2).state.subject == "bees"
    assert newest(old_state)["subject"] == "owls"


def test_an_untyped_session_does_not_merge_over_a_migration(
    old_state: perdure.Store, v2: type[Any]
) -> None:
    session = old_state.open("a", on_conflict="merge", on_error="discard")
    session.state["topic"] = "bees"
    with old_state.open("a", schema=v2) as other:
        other.save()
    with pytest.raises(errors.SchemaChanged, match="Research 2"):
        session.save()
    session.refresh()
    assert session.state["subject"] == "owls"
    session.close()


def test_a_migration_that_others_overtook_is_not_saved(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    session = old_state.open("a", schema=v2, on_conflict="merge")
    session.state.budget = 8
    with old_state.open("a", schema=v1) as other:
        other.state.notes = "newer"
    with pytest.raises(errors.SchemaChanged, match="while this session was migrating"):
        session.save()
    assert version(old_state) == 1
    with pytest.raises(errors.SchemaChanged):
        session.close()
    with pytest.raises(errors.SchemaChanged):
        session.refresh()
    session.close()
    with old_state.open("a", schema=v2) as again:
        again.state.budget = 8
    assert newest(old_state)["perdure.kept"] == {"notes@2": ["newer"]}


def test_branches_of_different_versions_are_not_merged(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    old_state.fork("a", "older")
    with old_state.open("a", schema=v2) as session:
        session.save()
    with old_state.open("a", schema=v1, branch="older") as session:
        session.state.messages[0].content = "bees"
    with pytest.raises(errors.SchemaChanged, match="different versions"):
        old_state.merge("a", "older")
    with old_state.open("a", schema=v2, branch="older") as session:
        session.save()
    assert old_state.merge("a", "older") is not None
    assert newest(old_state)["messages"][0] == {"content": "bees", "author": "user", "tokens": 0}
