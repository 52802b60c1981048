"""What an anchor says of a state that was erased, or redacted, without it (P5, P8)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner

import perdure
from perdure.cli.app import app
from perdure.errors import Tampered

KEY = "support/alice"
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "keyed": {"key": bytes(32)},
    "hidden": {"key": bytes(32), "hide_names": True},
}
ON_RECORD = r"An erasure of it is on record, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, which was made"
ACCEPT = "perdure verify --anchor … --accept"


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param] | {"maintenance": "off"}


def begun(path: Path, options: dict[str, Any]) -> None:
    """A store with an anchor: two states."""
    with perdure.Store(path, anchor=path.with_name("safe.anchor"), **options) as store:
        for key in (KEY, "other"):
            with store.open(key) as session:
                session.state["mail"] = "alice@example.com"


def again(path: Path, options: dict[str, Any]) -> perdure.Store:
    return perdure.Store(path, anchor=path.with_name("safe.anchor"), **options)


def test_one_that_was_erased_without_the_anchor_is_told_so_until_it_is_accepted_P5(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "a.db"
    begun(path, options)
    with perdure.Store(path, **options) as store:
        store.erase(KEY)
    with again(path, options) as store:
        for look in (store.info, store.open):
            with pytest.raises(Tampered, match=ON_RECORD) as caught:
                look(KEY)
            assert caught.value.form == "missing"
            assert ACCEPT in str(caught.value)
        (told,) = (each for each in store.verify() if not each.ok)
        assert "An erasure of it is on record" in str(told.problem)
        assert store.reanchor() == 1
        with store.open(KEY) as session:
            assert session.resumed is None
        assert all(each.ok for each in store.verify())


def test_nor_is_its_next_life_taken_P5(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.db"
    begun(path, options)
    with perdure.Store(path, **options) as store:
        store.erase(KEY)
        with store.open(KEY) as session:
            session.state["n"] = 1
    with again(path, options) as store, pytest.raises(Tampered, match=ON_RECORD) as caught:
        store.info(KEY)
    assert caught.value.form == "replaced"


@pytest.mark.parametrize("hurt", ["", "UPDATE erased SET blob = x'00'", "DELETE FROM erased"])
def test_one_that_is_gone_with_no_receipt_that_proves_itself_was_taken_away_P5(
    tmp_path: Path, options: dict[str, Any], hurt: str
) -> None:
    path = tmp_path / "a.db"
    with again(path, options) as store, store.open("other") as session:
        session.state["n"] = 1
    older = shutil.copy(path, tmp_path / "older.db")
    begun(path, options)
    if hurt:
        with perdure.Store(path, **options) as store:
            store.erase(KEY)
        with apsw.Connection(str(path)) as file:
            file.execute(hurt)
    else:
        shutil.copy(older, path)
    with again(path, options) as store:
        with pytest.raises(Tampered, match="No erasure of it is on record") as caught:
            store.info(KEY)
        assert caught.value.form == "missing"
        problems = [str(each.problem) for each in store.verify() if not each.ok]
        assert any("No erasure of it is on record" in each for each in problems)


def test_the_receipt_of_another_state_proves_nothing_P5(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "a.db"
    begun(path, options)
    with again(path, options) as store:
        incarnation = store._driver.run(perdure_head(store)).incarnation
    with perdure.Store(path, **options) as store:
        (life,) = store.erase("other").lives
        store.erase(KEY)
    with apsw.Connection(str(path)) as file:
        file.execute("DELETE FROM erased WHERE incarnation = ?", (incarnation,))
        change = "UPDATE erased SET incarnation = ? WHERE incarnation = ?"
        file.execute(change, (incarnation, bytes.fromhex(life.incarnation)))
    with again(path, options) as store, pytest.raises(Tampered, match="No erasure of it"):
        store.info(KEY)


def perdure_head(store: perdure.Store) -> Any:
    from perdure.engine.read import Site, read_head

    store._driver.connect()
    return read_head(Site(store._driver.store_id, KEY))


def test_one_that_was_redacted_without_the_anchor_is_newer_and_taken(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "a.db"
    begun(path, options)
    with perdure.Store(path, **options) as store:
        assert store.redact(KEY, match="alice").receipt
    with again(path, options) as store:
        assert store.at(KEY, 1).plain() == {"mail": "[redacted]@example.com"}
        assert all(each.ok for each in store.verify())


def test_the_way_out_that_is_told_is_one(tmp_path: Path) -> None:
    path, anchor = tmp_path / "a.db", tmp_path / "safe.anchor"
    begun(path, {})
    CliRunner().invoke(app, ("--store", str(path), "erase", KEY, "--yes"))
    call = ("--store", str(path), "verify", "--anchor", str(anchor))
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 1
    assert "An erasure of it is on record" in told.stdout
    assert CliRunner().invoke(app, (*call, "--accept")).exit_code == 0
    assert CliRunner().invoke(app, call).exit_code == 0
