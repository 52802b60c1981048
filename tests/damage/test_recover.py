"""`recover` makes a store of what can be read of a broken file, which stays as it is (P5)."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from click.testing import CliRunner
from tests.damage.hurting import grown, hurt_records
from tests.damage.small import SHARE, Small
from tests.unit.maintained import filled, head_of, saved_on

import perdure
from perdure import errors, limits
from perdure.cli.app import app
from perdure.recovering import Recovered, recover
from perdure.testing.sim_stores import small_world


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a small state, a maintained one that was forked and rolled back, and effects."""
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        grown(store, 9, "small")
        filled(store, limits.tail_records_max + 6, "long")
        store.maintain("long")
        with store.open("long") as session:
            saved_on(session, 5)
        store.fork("long", "what-if", at=20)
        with store.open("long", branch="what-if") as session:
            session.state["n"] = "if"
        store.rollback("long", to=60)
        with store.open("long") as session:
            session.state["n"] = "back"
    return path


def all_of(path: Path | str) -> dict[str, Any]:
    """Everything that can be read: by key and branch, the history and the state at its end."""
    found: dict[str, Any] = {}
    with perdure.Store(path, maintenance="off") as store:
        for info in store.states():
            for branch in store.branches(info.key):
                name = branch.name
                hashes = [each.hash for each in store.history(info.key, branch=name)]
                newest = store.at(info.key, f"{name}").plain()
                found[f"{info.key}@{name}"] = (hashes, newest)
    return found


def recovered(path: Path, tmp_path: Path) -> Recovered:
    before = path.read_bytes()
    done = recover(path, tmp_path / "new.db")
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.glob("new.db*")) == ["new.db"]
    return done


def test_all_of_a_store_that_is_whole_is_recovered(path: Path, tmp_path: Path) -> None:
    done = recovered(path, tmp_path)
    assert done.ok and not any(done.lost.values())
    assert [(each.key, each.ok) for each in done.states] == [("long", True), ("small", True)]
    assert all_of(tmp_path / "new.db") == all_of(path)
    with perdure.Store(tmp_path / "new.db") as store:
        assert store.unreferenced() == []
        assert [each.what for each in store.movements("long")] == ["rollback", "fork"]
        with store.open("long") as session:
            session.state["n"] = "on"


def test_what_is_in_the_log_beside_the_file_is_recovered(path: Path, tmp_path: Path) -> None:
    with perdure.Store(path, maintenance="off") as store:
        grown(store, 3, "late")
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        expected = all_of(path)
    done = recover(copy, tmp_path / "new.db")
    assert done.ok
    assert all_of(tmp_path / "new.db") == expected
    # A log that is torn counts as far as it was committed.
    log = Path(f"{copy}-wal")
    log.write_bytes(log.read_bytes()[:-5000])
    again = recover(copy, tmp_path / "again.db")
    assert {"long", "small"} <= {each.key for each in again.states}


