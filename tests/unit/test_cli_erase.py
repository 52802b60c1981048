"""`perdure erase` on the command line."""

from pathlib import Path

from click.testing import CliRunner

from perdure import Store
from perdure.cli.app import app


def test_a_pattern_in_place_of_a_key_is_told_of_match(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with Store(path) as store, store.open("support/alice") as session:
        session.state["n"] = 1
    told = CliRunner().invoke(app, ("--store", path, "erase", "support/*", "--yes"))
    assert told.exit_code == 3
    assert "perdure erase --match 'support/*'" in told.stderr
    told = CliRunner().invoke(app, ("--store", path, "erase", "support/bob", "--yes"))
    assert told.exit_code == 3
    assert "--match" not in told.stderr
    done = CliRunner().invoke(app, ("--store", path, "erase", "--match", "support/*", "--yes"))
    assert done.exit_code == 0
    with Store(path) as store:
        assert not store.states()
