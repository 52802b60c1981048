"""Handles that can do only what they were made for, and stores that are only read (P9, P13)."""

import asyncio
import inspect
import io
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.access import NEEDS, Need
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Commit, HeadRow, ListHeads, ReadHead, ReadState, Steps, Tail
from perdure.engine.scope import EVERYTHING, VERBS, Scope, within
from perdure.errors import (
    InvalidStoreURL,
    NotAllowed,
    ReadOnlyStore,
    StoreClosed,
    UsageError,
)

KEYS = ("sales/bob", "support", "support-admin/eve", "support/alice", "support/ann/1")
WITHIN = ["support/alice", "support/ann/1"]


@pytest.fixture
def store() -> Iterator[perdure.Store]:
    with perdure.Store("memory:", maintenance="off") as store:
        for key in KEYS:
            with store.open(key) as session:
                session.state["plan"] = {"goal": key}
        yield store


def public(cls: type) -> dict[str, Callable[..., Any]]:
    members = {name: inspect.getattr_static(cls, name) for name in dir(cls)}
    return {
        name: each
        for name, each in members.items()
        if not name.startswith("_") and not isinstance(each, property)
    }


FACADES = pytest.mark.parametrize("cls", [perdure.Store, perdure.AsyncStore])


@FACADES
def test_every_public_method_is_classified(cls: type) -> None:
    assert set(public(cls)) == set(NEEDS), "say in perdure.access.NEEDS what a new method needs"


def test_a_method_that_nobody_classified_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with perdure.Store("memory:") as store:
        handle = store.scoped("support/*", allow=VERBS)
        monkeypatch.delitem(NEEDS, "states")
        with pytest.raises(NotAllowed, match="in no list"):
            handle.states()


