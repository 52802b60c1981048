"""Encrypting what is there, and other keys, while sessions go on and after any death."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit.keyed import OTHER, ROOT, URLS, filled, key_of, url_of
from tests.unit.test_keys import content, files

from perdure import AsyncStore, Store, limits
from perdure.backends.memory import MemoryBackend
from perdure.core.seal import Kind, Place, seal, unseal
from perdure.engine.requests import PageRow, PutKey, PutPages, ReadHead, ReadKeys, ReadPages
from perdure.errors import (
    Busy,
    Damaged,
    KeyMissing,
    NotEncrypted,
    StoreUnavailable,
    Tampered,
    UsageError,
    WrongKey,
)
from perdure.keys.data import generation_of


def seen(store: Any) -> dict[str, Any]:
    """All that a reader sees of a store, hashes included."""
    found: dict[str, Any] = {}
    for each in store.states():
        history = [(point.hash, point.label) for point in store.history(each.key)]
        found[each.key] = history, content_of(store, each.key), each.summary
    return found


def content_of(store: Any, key: str) -> Any:
    view = store.at(key, store.history(key, limit=1)[0].number)
    return {name: view[name] for name in view}


# ---- encrypting -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", URLS)
def test_a_plain_store_is_encrypted_and_nothing_else_changes(kind: str, tmp_path: Path) -> None:
    url = url_of(kind, tmp_path)
    filled(url, key=None)
    with Store(url) as store:
        before = seen(store)
    steps: list[tuple[int, int]] = []
    with Store(url, key=ROOT) as store:
        done = store.encrypt(progress=lambda *step: steps.append(step))
        assert (done.states, done.problems, done.root) == (4, (), key_of().key_id)
        assert done.rows > 8
        assert steps[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
        assert seen(store) == before
        assert store.key_info().stage == "sealed"
        assert store.key_info().data_keys == 4
        assert all(each.ok for each in store.verify())
        store.undelete("other")
        assert len(content(store, "other")["MARK-section"]) == 40
        again = store.encrypt()
        assert (again.states, again.rows) == (0, 0)
    with Store(url) as store, pytest.raises(KeyMissing):
        store.states()


def test_nothing_is_left_in_the_files_of_what_was_in_the_clear(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    with Store(url, key=ROOT) as store:
        store.encrypt()
        raw = files(tmp_path)
    for kept in (b"MARK-value", b"MARK-section", b"MARK-label", b"MARK-meta", b"MARK-b"):
        assert kept not in raw
    assert b"MARK-one" in raw  # names are not hidden


def test_a_session_without_the_key_is_stopped_and_loses_nothing_it_saved(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    with Store(url, maintenance="off") as plain, Store(url, key=ROOT) as keyed:
        with pytest.raises(KeyMissing), plain.open("MARK-one") as session:
            session.state["mine"] = 1
            session.save()
            keyed.encrypt()
            session.state["mine"] = 2
            session.save()
        assert content(keyed, "MARK-one")["mine"] == 1
        assert all(each.ok for each in keyed.verify())


def test_what_is_made_without_the_key_after_all_is_found_by_encrypting_again(
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    with Store(url) as plain, Store(url, key=ROOT) as keyed:
        plain.states()
        keyed.encrypt()
        with plain.open("late") as session:
            session.state["n"] = 1
        with pytest.raises(Tampered, match="keys init"):
            content(keyed, "late")
        assert keyed.encrypt().states == 1
        assert content(keyed, "late") == {"n": 1}


@pytest.mark.parametrize("is_cut", [True, False])
def test_what_cannot_be_read_stays_and_is_told(is_cut: bool, tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)
    with apsw.Connection(url) as file:
        ((row, blob),) = file.execute("SELECT min(rowid), blob FROM records")
        at = len(blob) // 2  # sealed as it is, one wrong byte would be genuine ever after
        hurt = b"\0" if is_cut else blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        file.execute("UPDATE records SET blob = ? WHERE rowid = ?", (hurt, row))
    with Store(url, key=ROOT) as store:
        done = store.encrypt()
        assert len(done.problems) == 1
        assert "record" in done.problems[0]
        assert store.key_info().stage == "clear"
        with pytest.raises(NotEncrypted, match="keys init"):
            store.rewrap()


def test_what_one_answer_does_not_hold_is_encrypted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path)
    with Store(f"memory:{name}", maintenance="off") as store:
        small(name, None, "one", "two", "three", "four", "five")
        with store.open("five") as session:
            for number in range(20):  # pages are asked for by 16
                session.state[f"raw {number}"] = os.urandom(70_000)
                session.save()
        assert "snapshot" in store.maintain("five")[0].steps
        with store.open("five") as session:
            for number in range(5):
                session.state["n"] = number
                session.save()
        before = seen(store)
    monkeypatch.setattr(limits, "heads_listed_max", 2)
    monkeypatch.setattr(limits, "piece_rows_max", 2)
    with Store(f"memory:{name}", key=ROOT, maintenance="off") as store:
        assert store.encrypt().states == 5
        assert seen(store) == before
        assert all(each.ok for each in store.verify())


def test_sessions_with_the_key_go_on_while_a_store_is_encrypted(tmp_path: Path) -> None:
    goes_on_during(str(tmp_path / "a.db"), None, lambda store: store.encrypt())


# ---- other keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("hide_names", [False, True])
@pytest.mark.parametrize("kind", URLS)
def test_rotating_changes_who_can_open_and_no_session_notices(
    kind: str, hide_names: bool, tmp_path: Path
) -> None:
    url = url_of(kind, tmp_path)
    filled(url, hide_names=hide_names)
    with Store(url, key=ROOT) as open_store, Store(url, key=ROOT) as store:
        session = open_store.open("MARK-one")
        before = seen(store)
        assert store.rotate(OTHER).root == key_of(OTHER).key_id
        assert seen(store) == before
        session.state["more"] = 1
        session.close()
        assert content(store, "MARK-one")["more"] == 1
    with Store(url, key=ROOT) as store, pytest.raises(WrongKey):
        store.states()
    with Store(url, key=OTHER) as store:
        assert all(each.ok for each in store.verify())


def test_nothing_is_left_of_what_the_former_root_key_opens(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url)
    with Store(url, key=ROOT) as store:
        store.states()
        former = store._driver.backend.ring.blob  # type: ignore[attr-defined]
        assert former in files(tmp_path)
        store.rotate(OTHER)
        raw = files(tmp_path)
        assert store._driver.backend.ring.blob in raw  # type: ignore[attr-defined]
    assert former[-40:] not in raw
    assert former[20:60] not in raw


def generations(url: str) -> set[int]:
    file = apsw.Connection(url)
    tables = ("SELECT blob FROM records", "SELECT blob FROM pages", "SELECT head FROM heads")
    found = {generation_of(blob) for sql in tables for (blob,) in file.execute(sql)}
    file.close()
    return found


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("hide_names", [False, True])
def test_new_data_keys_for_all(hide_names: bool, apart: bool, tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    options = {"keys_url": str(tmp_path / "keys.db")} if apart else {}
    filled(url, hide_names=hide_names, **options)
    with Store(url, key=ROOT, **options) as store:  # type: ignore[arg-type]
        before = seen(store)
        assert store.rewrap().rows == 0
        assert generations(url) == {1}
        done = store.rewrap(deep=True)
        assert (done.states, done.problems) == (4, ())
        info = store.key_info()
        assert (info.data_keys, info.states, info.rewrap) == (4, 4, "")
        assert generations(url) == {2}
        assert seen(store) == before
        assert all(each.ok for each in store.verify())
    with Store(url, key=ROOT, **options) as store:  # type: ignore[arg-type]
        assert seen(store) == before


def test_sessions_go_on_while_they_get_new_keys(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    goes_on_during(url, ROOT, lambda store: store.rewrap(deep=True))
    assert generations(url) == {2}


def goes_on_during(url: str, before: bytes | None, work: Any) -> None:
    """Save in other stores while `work` is under way; nothing that was acknowledged is lost."""
    filled(url, key=before)
    with Store(url, key=ROOT) as store:
        if before is None:
            store.encrypt()  # so that those with the key may begin
            with Store(url, key=ROOT) as other:
                other.states()
        is_over, saved = threading.Event(), dict[str, int]()

        def save(name: str) -> None:
            with Store(url, key=ROOT, busy_timeout=30) as mine, mine.open(name) as session:
                session.state["n"] = 0
                while not is_over.is_set() or session.state["n"] < 20:
                    session.state["n"] += 1
                    session.state["MARK-section"].append({"n": session.state["n"]})
                    session.save(durability="process")
                    saved[name] = session.state["n"]

        threads = [threading.Thread(target=save, args=(f"MARK-{name}",)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                try:
                    work(store)
                    break
                except Busy:
                    continue
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        assert {name: content(store, name)["n"] for name in saved} == saved
        assert len(saved) == 2
        assert [each.problem for each in store.verify() if not each.ok] == []


def test_an_async_store_has_the_same(tmp_path: Path) -> None:
    url = str(tmp_path / "a.db")
    filled(url, key=None)

    async def work() -> None:
        async with AsyncStore(url, key=ROOT) as store:
            assert (await store.encrypt()).states == 4
            assert (await store.rewrap(deep=True)).states == 4
            assert (await store.rotate(OTHER)).root == key_of(OTHER).key_id
            assert (await store.key_info()).data_keys == 4

    asyncio.run(work())
    with Store(url, key=OTHER) as store:
        assert all(each.ok for each in store.verify())


def test_a_store_without_a_key_is_told_so() -> None:
    with Store("memory:") as store:
        for call in (store.encrypt, store.rewrap, store.key_info, lambda: store.rotate(OTHER)):
            with pytest.raises(UsageError, match="without a key"):
                call()


# ---- deaths ---------------------------------------------------------------------------------


class Dying(MemoryBackend):
    """A store that can be used so many times, and then not any more."""

    left = 10**9

    def _use(self) -> None:
        type(self).left -= 1
        if self.left < 0:
            raise StoreUnavailable("the process died here")

    def perform(self, request: Any) -> Any:
        self._use()
        return super().perform(request)

    def commit(self, batch: Any) -> Any:
        self._use()
        return super().commit(batch)


@pytest.mark.parametrize("work", ["encrypt", "rewrap", "deep"])
def test_what_died_at_any_moment_is_ended_by_doing_it_again(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0
    for left in range(0, 1000, 3):
        name = f"{tmp_path}/{work}/{left}"
        small(name, None if work == "encrypt" else ROOT)
        with Store(f"memory:{name}", key=None if work == "encrypt" else ROOT) as store:
            before = seen(store)
        backend = Dying(name)
        monkeypatch.setattr(Dying, "left", left)
        has_died = False
        try:
            do(work, Store(backend, key=ROOT, maintenance="off"))
        except (StoreUnavailable, Damaged):
            has_died, deaths = True, deaths + 1
        monkeypatch.setattr(Dying, "left", 10**9)
        with Store(f"memory:{name}", key=ROOT, maintenance="off") as store:
            if work != "encrypt":
                assert seen(store) == before  # and nothing was lost at any moment
            do(work, store)
            assert seen(store) == before
            assert all(each.ok for each in store.verify())
            info = store.key_info()
            assert (info.stage, info.rewrap, info.data_keys) == ("sealed", "", info.states)
        if not has_died:
            break
    assert deaths > 5


def do(work: str, store: Any) -> None:
    done = store.encrypt() if work == "encrypt" else store.rewrap(deep=work == "deep")
    if done.problems:
        raise Damaged(str(done.problems))


def small(name: str, key: bytes | None, *keys: str) -> None:
    with Store(f"memory:{name}", key=key, maintenance="off") as store:
        for each in keys or ("one", "two"):
            with store.open(each) as session:
                session.state["text"] = "x" * 40_000
                session.save()
            store.maintain(each)
            with store.open(each) as session:
                session.state["n"] = 1


def test_pages_put_while_their_state_gets_a_key_are_put_under_it(tmp_path: Path) -> None:
    name = str(tmp_path)
    small(name, ROOT)
    with Store(f"memory:{name}", key=ROOT, maintenance="off") as store:
        content(store, "one")
        backend: Any = store._driver.backend
        row = backend.perform(ReadHead("one"))
        owner = store._site("one").head(row).incarnation
        place = Place(store._driver.store_id, owner, page=bytes(32))
        page = PageRow(bytes(32), seal(Kind.PAGE, place, b"a page"))
        inner = backend.inner

        class Between:
            """Gives the state another key just after pages were put."""

            is_done = False

            def perform(self, request: Any) -> Any:
                answer = inner.perform(request)
                if isinstance(request, PutPages) and not self.is_done:
                    self.is_done = True
                    (there,) = inner.perform(ReadKeys((owner,)))
                    new = backend.ring.wrap(backend.ring.unwrap(owner, there.blob).renewed())
                    assert inner.perform(PutKey(owner, there.blob, new))
                return answer

        backend.inner = Between()
        backend.perform(PutPages(owner, (page,)))
        backend.inner = inner
        (stored,) = inner.perform(ReadPages(owner, (bytes(32),)))
        assert generation_of(stored.blob) == 2
        (given,) = backend.perform(ReadPages(owner, (bytes(32),)))
        assert unseal(Kind.PAGE, place, given.blob, 100) == b"a page"
