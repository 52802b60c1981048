"""Whatever is done to the rows of any table is met, or harmless: never a wrong value (P5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest
from tests.damage.small import OPTIONS

import perdure
from perdure.testing.sim_stores import small_world
from perdure.testing.tampering import check_tamperings
from perdure.testing.tamperings import TAMPERINGS

Told = Callable[[str], None]


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_every_tampering_is_met(kind: str, tmp_path: Path, tell: Told) -> None:
    def make(path: Path) -> perdure.Store:
        return perdure.Store(path, maintenance="off", **OPTIONS[kind])

    with small_world():
        met = check_tamperings(make, tmp_path, keyed=kind == "keyed")
    wanted = [each for each in TAMPERINGS if kind == "keyed" or not each.needs_key]
    assert list(met) == [each.name for each in wanted]
    tell(f"{len(met)}: {dict(Counter(met.values()))}")
    assert len(met) >= 45
    refused = {name for name, outcome in met.items() if outcome == "refused"}
    assert {name for name in met if name.startswith("records: ")} <= refused
    assert {name for name, outcome in met.items() if outcome == "not there"} == {
        "heads: key changed",
        "heads: a row deleted",
    }
    assert {met[name] for name in met if name.startswith("pages: ")} <= {"gone around", "refused"}


def test_every_table_is_tampered_with(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db") as store, store.open("a") as session:
        session.state["n"] = 1
    base = apsw.Connection(str(tmp_path / "a.db"))
    tables = {name for (name,) in base.execute("SELECT name FROM sqlite_schema WHERE sql NOTNULL")}
    base.close()
    assert tables - {"staged"} == {each.name.partition(":")[0] for each in TAMPERINGS}


def test_a_state_that_is_said_to_be_staged_is_not_discarded(tmp_path: Path) -> None:
    """Of the remaining table, a row does nothing to what a head names."""
    path = tmp_path / "a.db"
    with perdure.Store(path) as store, store.open("a") as session:
        session.state["n"] = 1
    base = apsw.Connection(str(path))
    base.execute("INSERT INTO staged SELECT incarnation, 0 FROM heads")
    base.close()
    with perdure.Store(path) as store:
        store.maintain()
        assert not store.verify("a")[0].ok  # it is not what a head leads to, as long as that is so
    base = apsw.Connection(str(path))
    base.execute("DELETE FROM staged")
    base.close()
    with perdure.Store(path) as store:
        assert store.at("a", 1).plain() == {"n": 1}
        assert store.verify("a")[0].ok


def test_a_store_that_checks_nothing_is_caught(tmp_path: Path) -> None:
    """The kit is worth something only if it finds a store that believes what it reads."""
    with (
        small_world(),
        patch("perdure.core.seal._tag", lambda *_: bytes(16)),
        pytest.raises(AssertionError, match=r"wrong|nobody told"),
    ):
        check_tamperings(lambda path: perdure.Store(path, maintenance="off"), tmp_path, keyed=False)
