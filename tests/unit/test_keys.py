"""Encrypted stores: what is kept, what can be seen, and what is refused (P5)."""

import asyncio
import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit.keyed import OTHER, ROOT, URLS, filled, key_of, next_commit, url_of

from perdure import AsyncStore, Store
from perdure.backends.memory import MemoryBackend
from perdure.core.seal import Kind, Place, payload_bytes, seal, unseal
from perdure.engine.requests import (
    Committed,
    Discard,
    PutKey,
    ReadKeys,
    RecordRow,
    Stage,
)
from perdure.errors import (
    Damaged,
    KeyMissing,
    NotEncrypted,
    PerdureError,
    Tampered,
    UsageError,
    WrongKey,
)
from perdure.keys import data
from perdure.keys.data import DataKeys
from perdure.keys.derive import derive


def content(store: Any, key: str) -> Any:
    with store.open(key) as session:
        return {name: session.state[name] for name in session.state}


# ---- kept as ever ---------------------------------------------------------------------------


@pytest.mark.parametrize("hide_names", [False, True])
@pytest.mark.parametrize("kind", URLS)
def test_a_keyed_store_gives_back_what_was_saved(
    kind: str, hide_names: bool, tmp_path: Path
) -> None:
    url = url_of(kind, tmp_path)
    filled(url, hide_names=hide_names)
    with Store(url, key=ROOT) as store:
        assert [each.key for each in store.states()] == ["MARK-copy", "MARK-one", "MARK-two"]
        assert [each.key for each in store.states("MARK-t")] == ["MARK-two"]
        assert [each.key for each in store.states(deleted=True)] == ["other"]
        assert [each.key for each in store.states(limit=1, after="MARK-copy")] == ["MARK-one"]
        assert len(content(store, "MARK-one")["MARK-section"]) == 20
        assert len(content(store, "MARK-copy")["MARK-section"]) == 40
        assert store.history("MARK-copy")[-1].label == "MARK-label"
        assert [branch.name for branch in store.branches("MARK-one")] == ["main", "MARK-branch"]
        assert all(each.ok for each in store.verify())
        assert store.unreferenced() == []
        store.undelete("other")
        assert store.states("other")[0].summary == "MARK-summary"


def test_the_same_history_has_the_same_hashes_plain_and_keyed(tmp_path: Path) -> None:
    plain, keyed = str(tmp_path / "plain.db"), str(tmp_path / "keyed.db")
    filled(plain, key=None)
    with Store(plain) as ours, Store(keyed, key=ROOT) as theirs:
        file = tmp_path / "one.state"
        ours.export("MARK-two", file)
        theirs.import_(file)
        both = [[each.hash for each in store.history("MARK-two")] for store in (ours, theirs)]
    assert both[0] == both[1]
    assert len(both[0]) == 41


def test_an_async_store_and_its_threads_share_the_keys(tmp_path: Path) -> None:
    async def work() -> list[int]:
        async with AsyncStore(tmp_path / "a.db", key=ROOT) as store:

            async def one(name: str) -> int:
                async with store.open(name) as session:
                    session.state["n"] = 0
                    for number in range(20):
                        session.state["n"] = number
                        await session.save()
                return int((await store.history(name))[0].number)

            return await asyncio.gather(*(one(f"a{number}") for number in range(8)))

    assert min(asyncio.run(work())) >= 20
    with Store(tmp_path / "a.db", key=ROOT) as store:
        threads = [
            threading.Thread(target=content, args=(store, f"a{number}")) for number in range(8)
        ]
        [thread.start() for thread in threads]  # type: ignore[func-returns-value]
        [thread.join() for thread in threads]  # type: ignore[func-returns-value]
        assert all(each.ok for each in store.verify())


