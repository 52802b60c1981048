"""A golden store of which something was redacted: `python -m tests.format.make_redacted`."""

import os
import random
from pathlib import Path
from typing import Any

from tests.format.make_golden import HERE, HOLDER, write_json
from tests.format.tagged import tagged

import perdure
from perdure import host
from perdure.core.journal import RedactReceipt
from perdure.core.pack import seal_pack
from perdure.core.record import Draft, read_canonical, seal_again
from perdure.core.redacted import with_leaf
from perdure.core.seal import Place
from perdure.testing.clock import Clock

REDACTED = HERE / "redacted"
MAIL, KEY = "alice@example.com", "golden/redacted"


def write_redacted(directory: Path) -> dict[str, Any]:
    """A store with redacted records alone and in packs, and an export; what is read from them."""
    clock = Clock("2026-05-01T00:00:00Z")
    with perdure.Store(directory / "store.db", clock=clock, maintenance="off") as store:
        with store.open(KEY) as session:
            for number in range(80):
                clock.advance(1)
                session.state["n"] = number
                if number in (3, 4, 40, 79):
                    session.state[f"of {number}"] = {"mail": MAIL, MAIL: [f"to {MAIL}!"]}
                session.save(label=f"by {MAIL}" if number == 5 else None)
        store.maintain(KEY)
        hashes = [each.hash for each in store.history(KEY)[::-1]]
        store.fork(KEY, "for-alice")
        store.delete_branch(KEY, "for-alice")
        store.redact(KEY, match=MAIL, reason="request 12")
        store.redact(KEY, "of 40/mail")  # it is a mark already: nothing to redact
        store.redact(KEY, match="for-alice", reason="request 13")
        store.export(KEY, directory / "state.perdure")
        states = [tagged(store.at(KEY, each.number).plain()) for each in store.history(KEY)[::-1]]
        redacted = [each.number for each in store.history(KEY)[::-1] if each.redacted]
        movements = [each.summary() for each in store.movements(KEY)]
    return {
        "key": KEY,
        "hashes": hashes,
        "redacted": redacted,
        "states": states,
        "movements": movements,
        "vectors": make_vectors(),
    }


def make_vectors() -> dict[str, Any]:
    """A redacted record, and a pack of it and the one after it."""
    store, incarnation, session = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))
    drafts = [Draft(bytes([at] * 16), 5 + at, session, b"\x90", bytes(16)) for at in (1, 2)]
    said = with_leaf(drafts[0].canonical(), bytes(range(32)))
    place = Place(store, incarnation, 0, 1)
    first = read_canonical(said, place, bytes(32), bytes(range(64, 80)), 0)
    second = read_canonical(
        drafts[1].canonical(), Place(store, incarnation, 0, 2), first.hash, bytes(16), 0
    )
    where = {"store": store, "incarnation": incarnation, "parent": bytes(32)}
    leaf = first.content_leaf(incarnation)
    return {
        "store": store.hex(),
        "incarnation": incarnation.hex(),
        "canonical": said.hex(),
        "content": leaf.hex(),
        "hashes": [first.hash.hex(), second.hash.hex()],
        "record": seal_again(first, **where).blob.hex(),
        "pack": seal_pack([first, second], **where).blob.hex(),
        "receipt": tagged(list(_fields(RedactReceipt("a/*", True, None, 1, ((0, 1, leaf),))))),
    }


def _fields(receipt: RedactReceipt) -> Any:
    from perdure.core.head_bytes import to_wire

    return to_wire(receipt)


def main() -> None:
    """Write the golden store, if it is not there."""
    os.urandom = random.Random(7).randbytes
    host.holder = lambda: HOLDER
    REDACTED.mkdir(exist_ok=True)
    if not (REDACTED / "expected.json").exists():
        write_json(REDACTED / "expected.json", write_redacted(REDACTED))
    assert {path.name for path in REDACTED.iterdir()} == {
        "expected.json",
        "state.perdure",
        "store.db",
    }


if __name__ == "__main__":
    main()
