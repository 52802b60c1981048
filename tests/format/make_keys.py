"""Golden encrypted stores: a part of `make_golden`."""

from pathlib import Path
from typing import Any

from tests.format.tagged import tagged

import perdure
from perdure.keys import LocalKey, PassphraseKey
from perdure.testing.clock import Clock

KEY = "golden/keyed"
ROOT = bytes(range(32))
PASSPHRASE = "correct horse battery staple"


def write_keyed(directory: Path) -> dict[str, Any]:
    """An encrypted store with rows, packs and pages under two data keys, one that hides names, and
    an exported state; what they have to be read as."""
    clock = Clock("2026-01-01T00:00:00Z")
    path = str(directory / "keyed.db")
    with perdure.Store(path, key=LocalKey(ROOT), clock=clock, maintenance="off") as store:
        _write(store, clock, 10)
        store.maintain()
        store.rewrap(deep=True)
        _write(store, clock, 3)
        store.export(KEY, directory / "keyed.perdure")
        told = _told(store)
    hidden = str(directory / "hidden.db")
    key = PassphraseKey(PASSPHRASE, cost=10)
    with perdure.Store(hidden, key=key, hide_names=True, clock=clock, maintenance="off") as store:
        _write(store, clock, 2)
    return {"key": KEY, "root": ROOT.hex(), "passphrase": PASSPHRASE, "checkpoints": told}


def _write(store: perdure.Store, clock: Clock, count: int) -> None:
    with store.open(KEY) as session:
        messages = session.state.setdefault("messages", [])
        for number in range(count):
            clock.advance(1)
            messages.append({"role": "user", "content": f"message {number} of many " * 80})
            session.save(label=f"label {number}")


def _told(store: perdure.Store) -> list[dict[str, Any]]:
    return [
        {
            "number": point.number,
            "id": point.id,
            "hash": point.hash,
            "label": point.label,
            "state": tagged(store.at(KEY, point.number).plain()) if point.number % 4 == 0 else None,
        }
        for point in reversed(store.history(KEY))
    ]
