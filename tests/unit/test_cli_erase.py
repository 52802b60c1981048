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


def test_one_that_is_held_keeps_none_of_the_others(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with Store(path) as store:
        for name in ("a/1", "a/2", "a/3"):
            with store.open(name) as session:
                session.state["n"] = "MARKER" + name
        call = ("--store", path, "erase", "--match", "a/*", "--yes")
        with store.open("a/2", exclusive=True):
            told = CliRunner().invoke(app, call)
        assert told.exit_code == 4
        assert "2 states erased, 1 not: " in told.stderr
        assert "a/2" in told.stderr
        assert [each.key for each in store.states()] == ["a/2"]
        left = b"".join(each.read_bytes() for each in tmp_path.glob("agents.db*"))
        assert b"MARKERa/1" not in left
        assert CliRunner().invoke(app, call).exit_code == 0
        assert not store.states()
