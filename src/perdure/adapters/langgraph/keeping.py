"""What becomes of threads: deleting, copying and pruning the states they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perdure.adapters.langgraph import deltas, interrupts
from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.comparing import put
from perdure.adapters.langgraph.log import Found
from perdure.adapters.langgraph.places import (
    CHECKPOINT,
    LATE,
    PENDING,
    channel_of,
    channels_in,
    section_of,
)
from perdure.adapters.langgraph.thread import Thread
from perdure.adapters.langgraph.writes import Entry, joined
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.core.retention import Retention
from perdure.errors import StateNotFound
from perdure.state.node import plain
from perdure.types import Checkpoint

if TYPE_CHECKING:
    from perdure.session import Session
    from perdure.store import Store


def delete(store: Store, thread: Thread) -> None:
    """Delete the state of a thread, or do nothing if there is none."""
    with thread.lock:
        thread.forget()
        with suppress(StateNotFound):
            store.delete(thread.key)


def erase(store: Store, threads: Sequence[Thread]) -> None:
    """Erase the states of threads; the files are written anew once, after the last."""
    for at, thread in enumerate(threads, 1):
        with thread.lock:
            thread.forget()
            with suppress(StateNotFound):
                store.erase(thread.key, wipe=at == len(threads))


def copy(store: Store, source: Thread, target: Thread, names: Mapping[str, Any]) -> None:
    """Copy a state with its branches.

    Args:
        store: where both are.
        source: what there is.
        target: what is not.
        names: what the checkpoints of the copy say of the thread they are of, beyond its key.

    Raises:
        StateExists: there is one under the key.
    """
    first, second = sorted((source, target), key=lambda each: each.key)
    with first.lock, second.lock:  # in one order, whichever way others copy
        if not source.look():
            return
        target.forget()
        store.copy(source.key, target.key)
        refs: dict[str, Ref] = {each.id: each.number for each in source.log.of(MAIN)}
        for branch in source.log.tips:
            if branch != MAIN:
                _copy_branch(store, source, target, branch, refs)
        _merge_again(store, source, target)
        if names:
            main = target.tip(MAIN)
            if CHECKPOINT in main.session.state:
                main.session.state[CHECKPOINT].update(names)
                main.save(main.id)
            target.forget()


def _merge_again(store: Store, source: Thread, target: Thread) -> None:
    """Let the copy go on from where the source does: its merges name records that it has not."""
    if len(source.log.tips) == 1:
        return
    latest = source.log.latest()
    merged = source.log.taken_in(latest)
    for name in merged:
        store.merge(target.key, name, into=latest, strategies={"**": "ours"})
    if merged:
        with store.open(target.key, branch=latest) as session:
            _make(session, store.at(source.key, source.log.tips[latest]).plain())
            session.save(session.state[CHECKPOINT]["id"])


def _copy_branch(
    store: Store, source: Thread, target: Thread, branch: str, refs: dict[str, Ref]
) -> None:
    """Save again what a branch has of its own; `refs` tells where its records are in the copy."""
    new: list[Checkpoint] = []
    for record in source.log.of(branch):
        if record.id in refs:
            store.fork(target.key, branch, at=refs[record.id])
            break
        new.append(record)
    with store.open(target.key, branch=branch) as session:
        for record in reversed(new):
            sections = store.at(source.key, record.id).plain()
            _make(session, sections)
            refs[record.id] = session.save(record.label, record.metadata).id


def _make(session: Session, sections: Mapping[str, Any]) -> None:
    """Make the state what another one is, but for what the library has there for itself."""
    state = session.state
    interrupts.repeat(session, sections)
    for name in [name for name in state if name not in sections]:
        if not _is_own(name):
            del state[name]
    for name, value in sections.items():
        if not _is_own(name):
            put(state, name, value)


def _is_own(section: str) -> bool:
    """Whether a section is the library's own, which nobody else assigns."""
    return section.startswith("perdure.")


def keep_latest(store: Store, thread: Thread, coder: Coder) -> None:
    """Remove all checkpoints but the newest, and what its delta channels are rebuilt from."""
    with thread.lock:
        newest = thread.newest()
        if newest is None:
            return
        found = newest[1]
        oldest = _oldest_needed(store, thread, found)
        records = [each.id for each in thread.log.of(found.branch)]
        count = records.index(oldest.id) + 1 if oldest.id in records else len(records)
        branches = [name for name in thread.log.tips if name != MAIN]
        end = next(iter(thread.log.of(found.branch)))
        late = thread.late(newest[0])
        thread.forget()
        if found.branch != MAIN:
            theirs = _of_others(store, thread.key, MAIN)
            store.rollback(thread.key, to=end.id)
            count += _give_back(store, thread.key, MAIN, theirs)
            if late:
                thread.put_writes(newest[0], late)
                thread.forget()
                count += 1
        if found.own is not None and found.own.id not in records:  # a merge brought it here
            thread.tip(MAIN).save(newest[0], found.told)
            thread.forget()
            count = 1 if oldest is found.own else count + 1
        for name in branches:
            store.delete_branch(thread.key, name)
        policy = Retention(keep_last=count, keep_labels=False, keep_left=timedelta(0))
        store.prune(policy, thread.key)
        thread.forget()