def test_two_makers_of_one_store_agree_on_its_keys(tmp_path: Path) -> None:
    stores = [Store(tmp_path / "a.db", key=ROOT) for _ in range(4)]
    begun = threading.Barrier(4)

    def save(number: int) -> None:
        begun.wait()
        with stores[number].open(f"a{number}") as session:
            session.state["n"] = number

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        assert [content(store, f"a{number}") for number in range(4)] == [
            {"n": number} for number in range(4)
        ]
        store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_seals_with_a_key_of_its_own(tmp_path: Path) -> None:
    keys = DataKeys.drawn(bytes(16))
    place = Place(bytes(16), bytes(16), 0, 1)
    clear = seal(Kind.RECORD, place, b"x")
    ours = keys.seal(place, clear)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, keys.seal(place, clear))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 1000)
    for each in (reading, writing):
        os.close(each)
    at = data.PREFIX_BYTES - data.SALT_BYTES
    assert ours[at : data.PREFIX_BYTES] != theirs[at : data.PREFIX_BYTES]
    assert keys.open(place, theirs)[2] == b"x"
    assert keys.seal(place, clear)[at : data.PREFIX_BYTES] == ours[at : data.PREFIX_BYTES]


def test_a_key_seals_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.limits.key_messages_max", 3)
    keys, place = DataKeys.drawn(bytes(16)), Place(bytes(16), bytes(16), 0, 1)
    blobs = [keys.seal(place, seal(Kind.RECORD, place, b"x")) for _ in range(9)]
    salts = [blob[data.PREFIX_BYTES - data.SALT_BYTES : data.PREFIX_BYTES] for blob in blobs]
    assert [salts.count(salt) for salt in dict.fromkeys(salts)] == [3, 3, 3]
    assert {keys.open(place, blob)[2] for blob in blobs} == {b"x"}


def test_no_nonce_comes_twice() -> None:
    keys, place = DataKeys.drawn(bytes(16)), Place(bytes(16), bytes(16), 0, 1)
    clear = seal(Kind.RECORD, place, b"x")
    at = data.PREFIX_BYTES - data.SALT_BYTES - data.NONCE_BYTES
    blobs = [keys.seal(place, clear) for _ in range(2_000)]
    assert len({blob[at : data.PREFIX_BYTES] for blob in blobs}) == len(blobs)
    other = DataKeys(bytes(16), keys.keys)  # as another process, or a copy of the file, has them
    salt = slice(at + data.NONCE_BYTES, data.PREFIX_BYTES)
    assert other.seal(place, clear)[salt] != blobs[0][salt]


def test_hkdf_is_that_of_rfc_5869() -> None:
    key, salt = bytes([11] * 22), bytes(range(13))
    wanted = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert derive(key, salt, bytes(range(0xF0, 0xFA))).hex() == wanted


def test_a_backup_and_an_earlier_copy_open_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    filled(str(path))
    with Store(path, key=ROOT) as store:
        store.backup(tmp_path / "copy.db")
    with Store(tmp_path / "copy.db", key=ROOT) as store:
        assert all(each.ok for each in store.verify())
        with store.open("MARK-one") as session:
            session.state["more"] = 1
    with Store(path, key=ROOT) as store:
        assert all(each.ok for each in store.verify())


def test_maintenance_sees_how_long_encrypted_rows_are() -> None:
    place = Place(bytes(16), bytes(16), 0, 1)
    for size in (10, 5_000):
        clear = seal(Kind.RECORD, place, bytes(size))
        blob = DataKeys.drawn(bytes(16)).seal(place, clear)
        assert payload_bytes(blob[:26], len(blob)) == size


def test_a_member_of_a_batch_that_cannot_be_sealed_touches_no_other(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url)
    with Store(url, key=ROOT, maintenance="off") as store:
        commits = [next_commit(store, key) for key in ("MARK-one", "MARK-two")]
        backend: Any = store._driver.backend
        owner = commits[0].tail.incarnation
        (row,) = backend.inner.perform(ReadKeys((owner,)))
        assert backend.inner.perform(PutKey(owner, row.blob, b"no row"))
        backend._keys.clear()
        outcomes = backend.commit(commits)
        assert isinstance(outcomes[0], Tampered)
        assert outcomes[1] == Committed()
        assert backend.inner.perform(PutKey(owner, b"no row", row.blob))
        assert all(each.ok for each in store.verify())


# ---- what can be seen -----------------------------------------------------------------------


def files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