def test_a_log_counts_as_far_as_its_checksums_agree(path: Path, tmp_path: Path) -> None:
    from perdure.backends.sqlite_salvage import SalvagedFile

    with perdure.Store(path, maintenance="off") as store:
        grown(store, 30, "late")
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    log = Path(f"{copy}-wal")
    whole = log.read_bytes()
    counts = []
    for at in (len(whole) - 40, len(whole) // 8, 60, 10):
        hurt = bytearray(whole)
        hurt[at] ^= 1
        log.write_bytes(hurt)
        with SalvagedFile(copy) as file:
            counts.append(len(file._newer))
    log.write_bytes(whole)
    with SalvagedFile(copy) as file:
        counts.insert(0, len(file._newer))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > 0 == counts[-1] == counts[-2], counts


def test_a_page_that_is_lost_is_counted_and_made_anew(path: Path, tmp_path: Path) -> None:
    expected = all_of(path)
    base = apsw.Connection(str(path))
    base.execute(
        "UPDATE pages SET blob = zeroblob(90) WHERE rowid = (SELECT min(rowid) FROM pages)"
    )
    base.close()
    done = recovered(path, tmp_path)
    assert (done.ok, done.lost) == (False, {"pages": 1})
    assert all(each.ok for each in done.states)
    assert all_of(tmp_path / "new.db") == expected


@pytest.mark.parametrize("size", [512, 65536])
def test_pages_of_any_size_are_read(path: Path, tmp_path: Path, size: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA journal_mode = DELETE; PRAGMA page_size = {size}").fetchall()
    connection.execute("VACUUM")
    connection.close()
    done = recovered(path, tmp_path)
    assert done.ok
    assert all_of(tmp_path / "new.db") == all_of(path)


@pytest.mark.parametrize("how", ["zeroed", "flipped"])
def test_a_file_that_sqlite_cannot_read_is_recovered(path: Path, tmp_path: Path, how: str) -> None:
    expected = all_of(path)
    whole = bytearray(path.read_bytes())
    if how == "zeroed":
        whole[:4096] = bytes(4096)  # the header, and the schema
    else:
        for at in range(100):
            whole[at] ^= 0x5A
    path.write_bytes(whole)
    with pytest.raises(errors.NotAStore), perdure.Store(path) as store:
        store.states()
    done = recovered(path, tmp_path)
    assert {each.key for each in done.states if each.ok} == {"long", "small"}
    assert all_of(tmp_path / "new.db") == expected


def test_a_lost_tail_goes_back_to_what_is_whole(path: Path, tmp_path: Path) -> None:
    with perdure.Store(path, maintenance="off") as store:
        inc = head_of(store, "small").incarnation
    connection = apsw.Connection(str(path))
    connection.execute(
        "UPDATE records SET blob = zeroblob(60) WHERE incarnation = ? AND number > 6", (inc,)
    )
    connection.close()
    done = recovered(path, tmp_path)
    assert not done.ok
    assert done.lost == {"records": 3}
    (small,) = [each for each in done.states if each.key == "small"]
    assert small.number == 6
    assert [(each.first, each.last) for each in small.losses] == [(7, 9)]
    with perdure.Store(tmp_path / "new.db") as store:
        assert len(store.history("small")) == 6


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_lost_head_is_made_from_the_records(path: Path, tmp_path: Path, how: str) -> None:
    expected = all_of(path)
    with perdure.Store(path, maintenance="off") as store:
        inc = head_of(store, "long").incarnation
    connection = apsw.Connection(str(path))
    change = "UPDATE heads SET head = zeroblob(200)" if how == "damaged" else "DELETE FROM heads"
    connection.execute(f"{change} WHERE incarnation = ?", (inc,))
    connection.close()
    done = recovered(path, tmp_path)
    key = "long" if how == "damaged" else f"recovered/{inc.hex()[:12]}"
    assert [(each.key, each.is_rebuilt, each.ok) for each in done.states if each.is_rebuilt] == [
        (key, True, True)
    ]
    found = all_of(tmp_path / "new.db")
    assert found == {name.replace("long", key): value for name, value in expected.items()}
    with perdure.Store(tmp_path / "new.db") as store:
        with store.open(key) as session:
            session.state["n"] = "goes on"
        store.fork(key, "another", at=10)
        assert store.verify(key)[0].ok


def by_hash(path: Path) -> dict[str, Any]:
    """The state at each checkpoint of each branch, by the chain's hash."""
    found: dict[str, Any] = {}
    with perdure.Store(path, maintenance="off") as store:
        for info in store.states():
            for branch in store.branches(info.key):
                for each in store.history(info.key, branch=branch.name):
                    if each.hash not in found:
                        found[each.hash] = store.at(info.key, each.id).plain()
    return found


def test_any_part_of_a_file_may_be_lost(
    path: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """Pages in turn are zeroed: what is recovered is never wrong, and mostly all but that."""
    expected, whole = by_hash(path), path.read_bytes()
    read, lost = 0, 0
    chosen = Random(5).sample(range(len(whole) // 4096), 24)
    for page in chosen:
        hurt = bytearray(whole)
        hurt[page * 4096 : (page + 1) * 4096] = bytes(4096)
        broken, new = tmp_path / "broken.db", tmp_path / f"new-{page}.db"
        broken.write_bytes(hurt)
        lost += not recover(broken, new).ok
        with perdure.Store(new, maintenance="off") as store:
            for info in store.states():
                for branch in store.branches(info.key):
                    with suppress(errors.Damaged):
                        assert store.at(info.key, branch.name).plain() == expected[branch.tip.hash]
                        read += 1
    tell(f"{len(chosen)} pages: {read} branches read right, {lost} told of loss")
    assert read >= 2 * len(chosen)
    assert lost


def test_what_is_no_store_gives_none(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(Random(1).randbytes(50_000))
    with pytest.raises(errors.Damaged):
        recover(other, tmp_path / "new.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(errors.Damaged):
        recover(tmp_path / "empty.db", tmp_path / "new.db")
    with pytest.raises(errors.StoreUnavailable):
        recover(tmp_path / "nothing.db", tmp_path / "new.db")
    assert not list(tmp_path.glob("new*"))


def test_nothing_is_replaced(path: Path, tmp_path: Path) -> None:
    (tmp_path / "new.db").write_text("mine")
    with pytest.raises(errors.UsageError):
        recover(path, tmp_path / "new.db")
    assert (tmp_path / "new.db").read_text() == "mine"


def run(*args: str) -> Any:
    return CliRunner().invoke(app, [*args])


def test_the_command_says_what_was_lost(path: Path, tmp_path: Path) -> None:
    good = run("recover", str(path), str(tmp_path / "one.db"))
    assert good.exit_code == 0
    assert "recovered 2 states" in good.stdout
    hurt_records(path, [9])
    bad = run("recover", str(path), str(tmp_path / "two.db"), "--json")
    assert bad.exit_code == 1
    found = json.loads(bad.stdout)
    assert found["ok"] is False
    assert found["recovered"]["lost"] == {"records": 1}
    text = run("recover", str(path), str(tmp_path / "three.db"))
    assert "checkpoint 9 of main" in text.stdout
    assert "compare with a backup" in text.stderr


def test_whatever_is_hurt_recovering_ends_and_is_never_wrong(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """Bytes and stretches of a small file at random: a new store of what is right, or an error."""
    small, random = Small({}), Random(11)
    right = {_frozen(state) for states in small.states.values() for state in states}
    outcomes: Counter[str] = Counter()
    cases = 1_500 if SHARE == 1 else 120
    try:
        for case in range(cases):
            hurt = bytearray(small.bytes)
            for _ in range(random.choice((1, 1, 3, 30))):
                at = random.randrange(len(hurt))
                size = random.choice((1, 1, 4, 200, 600))
                hurt[at : at + size] = random.choice((bytes(size), random.randbytes(size)))
            broken, new = tmp_path / "broken.db", tmp_path / f"new-{case}.db"
            broken.write_bytes(hurt)
            try:
                with small_world():  # in which it was made
                    done = recover(broken, new)
            except errors.PerdureError as error:
                outcomes[error.kind] += 1
                continue
            with perdure.Store(new, maintenance="off", read_only=True) as store:
                for info in store.states():
                    with suppress(errors.Damaged):
                        assert _frozen(store.at(info.key, info.number or 1).plain()) in right
                        outcomes["state"] += 1
            outcomes["whole" if done.ok else "in part"] += 1
            new.unlink()
    finally:
        small.close()
    tell(f"{cases} files: {dict(outcomes)}")
    assert outcomes["whole"] >= cases // 10, outcomes
    assert outcomes["in part"] >= cases // 10, outcomes
    assert outcomes["state"] >= cases, outcomes


def _frozen(state: dict[str, Any]) -> str:
    return json.dumps(state, sort_keys=True)


def test_a_file_that_is_encrypted_is_told_and_not_taken_for_empty(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    with perdure.Store(source, key=bytes(32)) as store, store.open("a") as session:
        session.state["x"] = 1
    with pytest.raises(errors.KeyMissing, match="its states are encrypted; give the key"):
        recover(source, target)
    with pytest.raises(errors.WrongKey):
        recover(source, target, key=bytes(range(32)))
    assert not target.exists()