def _oldest_needed(store: Store, thread: Thread, found: Found) -> Checkpoint:
    """The oldest record that has to stay for a checkpoint."""
    oldest = found.own or found.end
    counted = found.metadata.get("counters_since_delta_snapshot") or {}
    sections = store.at(thread.key, found.end.id, sections=())
    channels = [name for name in counted if section_of(name) not in sections]
    for ancestor in deltas.ancestors(store, thread, found, channels):
        oldest = ancestor.own
    return oldest


def delete_runs(store: Store, thread: Thread, run_ids: Collection[str]) -> None:
    """Remove the checkpoints of some runs, with their writes."""
    with thread.lock:
        all_ = dict(thread.checkpoints())
        gone = {id_ for id_, found in all_.items() if found.metadata.get("run_id") in run_ids}
        if not gone:
            return
        kept = all_.keys() - gone
        if not kept:
            _end(store, thread)
            return
        _let_go_of_late(thread, gone)
        _let_go_of_summary(thread)
        ends = {name: _newest_of(thread, name, kept) for name in list(thread.log.tips)}
        newest = all_[max(kept)].end
        late = _late_for(store, thread, {id_: all_[id_] for id_ in kept})
        thread.forget()
        for name, end in ends.items():
            if end is None and name != MAIN:
                store.delete_branch(thread.key, name)
                continue
            theirs = _of_others(store, thread.key, name)
            store.rollback(thread.key, to=(end or newest).id, branch=name)
            _give_back(store, thread.key, name, theirs)
        for id_, entries in late.items():
            thread.put_writes(id_, entries)
        thread.forget()
        policy = Retention(keep_last=1, keep_labels=kept, keep_left=timedelta(0))
        store.prune(policy, thread.key)
        thread.forget()


def _end(store: Store, thread: Thread) -> None:
    """Remove all of a thread for good; what others keep in the same state, or did, stays."""
    tip = thread.tip(MAIN)
    state, session = tip.session.state, tip.session
    interrupts.repeat(session, {})
    theirs = _names_of_others(state)
    own = [name for name in state if name not in theirs and not _is_own(name)]
    is_needed = any(state[name] for name in state if name not in own)
    if not is_needed and not store.effects(thread.key):
        thread.forget()
        store.erase(thread.key, wipe=False)  # deleted, it could be brought back
        return
    for name in own:
        del state[name]
    session.summary = None
    session.save()
    branches = [name for name in thread.log.tips if name != MAIN]
    thread.forget()
    for name in branches:
        store.delete_branch(thread.key, name)
    store.prune(Retention(keep_last=1, keep_labels=False, keep_left=timedelta(0)), thread.key)


def _names_of_others(sections: Mapping[str, Any]) -> set[str]:
    """The sections that are neither LangGraph's nor the library's own."""
    channels = set(map(section_of, channels_in(sections.get(CHECKPOINT) or {})))
    return {name for name in sections if name not in channels and channel_of(name) is not None}


def _of_others(store: Store, key: str, branch: str) -> dict[str, Any]:
    """What others keep in the state of a thread."""
    names = _names_of_others(store.at(key, branch, sections=[CHECKPOINT]))
    view = store.at(key, branch, sections=sorted(names))
    return {name: plain(view[name]) for name in sorted(names)}


def _give_back(store: Store, key: str, branch: str, theirs: Mapping[str, Any]) -> bool:
    """Make what others keep in a state what it was before a rollback, which was not of theirs.

    Whether that took a record.
    """
    with store.open(key, branch=branch) as session:
        before = session.checkpoint
        state = session.state
        for name in _names_of_others(state) - theirs.keys():
            del state[name]
        for name, value in theirs.items():
            put(state, name, value)
    return session.checkpoint != before


def _late_for(
    store: Store, thread: Thread, kept: Mapping[str, Found]
) -> dict[str, Sequence[Entry]]:
    """The writes of checkpoints that are in records of other ones, which may go."""
    late: dict[str, list[Entry]] = {id_: thread.late(id_) for id_ in kept}
    for id_, found in kept.items():
        if found.after is not None:
            after = store.at(thread.key, found.after.id, sections=[PENDING])[PENDING].plain()
            late[id_] += [each for each in after if each["checkpoint"] == id_]
    return {id_: joined(entries, id_) for id_, entries in late.items() if entries}


def _newest_of(thread: Thread, branch: str, kept: Collection[str]) -> Checkpoint | None:
    spans = thread.log.spans(branch)
    return next((found.end for id_, found in spans if id_ in kept), None)


def _let_go_of_late(thread: Thread, gone: Collection[str]) -> None:
    """Remove writes that came late for checkpoints that go."""
    main = thread.tip(MAIN)
    late = main.session.state.get(LATE) or {}
    if any(id_ in gone for id_ in late):
        with main.session.atomic():
            for id_ in [id_ for id_ in late if id_ in gone]:
                del late[id_]
        thread.log.add(main.save(main.id))


def _let_go_of_summary(thread: Thread) -> None:
    """Say no more what the thread is about: that may have been said in what goes."""
    main = thread.tip(MAIN)
    if main.session.summary is not None:
        main.session.summary = None
        thread.log.add(main.save(main.id))
