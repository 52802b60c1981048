"""A look at many states also tells of values that the migrated schema could not read."""

from dataclasses import dataclass, field
from typing import Any

import pytest

import perdure
from perdure import lenses


@dataclass
class Tag:
    name: str


@perdure.schema("Ticket")
@dataclass
class Ticket:
    agent: str = ""
    tags: list[str] = field(default_factory=list)
    other: int = 0


def of_parts(last: Any) -> type:
    @perdure.schema("Ticket", version=2)
    @dataclass
    class Newer:
        first: str = ""
        last: Any = None
        other: int = 0

    Newer.__annotations__["last"] = last
    split = lenses.split("agent", into=("first", "last"))
    perdure.migration(Newer, 1, 2, [split])
    return Newer


def of_tags(made: Any) -> type:
    @perdure.schema("Ticket", version=2)
    @dataclass
    class Newer:
        tags: list[Tag] = field(default_factory=list)
        other: int = 0

    @perdure.migration(Newer, 1, 2, touches=["tags"])
    def tags_have_names(state: dict[str, Any]) -> None:
        state["tags"] = [made(name) for name in state["tags"]]

    return Newer


@pytest.fixture
def store() -> perdure.Store:
    store = perdure.Store("memory:")
    for key, agent in (("t/1", "Ann Lee"), ("t/2", "Bob")):
        with store.open(key, schema=Ticket) as session:
            session.state.agent, session.state.tags = agent, ["late"]
    return store


def test_a_part_that_a_text_has_not_is_told_of(store: perdure.Store) -> None:
    found = store.migrate("t/", of_parts(str), dry_run=True)
    assert found.counts == {"migrated": 1, "failed": 1}
    (failure,) = found.failures
    assert (failure.key, failure.path) == ("t/2", "last")
    assert "expected str, got None" in failure.problem
    assert store.migrate("t/", of_parts(str)).refused


def test_a_part_that_may_be_none_fits(store: perdure.Store) -> None:
    assert store.migrate("t/", of_parts(str | None)).counts == {"migrated": 2}


def test_what_a_function_makes_has_to_fit(store: perdure.Store) -> None:
    found = store.migrate("t/", of_tags(lambda name: {"nme": name}), dry_run=True)
    assert {each.path for each in found.failures} == {"tags/0/name"}
    assert store.migrate("t/", of_tags(lambda name: {"name": name})).counts == {"migrated": 2}


def test_what_migrations_do_not_reach_is_none_of_their_doing(store: perdure.Store) -> None:
    with store.open("t/1") as session:
        session.state["other"] = "not a number"
    assert store.migrate("t/", of_parts(str | None)).counts == {"migrated": 2}


def test_states_of_another_schema_are_not_counted_as_current(store: perdure.Store) -> None:
    with store.open("t/3") as session:
        session.state["agent"] = "Cy"
    assert store.migrate("t/", Tag, dry_run=True).counts == {"other": 2, "current": 1}