@pytest.mark.parametrize("hide_names", [False, True])
def test_nothing_that_a_user_wrote_is_in_the_files(tmp_path: Path, hide_names: bool) -> None:
    url = str(tmp_path / "a.db")
    with Store(url, key=ROOT, hide_names=hide_names) as store:
        store.open("keeps the log").close()
        filled(url, hide_names=hide_names)
        with store.open("MARK-one") as session:
            session.state["MARK"] = "MARK"
        raw = files(tmp_path)
        assert b"perdure keys" in raw
        for kept in (
            b"MARK-va",
            b"MARK-se",
            b"MARK-f",
            b"MARK-la",
            b"MARK-m",
            b"MARK-d",
            b"MARK-s",
        ):
            assert kept not in raw
        assert b"MARK-b" not in raw
        assert (b"MARK-one" in raw) is not hide_names
        assert (b"MARK" in raw) is not hide_names


def test_the_search_finds_what_is_in_the_clear(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    assert b"MARK-value" in files(tmp_path)


def test_keys_kept_apart_are_not_in_the_store(tmp_path: Path) -> None:
    url, keys = str(tmp_path / "a.db"), str(tmp_path / "keys.db")
    filled(url, keys_url=keys)
    with apsw.Connection(url) as file:
        assert file.execute("SELECT count(*) FROM keys").get == 1
    with Store(url, key=ROOT, keys_url=keys) as store:
        assert all(each.ok for each in store.verify())
    with Store(url, key=ROOT) as store, pytest.raises(KeyMissing, match="kept apart"):
        store.states()
    os.remove(keys)
    with Store(url, key=ROOT, keys_url=keys) as store:
        assert {each.status for each in store.states()} == {"key-missing"}
        with pytest.raises(KeyMissing, match=key_of().key_id):
            content(store, "MARK-one")


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", URLS)
def test_a_wrong_or_missing_key_is_told_by_its_id(kind: str, tmp_path: Path) -> None:
    url = url_of(kind, tmp_path)
    filled(url)
    with Store(url) as store, pytest.raises(KeyMissing, match=key_of().key_id):
        store.states()
    with Store(url, key=OTHER) as store, pytest.raises(WrongKey, match=key_of().key_id) as caught:
        store.open("MARK-one")
    assert key_of(OTHER).key_id in str(caught.value)

    async def missing() -> None:
        async with AsyncStore(url) as store:
            await store.open("MARK-one")

    with pytest.raises(KeyMissing):
        asyncio.run(missing())


@pytest.mark.parametrize("kind", URLS)
def test_a_key_for_a_store_in_the_clear_is_refused(kind: str, tmp_path: Path) -> None:
    url = url_of(kind, tmp_path)
    filled(url, key=None)
    with Store(url, key=ROOT) as store, pytest.raises(NotEncrypted, match="keys init"):
        store.states()
    with Store(url) as store:
        assert len(store.states()) == 3


def copy_rows(source: Path, target: Path, table: str) -> None:
    with sqlite3.connect(target) as file:
        file.execute("ATTACH ? AS other", (str(source),))
        file.execute(f"DELETE FROM {table}")
        file.execute(f"INSERT INTO {table} SELECT * FROM other.{table}")
        file.commit()
        file.execute("DETACH other")


@pytest.mark.parametrize("table", ["heads", "records"])
def test_rows_of_a_plain_store_in_a_keyed_one_and_back(tmp_path: Path, table: str) -> None:
    plain, keyed = tmp_path / "plain.db", tmp_path / "keyed.db"
    with Store(plain, maintenance="off") as store, store.open("a") as session:
        session.state["n"] = 1
    shutil.copy(plain, keyed)
    with Store(keyed, key=ROOT) as store:
        store.encrypt()
    # Both are the same store, with the same incarnation.
    mixed = Path(shutil.copy(keyed, tmp_path / "mixed.db"))
    copy_rows(plain, mixed, table)
    with Store(mixed, key=ROOT) as store, pytest.raises(Tampered, match="in the clear"):
        content(store, "a")
    copy_rows(keyed, plain, table)
    with Store(plain) as store, pytest.raises(KeyMissing, match="is encrypted"):
        content(store, "a")


def test_an_encrypted_row_moved_elsewhere_is_refused(tmp_path: Path) -> None:
    url = tmp_path / "a.db"
    filled(str(url))
    with apsw.Connection(str(url)) as file:
        file.execute(
            "UPDATE heads SET (head, token) = (SELECT head, token FROM heads WHERE key = ?)"
            " WHERE key = ?",
            (b"MARK-two", b"MARK-one"),
        )
    with Store(url, key=ROOT) as store:
        with pytest.raises(Tampered, match="MARK-one"):
            content(store, "MARK-one")
        assert {each.key: each.status for each in store.states()}["MARK-one"] == "damaged"
        assert [each.ok for each in store.verify()].count(False) == 1


def test_a_key_row_of_another_state_or_an_earlier_one_opens_nothing(tmp_path: Path) -> None:
    url = tmp_path / "a.db"
    filled(str(url))
    with apsw.Connection(str(url)) as file:
        owners = [
            owner for (owner,) in file.execute("SELECT incarnation FROM heads ORDER BY key LIMIT 2")
        ]
        file.execute(
            "UPDATE keys SET blob = (SELECT blob FROM keys WHERE owner = ?) WHERE owner = ?", owners
        )
    with Store(url, key=ROOT) as store:
        assert [each.ok for each in store.verify()].count(False) == 1
        with pytest.raises(Tampered, match="key row"):
            content(store, "MARK-one")
    with apsw.Connection(str(url)) as file:
        file.execute("DELETE FROM keys WHERE owner = ?", (owners[1],))
    with Store(url, key=ROOT) as store, pytest.raises(KeyMissing, match="data key"):
        content(store, "MARK-one")


def test_every_bit_of_a_blob_is_authenticated() -> None:
    keys, store = DataKeys.drawn(b"i" * 16), bytes(16)
    for kind, place in (
        (Kind.HEAD, Place(store, b"a key")),
        (Kind.RECORD, Place(store, b"i" * 16, 0, 1)),
        (Kind.PAGE, Place(store, b"i" * 16, page=bytes(32))),
    ):
        blob = keys.seal(place, seal(kind, place, b"payload"))
        for at in range(6, len(blob)):
            for bit in range(8):
                broken = blob[:at] + bytes([blob[at] ^ 1 << bit]) + blob[at + 1 :]
                with pytest.raises((Tampered, KeyMissing)):
                    keys.open(place, broken)
                with pytest.raises((Damaged, KeyMissing)):
                    unseal(kind, place, broken, 100)
        for cut in range(len(blob)):
            with pytest.raises(PerdureError):
                keys.open(place, blob[:cut])


@pytest.mark.parametrize("key", [b"short", 17, object(), "nothing", "env:", "file:", ""])
def test_what_is_no_key_is_refused_at_once(key: Any) -> None:
    with pytest.raises(UsageError):
        Store("memory:", key=key)


def test_options_that_need_a_key_say_so() -> None:
    for options in ({"hide_names": True}, {"keys_url": "memory:"}):
        with pytest.raises(UsageError, match="key="):
            Store("memory:", **options)


def test_hiding_names_is_for_a_new_store(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url)
    with Store(url, key=ROOT, hide_names=True) as store, pytest.raises(UsageError, match="new"):
        store.states()


def test_a_plain_store_has_no_keys(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    with Store(url) as store:
        assert store._driver.answer(ReadKeys((b"",))) == ()
    with apsw.Connection(url) as file:
        assert not file.execute("SELECT 1 FROM sqlite_schema WHERE name = 'keys'").get


def test_what_a_discarded_copy_had_for_a_key_goes_with_it() -> None:
    filled("memory:discarded")
    keys = MemoryBackend("discarded")._tables.keys
    assert len(keys) == 1 + 4
    owner = bytes(16)
    with Store("memory:discarded", key=ROOT) as store:
        store.states()
        backend = store._driver.backend
        backend.perform(Stage(owner, (RecordRow(0, 1, a_blob()),)))
        assert owner in keys
        backend.perform(Discard(owner))
        assert owner not in keys
        for row in list(keys):
            backend.perform(Discard(row))
    assert len(keys) == 1 + 4


def a_blob() -> bytes:
    return seal(Kind.RECORD, Place(bytes(16), bytes(16), 0, 1), b"x")
