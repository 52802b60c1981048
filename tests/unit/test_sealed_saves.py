"""What a save to an encrypted store writes: each blob as `DataKeys.seal` makes it (P5)."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from perdure import Store
from perdure.backends.layer import Layer
from perdure.backends.memory import MemoryBackend
from perdure.core.seal import Kind, Place, seal
from perdure.engine.requests import Commit, HeadRow, RecordRow
from perdure.keys import LocalKey, data
from perdure.keys.backend import KeyedBackend
from perdure.keys.data import DataKeys, owner_of_head

OWNER = b"i" * 16
STORES = b"s" * 16, b"t" * 16
KEYS = "support/alice", "support/böb", "a"
SALT_AT = data.PREFIX_BYTES - data.SALT_BYTES
NONCE = slice(SALT_AT - data.NONCE_BYTES, SALT_AT)
NONCE_AND_SALT = slice(SALT_AT - data.NONCE_BYTES, data.PREFIX_BYTES)


def saved(
    keys: DataKeys, store: bytes, key: str, numbers: range, name: bytes | None = None
) -> list[bytes]:
    """The blobs of a save of these records: first the head's."""
    head = HeadRow(b"token", seal(Kind.HEAD, Place(store, key.encode()), b"head"))
    records = tuple(
        RecordRow(
            3, number, seal(Kind.RECORD, Place(store, OWNER, 3, number), f"{number}".encode())
        )
        for number in numbers
    )
    row, rows = keys.seal_save(store, key, head, records, name)
    assert row.token == b"token"
    assert [(each.line, each.number, each.count) for each in rows] == [
        (3, number, 1) for number in numbers
    ]
    return [row.blob, *(each.blob for each in rows)]


def test_each_blob_opens_at_its_place_whatever_was_saved_before() -> None:
    keys = DataKeys.drawn(OWNER)
    for number, (store, key) in enumerate((store, key) for key in KEYS for store in STORES):
        numbers = range(number, number + 3)
        head, *rows = saved(keys, store, key, numbers)
        assert keys.open(Place(store, key.encode()), head) == (0, b"", b"head")
        assert owner_of_head(head) == OWNER
        for at, row in zip(numbers, rows, strict=True):
            assert keys.open(Place(store, OWNER, 3, at), row) == (0, b"", f"{at}".encode())


def test_its_blobs_are_laid_out_as_those_sealed_one_by_one() -> None:
    keys, place = DataKeys.drawn(OWNER), Place(STORES[0], b"a")
    one = keys.seal(place, seal(Kind.HEAD, place, b"head"), b"a name")
    head = saved(keys, STORES[0], "a", range(0), b"a name")[0]
    assert len(head) == len(one)
    assert head[: NONCE.start] == one[: NONCE.start]
    clear = slice(SALT_AT, data.PREFIX_BYTES + data.OWNER_BYTES)
    assert head[clear] == one[clear]
    assert keys.open(place, head) == keys.open(place, one) == (0, b"a name", b"head")


def test_no_nonce_comes_twice_in_a_save_or_after_it() -> None:
    keys = DataKeys.drawn(OWNER)
    blobs = [blob for _ in range(300) for blob in saved(keys, STORES[0], "a", range(1, 6))]
    assert len({blob[NONCE] for blob in blobs}) == len(blobs)


def test_threads_that_save_at_once_never_share_a_nonce_or_pass_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.limits.key_messages_max", 50)
    keys, blobs = DataKeys.drawn(OWNER), list[bytes]()

    def save() -> None:
        for _ in range(60):
            blobs.extend(saved(keys, STORES[0], "a", range(1, 3)))

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({blob[NONCE_AND_SALT] for blob in blobs}) == len(blobs) == 4 * 60 * 3
    salts = [blob[SALT_AT : data.PREFIX_BYTES] for blob in blobs]
    assert max(map(salts.count, set(salts))) <= 50


@pytest.mark.parametrize("limit", [1, 3])
def test_a_key_seals_as_many_blobs_of_saves_as_it_may(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.limits.key_messages_max", limit)
    keys = DataKeys.drawn(OWNER)
    salts = [
        saved(keys, STORES[0], "a", range(1, 2))[1][SALT_AT : data.PREFIX_BYTES] for _ in range(9)
    ]
    assert [salts.count(salt) for salt in dict.fromkeys(salts)] == [limit] * (9 // limit)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_saves_with_keys_of_its_own() -> None:
    keys = DataKeys.drawn(OWNER)
    ours = saved(keys, STORES[0], "a", range(1, 2))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for blob in saved(keys, STORES[0], "a", range(1, 2)):
            os.write(writing, blob[SALT_AT : data.PREFIX_BYTES])
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 1000)
    for each in (reading, writing):
        os.close(each)
    assert len(theirs) == 2 * data.SALT_BYTES
    assert not {blob[SALT_AT : data.PREFIX_BYTES] for blob in ours} & {
        theirs[: data.SALT_BYTES],
        theirs[data.SALT_BYTES :],
    }


def test_what_is_encrypted_already_stays_as_it_is() -> None:
    keys = DataKeys.drawn(OWNER)
    blobs = saved(keys, STORES[0], "a", range(1, 2))
    row = HeadRow(b"token", blobs[0]), (RecordRow(3, 1, blobs[1]),)
    assert keys.seal_save(STORES[0], "a", *row) == row


def test_only_the_commit_that_makes_a_state_has_its_keys_with_it() -> None:
    inner = MemoryBackend("")
    seen: list[int] = []

    class Watched(Layer):
        def __init__(self) -> None:
            self.inner = inner

        def commit(self, batch: Sequence[Commit]) -> Any:
            seen.extend(len(commit.keys) for commit in batch)
            return inner.commit(batch)

    watched: Any = Watched()
    with Store(KeyedBackend(watched, LocalKey(bytes(32)))) as store, store.open("a") as session:
        for number in range(3):
            session.state["n"] = number
            session.save()
    assert seen[:3] == [1, 0, 0]
