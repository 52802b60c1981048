"""`recover` makes an encrypted store of what can be read of one that is broken (P5)."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from click.testing import CliRunner
from tests.damage.hurting import grown
from tests.unit.maintained import filled, saved_on

import perdure
from perdure import errors, limits
from perdure.cli.app import app
from perdure.recovering import recover

ROOT = bytes(range(32))
KINDS: dict[str, dict[str, Any]] = {"named": {}, "hidden": {"hide_names": True}}
MANY = 60
"""States besides, so that there are more keys than one page holds."""


def filled_store(path: Path, **options: Any) -> None:
    """A small state, a maintained one with branches, and many more."""
    with perdure.Store(path, key=ROOT, maintenance="off", **options) as store:
        grown(store, 9, "small")
        filled(store, limits.tail_records_max + 6, "long")
        store.maintain("long")
        with store.open("long") as session:
            saved_on(session, 5)
        store.fork("long", "what-if", at=20)
        store.rewrap(deep=True)
        for number in range(MANY):
            with store.open(f"many/{number:02}") as session:
                session.state["n"] = number


def all_of(path: Path, **options: Any) -> dict[str, Any]:
    """Everything that can be read: by key and branch, the history and the state at its end."""
    found: dict[str, Any] = {}
    with perdure.Store(path, key=ROOT, maintenance="off", **options) as store:
        for info in store.states():
            for branch in store.branches(info.key):
                hashes = [each.hash for each in store.history(info.key, branch=branch.name)]
                newest = store.at(info.key, branch.name).plain()
                found[f"{info.key}@{branch.name}"] = (hashes, newest)
    return found


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    filled_store(tmp_path / "a.db", **KINDS[request.param])
    return tmp_path / "a.db"


def test_all_of_an_encrypted_store_that_is_whole_is_recovered(path: Path, tmp_path: Path) -> None:
    before, new = path.read_bytes(), tmp_path / "new.db"
    done = recover(path, new, key=ROOT)
    assert done.ok
    assert done.found["keys"] == MANY + 3  # the store's own, and one of each state
    assert all_of(new) == all_of(path)
    assert path.read_bytes() == before
    with perdure.Store(new) as store, pytest.raises(errors.KeyMissing):
        store.states()
    with perdure.Store(new, key=ROOT) as store, store.open("small") as session:
        session.state["after"] = True


def test_keys_that_are_kept_apart_open_it_too(tmp_path: Path) -> None:
    path, keys, new = tmp_path / "a.db", tmp_path / "keys.db", tmp_path / "new.db"
    filled_store(path, keys_url=keys)
    assert recover(path, new, key=ROOT, keys_url=keys).ok
    assert all_of(new, keys_url=keys) == all_of(path, keys_url=keys)


def test_a_state_whose_head_is_lost_gets_one(tmp_path: Path) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    filled_store(path)
    whole = all_of(path)
    with apsw.Connection(str(path)) as base:
        base.execute("UPDATE heads SET head = zeroblob(400) WHERE key = CAST('long' AS BLOB)")
    done = recover(path, new, key=ROOT)
    (state,) = [each for each in done.states if each.is_rebuilt]
    assert (state.key, state.ok, done.lost["heads"]) == ("long", True, 1)
    assert all_of(new)["long@main"] == whole["long@main"]


def test_a_state_whose_key_is_damaged_is_lost_alone_and_told(tmp_path: Path) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    filled_store(path)
    with apsw.Connection(str(path)) as base:
        change = "UPDATE keys SET blob = zeroblob(80) WHERE owner = ?"
        owner = base.execute("SELECT incarnation FROM heads WHERE key = CAST('small' AS BLOB)").get
        base.execute(change, (owner,))
    done = recover(path, new, key=ROOT)
    assert not done.ok
    assert (done.lost["keys"], done.lost["heads"]) == (1, 1)
    assert "small" not in {each.key for each in done.states}
    assert {"long", "many/59"} <= {each.key for each in done.states}


def test_any_part_of_an_encrypted_file_may_be_lost(
    path: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    expected, whole = all_of(path), path.read_bytes()
    newest = {hashes[0]: state for hashes, state in expected.values()}
    read = lost = none = 0
    for page in Random(7).sample(range(len(whole) // 4096), 12):
        hurt = bytearray(whole)
        hurt[page * 4096 : (page + 1) * 4096] = bytes(4096)
        broken, new = tmp_path / "broken.db", tmp_path / f"new-{page}.db"
        broken.write_bytes(hurt)
        try:
            lost += not recover(broken, new, key=ROOT).ok
        except errors.Damaged:
            none += 1  # what has the store's own key is lost
            continue
        with perdure.Store(new, key=ROOT, maintenance="off") as store:
            for info in store.states():
                for branch in store.branches(info.key):
                    with suppress(errors.Damaged):
                        state = store.at(info.key, branch.name).plain()
                        if branch.tip.hash in newest:
                            assert state == newest[branch.tip.hash]
                            read += 1
    tell(f"12 pages: {read} branches read right, {lost} told of loss, {none} gave nothing")
    assert read >= 12 * 20
    assert lost


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_the_first_page_of_a_small_file_may_be_lost(tmp_path: Path, fill: bytes) -> None:
    """Nothing else tells how large its pages are, and how it is laid out."""
    path = tmp_path / "a.db"
    with perdure.Store(path, key=ROOT, maintenance="off") as store:
        for number in range(3):
            with store.open(f"a/{number}") as session:
                for at in range(9):
                    session.state.setdefault("messages", []).append(f"message {at} " * 30)
                    session.save()
    whole = all_of(path)
    path.write_bytes(fill * 4096 + path.read_bytes()[4096:])
    done = recover(path, tmp_path / "new.db", key=ROOT)
    assert done.found["keys"] == 4
    assert all_of(tmp_path / "new.db") == whole


def test_the_command_takes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    filled_store(path)

    def run(*args: str) -> Any:
        return CliRunner().invoke(app, ["recover", *args])

    missing = run(str(path), str(new))
    assert missing.exit_code == 6
    assert "--key FORM" in missing.stderr
    monkeypatch.setenv("PERDURE_KEY", ROOT.hex())
    assert run(str(path), str(new)).exit_code == 0
    again = tmp_path / "again.db"
    assert run(str(path), str(again), "--key", "env:PERDURE_KEY").exit_code == 0
    assert all_of(again) == all_of(new) == all_of(path)


LIMITED = """
import os, resource, sys
from perdure import errors
from perdure.recovering import recover

outcomes = []
size = os.path.getsize(sys.argv[1])
for part in range(1, 5):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * part // 8, resource.RLIM_INFINITY))
    try:
        recover(sys.argv[1], sys.argv[2], key=bytes(range(32)))
    except (errors.StoreUnavailable, errors.StorageFull) as error:
        outcomes.append(error.kind)
print(len(outcomes), os.listdir(os.path.dirname(sys.argv[2])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files cannot be limited there")
def test_where_there_is_no_room_it_says_so_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    # Bytecode that it kept would be cut off too, and break whoever imports it next.
    call = [sys.executable, "-B", "-c", LIMITED, str(path), str(tmp_path / "to" / "new.db")]
    told = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    number, left = told.stdout.split(maxsplit=1)
    assert int(number) == 4
    assert left.strip() == "[]"
