"""`perdure keys`, and every other command on an encrypted store."""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.keyed import filled

from perdure import Store
from perdure.cli.app import app
from perdure.keys import FileKey


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERDURE_KEY", raising=False)
    FileKey.make("a.key")
    FileKey.make("b.key")


def run(*args: str, code: int = 0, **env: Any) -> Result:
    result = CliRunner().invoke(app, ["--store", "agents.db", *args], env=env)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def data(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_key_is_drawn_and_never_written_over() -> None:
    made = data(run("keys", "new", "c.key", "--json"))
    assert made["root"] == FileKey("c.key").key_id
    assert stat.S_IMODE(os.stat("c.key").st_mode) == 0o600
    before = Path("c.key").read_bytes()
    assert "exists" in run("keys", "new", "c.key", code=2).stderr
    assert Path("c.key").read_bytes() == before


def test_a_store_goes_through_all_that_can_be_done_with_keys() -> None:
    filled("agents.db", key=None)
    assert "not encrypted" in run("keys", "list").stdout
    assert data(run("keys", "list", "--json")) == {"keys": None}
    assert "no key was named" in run("keys", "init", code=2).stderr
    done = data(run("keys", "init", "--key", "file:a.key", "--json"))
    assert done["ok"] is True
    assert done["done"]["states"] == 4
    assert done["done"]["root"] == FileKey("a.key").key_id
    shown = run("--key", "file:a.key", "keys", "list").stdout
    assert FileKey("a.key").key_id in shown
    assert "4 of 4 states" in shown
    key = Path("a.key").read_text()
    assert key.strip() not in shown
    assert "root key" in run("keys", "rotate", "file:b.key", PERDURE_KEY=key).stdout
    assert "wrong-key" in run("ls", "--json", PERDURE_KEY=key, code=6).stderr
    assert "4 states" in run("keys", "rewrap", "--key", "file:b.key").stdout
    deep = data(run("keys", "rewrap", "--deep", "--key", "file:b.key", "--json"))
    assert deep["done"]["rows"] > 4
    assert data(run("keys", "list", "--key", "file:b.key", "--json"))["keys"]["rewrap"] == ""
    assert data(run("verify", "--key", "file:b.key", "--json"))["ok"] is True


def test_without_the_key_every_command_says_which_it_is() -> None:
    filled("agents.db", key="file:a.key")
    for command in (["ls"], ["log", "MARK-one"], ["verify"], ["keys", "list"], ["maintain"]):
        told = run(*command, code=6).stderr
        assert FileKey("a.key").key_id in told
        assert "--key" in told
    doctor = run("doctor", code=1).stdout
    assert "key-missing" in doctor
    assert "--key FORM" in doctor
    found = run("doctor", "--key", "file:a.key").stdout
    assert f"encryption: under root key {FileKey('a.key').key_id}" in found


def test_the_doctor_tells_how_far_encryption_has_come() -> None:
    def breaks(done: int, total: int) -> None:
        raise KeyboardInterrupt

    filled("agents.db", key=None)
    assert "ok    encryption: none" in run("doctor").stdout
    key, under = ("--key", "file:a.key"), f"under root key {FileKey('a.key').key_id}"
    with Store("agents.db", key="file:a.key") as store, suppress(KeyboardInterrupt):
        store.encrypt(progress=breaks)
    assert (
        f"warn  encryption: under way, {under}\n      perdure keys init"
        in run(*key, "doctor").stdout
    )
    assert "encrypted: 3 states" in run(*key, "keys", "init").stdout
    assert "encrypted: nothing was left, under" in run(*key, "keys", "init").stdout
    with Store("agents.db", key="file:a.key") as store, suppress(KeyboardInterrupt):
        store.rewrap(deep=True, progress=breaks)
    assert "perdure keys rewrap --deep goes on" in run(*key, "doctor").stdout
    run(*key, "keys", "rewrap")
    assert f"ok    encryption: {under}" in run(*key, "doctor").stdout


def test_a_key_in_the_environment_is_for_encrypted_stores_only() -> None:
    key = Path("a.key").read_text()
    filled("agents.db", key=None)
    assert "MARK-one" in run("ls", PERDURE_KEY=key).stdout
    assert "not-encrypted" in run("ls", "--json", "--key", "file:a.key", code=6).stderr
    run("keys", "init", PERDURE_KEY=key)
    assert "MARK-one" in run("ls", PERDURE_KEY=key).stdout


def test_exports_of_an_encrypted_store_are_encrypted() -> None:
    key: dict[str, Any] = {"PERDURE_KEY": Path("a.key").read_text()}
    filled("agents.db", key="file:a.key")
    run("export", "MARK-two", "one.state", **key)
    run("export", "MARK-two", "clear.state", "--in-clear", **key)
    assert b"MARK" not in Path("one.state").read_bytes()
    assert Path("clear.state").read_bytes().startswith(b"PERDSTAT")
    assert "key-missing" in run("--store", "new.db", "import", "one.state", "--json", code=6).stderr
    assert not Path("new.db").exists() or Store("new.db").states() == []
    run("--store", "other.db", "import", "one.state", **key)
    run("--store", "plain.db", "import", "clear.state")
    assert data(run("--store", "other.db", "verify", "--json", **key))["ok"] is True
    assert FileKey("a.key").key_id in run("--store", "other.db", "ls", code=6).stderr


def test_keys_apart_are_named_before_the_command() -> None:
    filled("agents.db", key="file:a.key", keys_url="keys.db")
    assert "kept apart" in run("--key", "file:a.key", "ls", code=6).stderr
    both = ("--key", "file:a.key", "--keys-url", "keys.db")
    assert "MARK-one" in run(*both, "ls").stdout
    assert "kept apart" in run(*both, "keys", "list").stdout


def test_a_passphrase_comes_from_the_environment_or_is_asked_for() -> None:
    words: dict[str, Any] = {"PERDURE_PASSPHRASE": "correct horse"}
    filled("agents.db", key=None)
    run("keys", "init", "--key", "passphrase", **words)
    assert "MARK-one" in run("ls", "--key", "passphrase", **words).stdout
    words["PERDURE_PASSPHRASE"] = "battery staple"
    assert "wrong-key" in run("ls", "--json", "--key", "passphrase", code=6, **words).stderr
    assert "passphrase" in run("ls", "--key", "passphrase", code=6).stderr


def test_a_key_that_is_not_there_is_named_first_and_made_only_for_a_new_store() -> None:
    filled("agents.db", key="file:a.key")
    for form in ("file:misspelt.key", "env:PERDURE_NO_SUCH_KEY"):
        told = run("ls", "--key", form, code=6).stderr
        assert "name the key that the store is under, or, for a store that has none, make" in told
