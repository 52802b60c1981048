"""What a dry run of a merge tells is what differs once its changes are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.core.changes import Change, apply, copies
from perdure.core.codec import pack
from perdure.core.diff import Difference, diff
from perdure.testing.strategies import changes_for
from perdure.testing.strategies import sections as states

BIG = {f"file {n}": f"{n:064x}" for n in range(2000)}


def told(found: Iterable[Difference]) -> list[tuple[Any, ...]]:
    """Differences as what is the same exactly if they are."""
    return [(each.path, each.kind, pack(each.before), pack(each.after)) for each in found]


def edit(store: perdure.Store, branch: str, make: Callable[[dict[str, Any]], None]) -> None:
    """Edit a state by what `make` does to a plain one, in which names of sections may be empty."""
    with store.open("s", branch=branch) as session:
        plain = {name.removeprefix("+"): value for name, value in session.state.plain().items()}
        make(plain)
        session.state.clear()
        session.state.update(named(plain))


def named(plain: dict[str, Any]) -> dict[str, Any]:
    return {f"+{name}": value for name, value in plain.items()}


def forked(store: perdure.Store, state: dict[str, Any]) -> None:
    """A state with a branch, of which as much is in a snapshot as maintenance puts there."""
    with store.open("s") as session:
        session.state.update(deepcopy(state))
        session.state["n"] = 0
        session.save()
        for n in range(3):
            session.state["n"] = n
            session.save()
    store.maintain("s")
    store.fork("s", "side")


@given(states(), st.data())
def test_of_any_states(state: dict[str, Any], data: st.DataObject) -> None:
    def make(plain: dict[str, Any]) -> None:
        drawn: list[Change] = data.draw(changes_for(plain))
        apply(plain, deepcopy(drawn))

    with pytest.MonkeyPatch.context() as patch, perdure.Store("memory:") as store:
        patch.setattr(limits, "tail_records_max", 2)
        patch.setattr(limits, "section_inline_bytes_max", 12)
        forked(store, named({"kept": [1], **state}))
        edit(store, "side", make)
        edit(store, "main", make)
        preview = store.merge("s", "side", dry_run=True)
        if preview is None:
            return
        before = store.at("s", "main").plain()
        after = deepcopy(before)
        apply(after, copies(preview.changes))
        assert preview.differences is not None
        assert told(preview.differences) == told(diff(before, after))


def test_where_the_pages_of_a_snapshot_are_gone() -> None:
    backend = MemoryBackend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "tail_records_max", 2)
        with perdure.Store(backend, cache_bytes=0) as store:
            forked(store, {"files": BIG})
            with store.open("s", branch="side") as session:
                session.state["files"]["file 7"] = "changed"
            with store.open("s") as session:
                session.state["n"] = 9
            whole = store.merge("s", "side", dry_run=True)
            for pages in backend._tables.pages.values():
                assert pages
                pages.clear()
            assert store.merge("s", "side", dry_run=True) == whole
            assert whole is not None
            assert whole.differences is not None
            assert [each.path for each in whole.differences] == [("files", "file 7")]
