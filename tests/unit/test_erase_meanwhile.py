"""What others do to a state while it is erased: they erase the same, or another life of it (P8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.unit.overtaken import Overtaken

import perdure
from perdure.engine.requests import Erase, ReadHead
from perdure.errors import StateNotFound

KEY = "support/alice"


class Two:
    """A store whose requests others overtake, and the others."""

    def __init__(self, **options: Any) -> None:
        name = uuid4().hex
        self.backend = Overtaken(name)
        self.store = perdure.Store(self.backend, maintenance="off", **options)
        self.others = perdure.Store(f"memory:{name}", maintenance="off", **options)

    def close(self) -> None:
        self.store.close()
        self.others.close()


@pytest.fixture(params=["plain", "keyed"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    made = Two(**({"key": bytes(32)} if request.param == "keyed" else {}))
    yield made
    made.close()


def live(store: perdure.Store, *names: str) -> None:
    """A life for each of the names, all but the last deleted."""
    for name in names:
        with store.open(KEY) as session:
            session.state["name"] = name
        if name != names[-1]:
            store.delete(KEY)


def test_a_state_that_others_erase_first_is_erased_P8(two: Two) -> None:
    live(two.others, "one")
    # With a key, the head that was read is of keys that are destroyed by now.
    two.backend.kinds, two.backend.after = (ReadHead,), lambda: two.others.erase(KEY)
    (gone,) = two.store.erase(KEY).lives
    assert two.backend.after is None
    assert [each.incarnation for each in two.store.erasures(KEY)] == [gone.incarnation]


def test_a_life_that_others_erase_first_is_not_mistaken_for_the_next_one(two: Two) -> None:
    live(two.others, "one", "two", "three")
    two.backend.kinds, two.backend.before = (Erase,), lambda: two.others.erase(KEY, life=2)
    (gone,) = two.store.erase(KEY, life=2).lives
    assert two.backend.before is None
    assert [each.incarnation for each in two.store.erasures(KEY)] == [gone.incarnation]
    assert two.store.at(KEY, "main")["name"] == "three"


def test_a_life_that_began_after_the_state_was_erased_stays(two: Two) -> None:
    live(two.others, "one")

    def begin_anew() -> None:
        two.others.erase(KEY)
        live(two.others, "two")

    two.backend.kinds, two.backend.before = (Erase,), begin_anew
    assert [each.life for each in two.store.erase(KEY).lives] == [1]
    assert two.store.at(KEY, "main")["name"] == "two"
    two.store.erase(KEY)
    with pytest.raises(StateNotFound):
        two.store.info(KEY)
