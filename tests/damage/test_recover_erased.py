"""`recover` knows what was erased: it stays known, and nothing of it comes back (P8)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

import perdure
from perdure.errors import Erased
from perdure.recovering import Recovered, recover

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": bytes(32)},
    "hidden": {"key": bytes(32), "hide_names": True},
}
MARK = "MARK" * 20


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


def made(path: Path, options: dict[str, Any], count: int = 3) -> bytes:
    """A store of some states, of which the first is to be erased; and its file."""
    with perdure.Store(path, maintenance="off", **options) as store:
        for number in range(count):
            with store.open(f"s/{number}") as session:
                for each in range(3):
                    session.state[f"n{each}"] = f"{MARK} {number} {each}"
                    session.save()
    return path.read_bytes()


def recovered(path: Path, new: Path, options: dict[str, Any]) -> Recovered:
    return recover(path, new, key=options.get("key"))


def test_what_was_erased_stays_known_and_late_writers_are_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    made(path, options, 80)
    with perdure.Store(path, maintenance="off", **options) as store:
        store.export("s/0", tmp_path / "s0.perdure", in_clear=True)
        for number in range(60):
            store.erase(f"s/{number}", reason=f"request {number}", wipe=number == 59)
        known = store.erasures()
    done = recovered(path, new, options)
    assert done.ok
    assert (done.found["erased"], done.lost.get("erased", 0)) == (60, 0)
    with perdure.Store(new, maintenance="off", **options) as store:
        assert store.erasures() == known
        assert [each.reason for each in store.erasures("s/7")] == ["request 7"]
        with pytest.raises(Erased):
            store.import_(tmp_path / "s0.perdure", "again")
        assert len(store.states()) == 20
        assert all(each.ok for each in store.verify())
        assert store.erase("s/7").was_erased


def put_among(path: Path, older: Path, incarnation: bytes) -> None:
    """Bring the rows of an erased life back, as a page does that is read where it should not be."""
    with closing(apsw.Connection(str(path))) as base:
        base.execute("ATTACH ? AS older", (str(older),))
        tables = {"heads": "incarnation", "records": "incarnation", "pages": "incarnation"}
        if base.execute("SELECT 1 FROM older.sqlite_schema WHERE name = 'keys'").get:
            tables["keys"] = "owner"
        for table, of in tables.items():
            names = [row[1] for row in base.execute(f"PRAGMA older.table_info({table})")]
            columns = ", ".join(names)
            where = f"FROM older.{table} WHERE {of} = ?"
            base.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {columns} {where}", (incarnation,)
            )


def test_nothing_of_what_was_erased_comes_back(tmp_path: Path, options: dict[str, Any]) -> None:
    path, new, older = tmp_path / "a.db", tmp_path / "new.db", tmp_path / "older.db"
    older.write_bytes(made(path, options))
    with perdure.Store(path, maintenance="off", **options) as store:
        (life,) = store.erase("s/0").lives
    incarnation = bytes.fromhex(life.incarnation)
    put_among(path, older, incarnation)
    done = recovered(path, new, options)
    assert [each.key for each in done.states] == ["s/1", "s/2"]
    assert done.ok
    assert new.read_bytes().count(incarnation) == 1  # of the receipt
    with perdure.Store(new, maintenance="off", **options) as store:
        assert [each.incarnation for each in store.erasures("s/0")] == [life.incarnation]


@pytest.mark.parametrize("count", [1, 2])
def test_a_receipt_that_is_hurt_is_told(
    tmp_path: Path, options: dict[str, Any], count: int
) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    made(path, options)
    with perdure.Store(path, maintenance="off", **options) as store:
        (life,) = [store.erase(f"s/{number}").lives for number in range(count)][-1]
    with closing(apsw.Connection(str(path))) as base:
        change = "UPDATE erased SET blob = zeroblob(90) WHERE incarnation = ?"
        base.execute(change, (bytes.fromhex(life.incarnation),))
    done = recovered(path, new, options)
    assert not done.ok
    assert (done.found.get("erased", 0), done.lost["erased"]) == (count - 1, 1)


def test_that_no_receipt_is_left_is_told(tmp_path: Path, options: dict[str, Any]) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    made(path, options)
    with perdure.Store(path, maintenance="off", **options) as store:
        store.erase("s/0")
    with closing(apsw.Connection(str(path))) as base:
        base.execute("DELETE FROM erased")
    done = recovered(path, new, options)
    assert not done.ok
    assert done.lost["erased"] == 1
