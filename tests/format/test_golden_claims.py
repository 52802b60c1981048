"""A golden store of states that acted on the world, read with the library and without (P9, P10)."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.format.make_claims import act, told_of
from tests.format.plain_claims import read_claims

import perdure
from perdure.errors import AlreadyClaimed, UnknownOutcome

GOLDEN = Path(__file__).parent / "golden" / "format-1"
ACTING: dict[str, Any] = json.loads((GOLDEN / "acting.json").read_text(encoding="ascii"))
HERE, THERE = ACTING["key"], ACTING["shared"]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """The golden store, to be written to."""
    shutil.copy(GOLDEN / "acting.db", tmp_path)
    with perdure.Store(tmp_path / "acting.db", maintenance="off") as store:
        yield store


@pytest.mark.parametrize("key", [HERE, THERE])
def test_claims_can_be_read_from_the_specification_alone(key: str) -> None:
    found, parked = read_claims(GOLDEN / "acting.db", key)
    assert found == ACTING["effects"][key]
    assert (parked > 0) is (key == HERE)


@pytest.mark.parametrize("key", [HERE, THERE])
def test_the_library_reads_them(store: perdure.Store, key: str) -> None:
    assert [told_of(each) for each in store.effects(key)] == ACTING["effects"][key]
    assert all(each.ok for each in store.verify())


def test_every_place_and_every_end_is_in_it() -> None:
    every = ACTING["effects"][HERE]
    assert {each["status"] for each in every} == {"done", "unknown"}
    assert {each["by"] for each in every} == {None, "ann"}
    assert {each["claims"] for each in every} == {None, THERE}
    assert {each["state"] for each in ACTING["effects"][THERE]} == {HERE}


def test_what_was_done_is_not_done_again(store: perdure.Store) -> None:
    with store.open(HERE) as session:
        for each in ACTING["effects"][HERE]:
            is_done = each["status"] == "done"
            if is_done and each["by"] is not None:  # settled for who claimed it, who records it now
                assert act(session, each["key"], "again", claims=each["claims"]) is not None
            with pytest.raises(AlreadyClaimed if is_done else UnknownOutcome):
                act(session, each["key"], "again", claims=each["claims"])
        act(session, "new", "done")
    with store.open("another") as session, pytest.raises(AlreadyClaimed):
        act(session, "refund", "again", claims=THERE)
    assert len(store.effects(HERE)) == len(ACTING["effects"][HERE]) + 1
