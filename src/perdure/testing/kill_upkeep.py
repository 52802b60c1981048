"""Real kills of maintenance: a writer, a process that maintains its state, and one that reads it.

The writer and the maintainer are killed at random moments. What the maintainer had put and not yet
committed to is nobody's then: the next call of `maintain` has to find it.
"""

from __future__ import annotations

import random
from collections.abc import MutableMapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from perdure.testing.kill import (
    ACKNOWLEDGEMENT,
    KEY,
    LIFETIME_SECONDS,
    YOUNG_SHARE,
    Acknowledged,
    Worker,
    die,
    newest_in,
    require_kept,
    require_whole,
)

if TYPE_CHECKING:
    from perdure import Session, Store

BUSY_TIMEOUT_SECONDS = 60.0
NO_ID = bytes(16)


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What a run of real kills saw of maintenance."""

    kills: int
    acknowledged: int
    """Saves that had returned when their process was killed. All were found again."""
    steps: int
    """Steps of maintenance that its process had done and told."""
    reads: int
    """States that the reader compared with what they have to be."""
    abandoned: int
    """Pages that nothing led to after a kill. All were collected by the next maintenance."""


# ---- the work -------------------------------------------------------------------------------


def edit(state: MutableMapping[str, Any], step: int) -> None:
    """One message more; and a file, which is replaced now and then and comes back later."""
    state.setdefault("messages", []).append(_message(step))
    state["file"] = _file(step)


def state_after(step: int) -> dict[str, Any]:
    """The state that the first `step` edits make."""
    return {"messages": [_message(at) for at in range(1, step + 1)], "file": _file(step)}


def _message(step: int) -> dict[str, str]:
    return {"role": "user", "content": f"message {step}"}


def _file(step: int) -> bytes:
    return random.Random(step // 4 % 6).randbytes(20_000)


def _write(url: str, acks: Connection) -> None:
    """Save edit after edit, the store's own maintenance beside it."""
    from perdure import Store

    with Store(url, durability="process", busy_timeout=BUSY_TIMEOUT_SECONDS) as store:
        session = store.open(KEY)
        while True:
            acks.send_bytes(_save(session))


def _save(session: Session) -> bytes:
    """One edit more; what acknowledges it."""
    step = 1 + (session.checkpoint.number if session.checkpoint else 0)
    edit(session.state, step)
    return ACKNOWLEDGEMENT.pack(step, bytes.fromhex(session.save().id))


def _maintain(url: str, acks: Connection) -> None:
    """Maintain again and again, and give space back."""
    from perdure import Store

    with Store(url, maintenance="off", busy_timeout=BUSY_TIMEOUT_SECONDS) as store:
        steps = 0
        while True:
            (made,) = store.maintain(KEY)
            store.compact()
            steps += len(made.steps)
            acks.send_bytes(ACKNOWLEDGEMENT.pack(steps, NO_ID))


def _read(url: str, acks: Connection) -> None:
    """Compare the newest state and an older one with what their edits make, again and again."""
    from perdure import Store

    with Store(url, maintenance="off", busy_timeout=BUSY_TIMEOUT_SECONDS) as store:
        reads = number = 0
        while True:
            session = store.open(KEY)
            assert session.checkpoint is not None, "P1: a state that was there is gone"
            older, number = number, session.checkpoint.number
            assert number >= older, f"P1: {number} was shown after {older}"
            assert session.state.plain() == state_after(number), f"P2: the state at {number}"
            session.close()
            older = 1 + number * 7919 % number if number % 2 else max(older, 1)
            assert store.at(KEY, older).plain() == state_after(older), f"P2: the state at {older}"
            reads += 2
            acks.send_bytes(ACKNOWLEDGEMENT.pack(reads, NO_ID))


def _begin_a_snapshot(url: str, acks: Connection) -> None:
    """Save until a snapshot is due, put its pages, and die before they are committed to."""
    from perdure import Store, limits
    from perdure.backends.sqlite import SqliteBackend
    from perdure.engine.requests import PutPages, StorageRequest

    perform = SqliteBackend.perform

    def fatal(self: SqliteBackend, request: StorageRequest) -> Any:
        answer = perform(self, request)
        if isinstance(request, PutPages):
            die()
        return answer

    with Store(url, maintenance="off", busy_timeout=BUSY_TIMEOUT_SECONDS) as store:
        with store.open(KEY) as session:
            for _ in range(limits.tail_records_max + 2):
                acks.send_bytes(_save(session))
        with patch.object(SqliteBackend, "perform", fatal):
            store.maintain(KEY)