def call(name: str, method: Callable[..., Any], **given: Any) -> dict[str, Any]:
    """Arguments for a call that is to be refused before any of them is looked at."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    needed = {
        each.name: "x"
        for each in parameters
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    }
    return {**needed, **given}


def with_a_key() -> list[tuple[str, str]]:
    found = []
    for name, method in public(perdure.Store).items():
        need = NEEDS[name]
        if need is not None and not need.whole:  # of which a key may be one to encrypt by
            keys = {"key", "new", "other"} & inspect.signature(method).parameters.keys()
            found += [(name, key) for key in sorted(keys)]
    return found


class Counted(MemoryBackend):
    """Counts what it is asked."""

    asked = 0

    def perform(self, request: Any) -> Any:
        self.asked += 1
        return super().perform(request)


@FACADES
@pytest.mark.parametrize(("name", "parameter"), with_a_key())
def test_no_method_reaches_a_key_outside(cls: type, name: str, parameter: str) -> None:
    backend = Counted()
    with perdure.Store(backend, maintenance="off") as made, made.open("sales/bob") as session:
        session.state["plan"] = 1
    whole = cls(Counted(), maintenance="off")
    handle = whole.scoped("support/*", allow=VERBS)
    method = getattr(handle, name)
    given = call(name, public(cls)[name], **{"key": "support/alice", parameter: "sales/bob"})
    if "key" not in inspect.signature(method).parameters:
        given.pop("key", None)

    async def tried() -> Any:
        made = method(**given)
        return await made if inspect.isawaitable(made) else made

    with pytest.raises(NotAllowed, match="outside of what this handle may use"):
        asyncio.run(tried())
    assert whole._driver.backend.asked == 0


VERB_OF = [(name, need.verb) for name, need in NEEDS.items() if need is not None]


@pytest.mark.parametrize(("name", "verb"), VERB_OF)
def test_each_method_needs_its_verb(store: perdure.Store, name: str, verb: Any) -> None:
    if verb == "read":
        return
    handle = store.scoped("support/*", allow=VERBS - {verb})
    given = call(name, public(perdure.Store)[name])
    if "key" in inspect.signature(getattr(handle, name)).parameters:
        given["key"] = "support/alice"
    with pytest.raises(NotAllowed, match=f"needs '{verb}'"):
        getattr(handle, name)(**given)


@pytest.mark.parametrize(
    "name", [name for name, need in NEEDS.items() if need is not None and need.whole]
)
def test_what_is_about_the_whole_store_is_refused(store: perdure.Store, name: str) -> None:
    handle = store.scoped("*", allow=VERBS)
    with pytest.raises(NotAllowed, match="whole store"):
        getattr(handle, name)(**call(name, public(perdure.Store)[name]))
    with pytest.raises(NotAllowed, match="whole store"):
        handle.maintain()
    handle.maintain("support/alice")


def test_listings_show_what_lies_within(store: perdure.Store) -> None:
    with store.open("sales/bob") as session, pytest.raises(perdure.errors.Waiting):
        session.ask("approve", {"amount": 1})
    handle = store.scoped("support/*", allow=VERBS)
    for prefix in ("", "s", "support", "support/"):
        assert [each.key for each in handle.states(prefix)] == WITHIN
    assert handle.states("sales/") == []
    assert [each.key for each in handle.states(limit=1)] == WITHIN[:1]
    assert [each.key for each in handle.states(after=WITHIN[0])] == WITHIN[1:]
    assert [each.key for each in handle.verify()] == WITHIN
    assert [each.key for each in store.waiting()] == ["sales/bob"]
    assert handle.waiting() == handle.waiting("sales/") == handle.due() == []
    one = store.scoped("support", allow={"read"})
    assert [each.key for each in one.states()] == ["support"]


def test_a_watch_shows_what_lies_within(store: perdure.Store) -> None:
    handle = store.scoped("support/*")
    with handle.watch("*", since="start", timeout=0) as watch:
        assert [landed.checkpoint.key for landed in watch] == WITHIN
    with handle.watch("sales/*", since="start", timeout=0) as watch:
        assert list(watch) == []


def test_a_handle_works_within(store: perdure.Store) -> None:
    handle = store.scoped("support/*")
    with handle.open("support/new") as session:
        session.state["plan"] = 1
    handle.copy("support/new", "support/newer")
    handle.fork("support/new", "what-if")
    assert handle.at("support/newer", 1)["plan"] == 1
    assert store.info("support/newer").number == 1
    assert handle.diff("support/new", 1, 1, other="support/newer") == []


def test_a_session_that_only_reads_saves_nothing(store: perdure.Store) -> None:
    handle = store.scoped("support/*", allow={"read", "answer", "manage"})
    with handle.open("support/alice") as session:
        assert session.state["plan"] == {"goal": "support/alice"}
        with pytest.raises(NotAllowed, match="a save of 'support/alice' needs 'write'"):
            session.save()
    with pytest.raises(NotAllowed, match="needs 'write'"):
        handle.open("support/alice", exclusive=True)
    session = handle.open("support/alice")
    session.state["plan"] = 2
    with pytest.raises(NotAllowed) as caught:
        session.close()
    assert caught.value.session is session
    session.refresh()
    session.close()
    assert store.info("support/alice").number == 1


def test_a_session_may_do_no_more_than_sessions_do(store: perdure.Store) -> None:
    handle = store.scoped("support/*", allow={"read", "answer", "manage"})
    session = handle.open("support/alice")
    with pytest.raises(NotAllowed):  # as a claim of an effect would
        session._driver.answer(commit("support/alice"))
    with pytest.raises(NotAllowed), session.task("refund") as task:
        task.step("pay", str)
    session.refresh()
    session.close()
    assert store.info("support/alice").number == 1


def test_scopes_of_scopes_only_narrow(store: perdure.Store) -> None:
    handle = store.scoped("support/*", allow={"read", "write"})
    narrower = handle.scoped("support/ann/*", allow={"read"})
    assert [each.key for each in narrower.states()] == ["support/ann/1"]
    with pytest.raises(NotAllowed, match="needs 'write'"):
        narrower.rollback("support/ann/1", 1)
    for pattern in ("*", "sales/*", "support-admin/*", "supporter/*", "support"):
        with pytest.raises(NotAllowed, match="only narrows"):
            handle.scoped(pattern)
    one = handle.scoped("support/alice", allow={"read"})
    for pattern in ("support/alice/*", "support/*", "*"):
        with pytest.raises(NotAllowed):
            one.scoped(pattern, allow={"read"})
    with pytest.raises(NotAllowed, match="needs 'manage'"):
        handle.scoped("support/*", allow={"read", "manage"})


@pytest.mark.parametrize("pattern", ["", "support*", "sup*port/*", "*/support", None, 7])
def test_patterns_that_are_none(store: perdure.Store, pattern: Any) -> None:
    with pytest.raises(UsageError):
        store.scoped(pattern)


@pytest.mark.parametrize("allow", [{"write"}, (), "read", {"read", "fly"}, None])
def test_verbs_that_are_none(store: perdure.Store, allow: Any) -> None:
    with pytest.raises(UsageError, match="allow"):
        store.scoped("*", allow=allow)


def test_an_import_cannot_name_what_lies_outside(store: perdure.Store) -> None:
    file = io.BytesIO()
    store.export("sales/bob", file)
    store.delete("sales/bob")
    handle = store.scoped("support/*")
    with pytest.raises(NotAllowed, match="sales/bob"):
        handle.import_(io.BytesIO(file.getvalue()))
    handle.import_(io.BytesIO(file.getvalue()), "support/bob")
    assert [each.key for each in store.states("sales/")] == []


def test_nothing_public_leads_back(store: perdure.Store) -> None:
    handle = store.scoped("support/*", allow={"read"})
    session = handle.open("support/alice")
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(handle, 0), (session, 0), (handle.watch("*", timeout=0), 0)]
    while todo:
        thing, depth = todo.pop()
        if id(thing) in seen or depth > 3:
            continue
        seen.add(id(thing))
        assert thing is not store
        assert not isinstance(thing, perdure.Store) or thing is handle
        for name in dir(thing):
            if not name.startswith("_") and type(thing).__module__.startswith("perdure"):
                value = getattr(thing, name, None)
                owner = getattr(value, "__self__", None)
                todo += [(value, depth + 1), (owner, depth + 1)]
    with pytest.raises(InvalidStoreURL):
        perdure.Store(handle.url)
    session.close()


def test_closing_a_handle_closes_it_alone(store: perdure.Store) -> None:
    with store.scoped("support/*") as handle:
        handle.states()
    with pytest.raises(StoreClosed):
        handle.states()
    with pytest.raises(StoreClosed):
        handle.open("support/alice")
    assert len(store.states()) == len(KEYS)


def test_a_handle_ends_with_its_store() -> None:
    store = perdure.Store("memory:")
    handle = store.scoped("support/*")
    session = handle.open("support/alice")
    session.state["plan"] = 1
    with pytest.warns(ResourceWarning, match="store was closed"):
        store.close()
    with pytest.raises(StoreClosed):
        handle.states()


def test_the_async_twin() -> None:
    async def work() -> None:
        async with perdure.AsyncStore("memory:") as store:
            for key in KEYS:
                async with store.open(key) as session:
                    session.state["plan"] = 1
            handle = store.scoped("support/*", allow={"read"})
            assert [each.key for each in await handle.states()] == WITHIN
            with pytest.raises(NotAllowed):
                await handle.delete("support/alice")
            with pytest.raises(NotAllowed):
                await handle.history("sales/bob")
            async with handle.open("support/alice") as session:
                with pytest.raises(NotAllowed):
                    await session.save()
            async with handle.watch("*", since="start", timeout=0) as watch:
                assert [landed.checkpoint.key async for landed in watch] == WITHIN

    asyncio.run(work())


# ---- the wall by itself ---------------------------------------------------------------------


def asked(scope: Scope, request: Any) -> Any:
    """What reaches the driver of one request; the answer to it is no more than a mark."""

    def steps() -> Steps[Any]:
        return (yield request)

    behind = within(scope, steps())
    try:
        return behind.send(None)
    except StopIteration as stop:
        return stop.value


def commit(key: str) -> Commit:
    return Commit(key, None, HeadRow(b"", b""), Tail(b"", 0, 0))


def test_the_wall_lets_no_other_key_through() -> None:
    scope = Scope("support/*", VERBS)
    for make in (ReadHead, ReadState, commit):
        assert asked(scope, make("support/alice")) == make("support/alice")
        for key in ("support", "support-admin/eve", "sales/bob", "", "Support/alice"):
            with pytest.raises(NotAllowed):
                asked(scope, make(key))
    with pytest.raises(NotAllowed):
        asked(Scope("support/*", frozenset(("read",))), commit("support/alice"))


def test_the_wall_cuts_every_listing() -> None:
    store = MemoryBackend()
    rows = {key: HeadRow(b"t", b"h") for key in KEYS}
    for key, row in rows.items():
        store.perform(Commit(key, None, row, Tail(key.encode(), 0, 0)))
    patterns = ("*", "support/*", "support/ann/*", "support", "sales/bob", "nobody/*")
    prefixes = ("", "s", "sales/", "support", "support/", "support/ann/1", "x")
    for pattern, prefix, after in product(patterns, prefixes, (None, *KEYS)):
        scope = Scope(pattern, VERBS)
        request = asked(scope, ListHeads(prefix, after, 10))
        found = request if isinstance(request, tuple) else store.perform(request)
        listed = [key for key, _ in scope.answer_to(request, found)]
        wanted = [key for key in KEYS if scope.has(key) and key.startswith(prefix)]
        assert listed == [key for key in wanted if after is None or key > after]


# ---- read-only stores -----------------------------------------------------------------------


def writing() -> list[tuple[str, Need]]:
    return [(name, need) for name, need in NEEDS.items() if need and need.verb != "read"]


@pytest.mark.parametrize(("name", "need"), writing())
def test_a_read_only_store_refuses_before_anything(name: str, need: Need) -> None:
    backend = Counted()
    with perdure.Store(backend, read_only=True) as store:
        with pytest.raises(ReadOnlyStore, match="read_only=True"):
            getattr(store, name)(**call(name, public(perdure.Store)[name]))
        assert backend.asked == 0


def test_a_read_only_store_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with perdure.Store(path) as made, made.open("support/alice") as session:
        session.state["plan"] = {"goal": "refund"}
        session.save()
        session.state["plan"]["goal"] = "paid"
    before = path.read_bytes()
    with perdure.Store(path, read_only=True) as store:
        with store.open("support/alice") as session:
            assert session.state["plan"] == {"goal": "paid"}
            with pytest.raises(ReadOnlyStore):
                session.save()
        assert [each.ok for each in store.verify()] == [True]
        rollback = store.rollback("support/alice", 1, dry_run=True)
        assert rollback is not None
        assert rollback.dry_run
        store.backup(tmp_path / "copy.db")
        assert store.unreferenced() == []
        handle = store.scoped("support/*", allow={"read"})
        assert [each.key for each in handle.states()] == ["support/alice"]
        with pytest.raises(ReadOnlyStore):
            store.scoped("support/*")
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["agents.db", "copy.db"]


def test_everything_is_a_scope_too(store: perdure.Store) -> None:
    assert [each.key for each in store.scoped(EVERYTHING).states()] == sorted(KEYS)


def test_a_handle_cannot_repair_since_that_copies_the_whole_store(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db") as store:
        with store.open("support/alice") as session:
            session.state["plan"] = 1
        with pytest.raises(NotAllowed, match="needs 'manage'"):
            store.scoped("support/*").verify("support/alice", repair=True)
        handle = store.scoped("support/*", allow=VERBS)
        with pytest.raises(NotAllowed, match="about the whole store"):
            handle.verify("support/alice", repair=True)
        assert [each.ok for each in handle.verify("support/alice", repair=True, dry_run=True)]
    assert list(tmp_path.iterdir()) == [tmp_path / "a.db"]
