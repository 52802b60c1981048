"""Two sessions that merge save what a plain merge of documents makes, and show it (P3, P13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.property.test_merge import Document, applied, documents, edits, reference_dict

import perdure
from perdure.backends.memory import MemoryBackend
from perdure.core.changes import Change, Delete, Set, Splice
from perdure.core.codec import pack
from perdure.core.paths import Path
from perdure.core.values import take
from perdure.engine.requests import Answer, Commit, ReadRecords, StorageRequest
from perdure.errors import MergeConflicts, PerdureError
from perdure.types import Strategy


@contextmanager
def opened(
    base: Document, strategies: dict[str, Strategy], backend: MemoryBackend | None = None
) -> Iterator[tuple[perdure.Store, list[perdure.Session]]]:
    """Two sessions on one state, which merge; their store is closed in the end."""
    with perdure.Store(backend or MemoryBackend(), maintenance="off") as store:
        with store.open("a") as session:
            session.state.update(take(base))
        sessions = [store.open("a", on_conflict="merge", strategies=strategies) for _ in range(2)]
        try:
            yield store, sessions
        finally:
            for session in sessions:
                if not session.closed:
                    session.refresh()
                    session.close()


def edit(state: Any, changes: Sequence[Change]) -> None:
    """Make the changes as a user would."""
    for change in changes:
        holder = state
        for part in change.path[:-1]:
            holder = holder[part]
        part = change.path[-1]
        if isinstance(change, Set):
            holder[part] = take(change.value)
        elif isinstance(change, Delete):
            del holder[part]
        elif isinstance(change, Splice):
            holder[part][change.start : change.start + change.removed] = take(change.items)
        else:
            holder[part] -= set(change.removed)
            holder[part] |= set(change.added)


@given(documents(), st.data())
def test_what_two_sessions_save_is_what_a_plain_merge_makes(
    base: Document, data: st.DataObject
) -> None:
    theirs, ours = data.draw(edits(base), "theirs"), data.draw(edits(base), "ours")
    clashes: set[Path] = set()
    sides = base, applied(base, ours), applied(base, theirs)
    wanted = reference_dict(*sides, (), clashes)
    with opened(base, {}) as (store, (first, second)):
        for session, changes in ((first, theirs), (second, ours)):
            edit(session.state, changes)
            # One item for one is told as an edit of it, which the plain merge cannot know.
            assume(not any(type(each.path[-1]) is int for each in session.changes()))
        first.save()
        if clashes:
            before = pack(second.state.plain())
            with pytest.raises(MergeConflicts) as caught:
                second.save()
            assert {conflict.path for conflict in caught.value.conflicts} == clashes
            assert pack(second.state.plain()) == before
            second.strategies["**"] = "ours"
            second.save()
        else:
            second.save()
            second.refresh(keep_changes=True)  # for when there was nothing to save
            assert second.state.plain() == wanted
        assert pack(second.state.plain()) == pack(store.at("a", "main").plain())
        assert second.changes() == []


rules: st.SearchStrategy[Strategy] = st.sampled_from(["ours", "theirs", "append", "set"])


@given(documents(), st.data(), rules)
def test_sessions_that_go_on_and_on_show_what_is_saved(
    base: Document, data: st.DataObject, rule: Strategy
) -> None:
    with opened(base, {"**": "theirs", "l": rule, "a": rule}) as (store, sessions):
        for _ in range(data.draw(st.integers(2, 5))):
            session = data.draw(st.sampled_from(sessions))
            edit(session.state, data.draw(edits(session.state.plain(), 3)))
            how = data.draw(st.sampled_from(["save", "save", "label", "keep", "later"]))
            if how == "later":
                continue
            try:
                go_on(session, how)
            except MergeConflicts:  # the rule does not fit what it found
                session.strategies["l"] = session.strategies["a"] = "ours"
                go_on(session, how)
            # What is live is what was read, and what is not saved yet.
            live = applied(at_its_checkpoint(store, session), session.changes())
            assert pack(live) == pack(session.state.plain())


def go_on(session: perdure.Session, how: str) -> None:
    if how == "keep":
        session.refresh(keep_changes=True)
    else:
        session.save(label=None if how == "save" else "label")


def at_its_checkpoint(store: perdure.Store, session: perdure.Session) -> Document:
    """The state at the checkpoint that the session is at."""
    assert session.checkpoint is not None
    plain: Document = store.at("a", session.checkpoint.id).plain()
    return plain


class Meddling(MemoryBackend):
    """A backend in which something is done once before a commit, and once before a read of records.

    So it comes after what is to be saved was captured, and while the base of a merge is read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before_commit = self.before_read = list[Callable[[], object]]()

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        while self.before_commit:
            self.before_commit.pop()()
        return super().commit(batch)

    def perform(self, request: StorageRequest) -> Any:
        while type(request) is ReadRecords and self.before_read:
            self.before_read.pop()()
        return super().perform(request)


decided: st.SearchStrategy[Strategy] = st.sampled_from(["ours", "theirs"])


@given(documents(), st.data(), decided, st.booleans())
def test_edits_made_after_a_save_was_called_are_no_part_of_it(
    base: Document, data: st.DataObject, rule: Strategy, is_discarded: bool
) -> None:
    theirs, ours = data.draw(edits(base), "theirs"), data.draw(edits(base), "ours")
    shown = applied(base, ours)
    later = data.draw(edits(shown), "later")
    latest = data.draw(edits(applied(shown, later)), "latest")
    with opened(base, {"**": rule}) as (store, (first, second)):
        edit(first.state, theirs)
        edit(second.state, ours)
        first.save()
        second.save()
        wanted = pack(store.at("a", "main").plain())
    backend = Meddling()
    with opened(base, {"**": rule}, backend) as (store, (first, second)):
        edit(first.state, theirs)
        edit(second.state, ours)
        first.save()

        def meddle() -> None:
            edit(second.state, later)
            backend.before_read.append(lambda: edit(second.state, latest))

        backend.before_commit.append(meddle)
        second.save()
        backend.before_commit, backend.before_read = [], []
        assert pack(store.at("a", "main").plain()) == wanted
        live = applied(at_its_checkpoint(store, second), second.changes())
        assert pack(live) == pack(second.state.plain())
        if is_discarded:
            with suppress(ZeroDivisionError), second:
                raise ZeroDivisionError
            assert pack(store.at("a", "main").plain()) == wanted
        else:
            second.close()
            assert pack(at_its_checkpoint(store, second)) == pack(second.state.plain())