# ---- killing it -----------------------------------------------------------------------------


def kill_while_maintaining(url: str, *, kills: int, seed: int = 0) -> UpkeepReport:
    """Kill a writer and who maintains its state at random moments, while another process reads it.

    After each pair of kills all that was acknowledged is there, whole, and one call of `maintain`
    leaves no page that nothing leads to. The reader is ended, too; that is not counted. The last
    to die is one that has put the pages of a snapshot, and not committed it.

    Args:
        url: A new store that processes can share.
        kills: How many processes to kill at random moments. The state grows, and with it the time
            that a kill takes: rather than many, take several stores.
        seed: Draws the moments, and who is killed first.

    Raises:
        AssertionError: A promise was broken, or one of the processes failed. The message says how.
    """
    from perdure import Store

    chance = random.Random(seed)
    known = Acknowledged()
    steps = reads = abandoned = 0
    for pair in range(1, kills // 2 + 1):
        fresh, made, read = _kill_pair(url, chance)
        known |= fresh
        steps, reads = steps + made, reads + read
        with Store(url, maintenance="off") as store:
            abandoned += _judge(store, fresh, f"after pair {pair} of seed {seed}")
    last = Worker.start(_begin_a_snapshot, url).watch_and_kill(BUSY_TIMEOUT_SECONDS)
    with Store(url, maintenance="off") as store:
        with store.open(KEY) as session:
            _save(session)  # so that the snapshot that is made next is another one
        orphans = _judge(store, last, f"after the last kill of seed {seed}")
        assert orphans, "a snapshot was being written, and none of its pages was there"
        require_kept(store, known, f"at the end of seed {seed}")
    kept = len(known) + len(last)
    return UpkeepReport(2 * (kills // 2) + 1, kept, steps, reads, abandoned + orphans)


def _kill_pair(url: str, chance: random.Random) -> tuple[Acknowledged, int, int]:
    """What the writer acknowledged, the steps of maintenance that were told, and the reads."""
    workers = [Worker.start(_write, url)]
    try:
        workers[0].acks.poll(None)  # who maintains and who reads finds a state there
        workers += [Worker.start(_maintain, url), Worker.start(_read, url)]
        told = {}
        for at in chance.sample((0, 1), 2):
            is_young = at == 1 and chance.random() < YOUNG_SHARE
            lifetime = chance.random() * LIFETIME_SECONDS
            told[at] = workers[at].watch_and_kill(lifetime, young=is_young)
        reads = workers[2].watch_and_kill(0)
    finally:
        for each in workers:
            each.process.kill()
    return told[0], max(told[1], default=0), max(reads)


def _judge(store: Store, fresh: Acknowledged, place: str) -> int:
    """Compare a store with what was told of it; how many pages had been abandoned in it."""
    require_kept(store, fresh, place)
    newest = newest_in(store)
    assert newest - max(fresh) in (0, 1), f"{place}: at {newest}, told of {max(fresh)}"
    abandoned = len(_abandoned(store))
    store.maintain(KEY)
    left = _abandoned(store)
    assert not left, f"{place}: {len(left)} pages that nothing leads to were not collected"
    require_whole(store, state_after(newest), place)
    problems = [each.problem for each in store.verify(KEY) if not each.ok]
    assert not problems, f"{place}: the store does not verify: {problems}"
    return abandoned


def _abandoned(store: Store) -> set[bytes]:
    """Ids of the pages that no kept snapshot leads to."""
    from perdure.core.tree_read import reachable
    from perdure.engine.pages import walk
    from perdure.engine.read import read_head
    from perdure.engine.requests import ListPages

    site = store._site(KEY)
    head = store._driver.run(read_head(site))
    roots = [each.root for branch in head.branches.values() for each in branch.snapshots or ()]
    reached = store._driver.run(walk(site, head.incarnation, reachable(roots)))
    listed = store._driver.backend.perform(ListPages(head.incarnation, None, 1 << 20))
    return {id_ for id_, _ in listed} - reached
