"""A store, two versions of a schema, and a state in the older."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.evolution import Message, make_first, make_second

import perdure


@pytest.fixture
def store() -> Iterator[perdure.Store]:
    with perdure.Store("memory:") as opened:
        yield opened


@pytest.fixture
def v1() -> type[Any]:
    return make_first()


@pytest.fixture
def v2() -> type[Any]:
    return make_second()


@pytest.fixture
def old_state(store: perdure.Store, v1: type[Any]) -> perdure.Store:
    with store.open("a", schema=v1) as session:
        session.state.topic, session.state.notes = "owls", "at night"
        session.state.messages += [Message("user", "hi"), Message("bot", "hello")]
    return store
