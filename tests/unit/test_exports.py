"""A state exported and imported: whole, with every hash, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.sessions import save

import perdure
from perdure import errors


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    url = "memory:" if request.param == "memory" else tmp_path / "agents.db"
    with perdure.Store(url) as store:
        yield store


def test_export_and_import_keep_every_hash(store: perdure.Store, tmp_path: Path) -> None:
    for n in range(30):
        save(store, "a", n=n, text="x" * n * 100)
    wrote = store.export("a", tmp_path / "a.perdure")
    with perdure.Store("memory:") as other:
        info = other.import_(tmp_path / "a.perdure")
        assert info.number == wrote.checkpoints == 30
        assert [cp.hash for cp in other.history("a")] == [cp.hash for cp in store.history("a")]
        assert other.at("a", 30).plain() == store.at("a", 30).plain()
        assert all(found.ok for found in other.verify())
        with pytest.raises(errors.StateExists):
            other.import_(tmp_path / "a.perdure")
        other.import_(tmp_path / "a.perdure", key="b")
        assert other.at("b", 7).plain() == store.at("a", 7).plain()


def test_a_damaged_export_is_refused_and_leaves_nothing(
    store: perdure.Store, tmp_path: Path
) -> None:
    save(store, "a", n=1, text="hello" * 100)
    store.export("a", tmp_path / "a.perdure")
    whole = (tmp_path / "a.perdure").read_bytes()
    for at in range(0, len(whole), 7):
        (tmp_path / "bad").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(errors.NeedsPerson):
            store.import_(tmp_path / "bad", key="b")
        (tmp_path / "bad").write_bytes(whole[:at])
        with pytest.raises(errors.NeedsPerson):
            store.import_(tmp_path / "bad", key="b")
    assert [info.key for info in store.states()] == ["a"]
    assert store.import_(tmp_path / "a.perdure", key="b").number == 1


def test_a_damaged_export_names_the_file_and_the_frame(
    store: perdure.Store, tmp_path: Path
) -> None:
    save(store, "a", n=1)
    store.export("a", tmp_path / "a.perdure")
    data = bytearray((tmp_path / "a.perdure").read_bytes())
    data[-20] ^= 1
    (tmp_path / "a.perdure").write_bytes(data)
    with pytest.raises(errors.Damaged, match=r"a\.perdure: frame 3"):
        store.import_(tmp_path / "a.perdure", key="b")


def test_two_imports_of_one_file_at_once_both_arrive_whole(
    store: perdure.Store, tmp_path: Path
) -> None:
    save(store, "a", n=1)
    store.export("a", tmp_path / "a.perdure")
    with perdure.Store("memory:") as other:

        def again(done: int, total: int) -> None:
            other.import_(tmp_path / "a.perdure", key="two")

        other.import_(tmp_path / "a.perdure", key="one", progress=again)
        assert other.at("one", 1).plain() == other.at("two", 1).plain() == {"n": 1}
        assert all(found.ok for found in other.verify())
