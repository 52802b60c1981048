"""Which names a state can be made under, and that those that exist stay in reach."""

import asyncio
import io

import pytest

import perdure
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Commit, ReadHead
from perdure.errors import InvalidKey
from perdure.naming import check_new

GOOD = ("a", "support/alice", "user@example.org", "Zoë", "日本/東京", "a.b/..c", "100%", "👍")
BAD = {
    "/a": "empty",
    "a/": "empty",
    "a//b": "empty",
    ".": "directories",
    "a/..": "directories",
    "a/../b": "directories",
    "a/./b": "directories",
    "a\nb": "cannot be seen",
    "a\u200bb": "cannot be seen",
    "a\u202eb": "cannot be seen",
    "Zoe\u0308": "normal form",
    "a/b*": "begin alike",
    "a\uff0fb": "slash",
    "a\\b": "slash",
    " a": "space",
    "a/b ": "space",
}


@pytest.mark.parametrize("key", GOOD)
def test_good_names(key: str) -> None:
    check_new(key)
    with perdure.Store("memory:") as store, store.open(key) as session:
        session.state["plan"] = 1


@pytest.mark.parametrize("key", BAD)
def test_no_state_is_made_under_a_bad_name(key: str) -> None:
    with perdure.Store("memory:") as store:
        with store.open("good") as session:
            session.state["plan"] = 1
        file = io.BytesIO()
        store.export("good", file)
        with pytest.raises(InvalidKey, match=BAD[key]):
            store.open(key)
        with pytest.raises(InvalidKey, match=BAD[key]):
            store.copy("good", key)
        with pytest.raises(InvalidKey, match=BAD[key]):
            store.import_(io.BytesIO(file.getvalue()), key)
        assert [each.key for each in store.states()] == ["good"]


@pytest.mark.parametrize("key", BAD)
def test_a_bad_name_that_exists_is_in_reach(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    store = perdure.Store(backend, maintenance="off")
    with monkeypatch.context() as earlier:  # as an earlier version let it be made
        earlier.setattr("perdure.opening.check_new", lambda _: None)
        with store.open(key) as session:
            session.state["plan"] = 1
    assert backend.perform(ReadHead(key)) is not None
    with store.open(key) as session:
        session.state["plan"] = 2
    assert store.history(key)[0].number == 2
    assert [each.key for each in store.states()] == [key]
    store.copy(key, perdure.key(key))
    file = io.BytesIO()
    store.export(key, file)
    with pytest.raises(InvalidKey):
        store.import_(io.BytesIO(file.getvalue()))
    store.import_(io.BytesIO(file.getvalue()), "good")
    store.delete(key)
    store.undelete(key)
    assert store.at("good", "main")["plan"] == 2


def test_the_async_twin_refuses_too() -> None:
    async def work() -> None:
        async with perdure.AsyncStore("memory:") as store:
            with pytest.raises(InvalidKey, match="empty"):
                await store.open("a//b")
            assert store.key("support", "a/b") == "support/a%2Fb"

    asyncio.run(work())


def test_keys_out_of_parts() -> None:
    assert perdure.Store("memory:").key("support", "alice") == "support/alice"
    assert perdure.key("support", "..") == "support/%2E%2E"
    assert perdure.key("a b", "100%", "Zoë") == "a b/100%25/Zoë"
    assert perdure.key("Zoe\u0308") == "Zoe%CC%88"
    assert perdure.key_parts("handmade/100%/x") == ("handmade", "100%", "x")
    for parts in ((), ("",), ("a", ""), ("a", 7), ("\ud800",), ("x" * 2000,)):
        with pytest.raises(InvalidKey):
            perdure.key(*parts)


def test_what_is_committed_names_no_bad_key() -> None:
    backend = MemoryBackend()
    commits: list[str] = []
    perform = backend.perform

    def watched(request: object) -> object:
        if isinstance(request, Commit):
            commits.append(request.key)
        return perform(request)  # type: ignore[arg-type]

    backend.perform = watched  # type: ignore[method-assign]
    store = perdure.Store(backend)
    with pytest.raises(InvalidKey):
        store.open("a/../b", exclusive=True)
    assert commits == []
