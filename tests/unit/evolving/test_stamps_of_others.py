"""Stamps of states in which others work too: none is lost, and none is taken for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.evolution import newest, version

import perdure
from perdure import errors
from perdure.core.versions import SECTION


@perdure.schema("Billing", version=2)
@dataclass
class Billing:
    cents: int = 0


def test_a_session_does_not_take_in_a_rollback_to_before_its_migration(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    session = old_state.open("a", schema=v2)
    session.state.budget = 8
    session.save()
    old_state.rollback("a", to=1)
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 1"):
        session.refresh()
    assert session.state.subject == "owls"
    session.close()
    with old_state.open("a", schema=v1) as again:
        assert again.state.topic == "owls"
    assert "budget" not in newest(old_state)


def test_a_session_does_not_take_in_a_rollback_to_before_any_stamp(
    store: perdure.Store, v2: type[Any]
) -> None:
    with store.open("a") as untyped:
        untyped.state["topic"] = "owls"
    session = store.open("a", schema=v2)
    session.save()
    store.rollback("a", to=1)
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 1"):
        session.refresh()
    session.close()


def test_edits_given_up_do_not_take_the_stamp_with_them(
    store: perdure.Store, v2: type[Any]
) -> None:
    with store.open("a", schema=v2) as session:
        session.state.subject = "owls"
        with store.open("a") as untyped:
            untyped.state["others"] = 1
        with pytest.raises(errors.Conflict):
            session.save()
        session.refresh()
        session.state.subject = "bees"
    assert version(store) == 2
    with store.open("a", schema=v2) as session:
        assert session.state.subject == "bees"


def test_a_stamp_does_not_take_the_place_of_another_schemas(
    store: perdure.Store, v1: type[Any]
) -> None:
    with store.open("a", schema=v1) as session:
        with store.open("a", schema=Billing) as other:
            other.state.cents = 1
        session.refresh()
        session.state.topic = "owls"
    stamps = newest(store)[SECTION]
    assert {name: stamp["version"] for name, stamp in stamps.items()} == {
        "Billing": 2,
        "Research": 1,
    }
