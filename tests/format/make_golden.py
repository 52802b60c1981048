"""Make what later versions have to read: `python -m tests.format.make_golden`.

What is there of golden stores stays: later versions have to read it, as it was written then. Clock,
randomness and the name of the machine are fixed, so nothing of where it ran is in the files.
"""

import json
import os
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.format.tagged import tagged

import perdure
from perdure import host
from perdure.testing.clock import Clock
from perdure.types import Holder

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "format-1"
KEYED = HERE / "keyed" / "format-1"
"""Golden stores with a key."""
VECTORS = HERE / "vectors" / "records.json"
HOLDER = Holder("golden", 4242, "5f0c", "1000")


VALUES: dict[str, Any] = {
    "none": None,
    "flags": [True, False],
    "ints": [0, -1, 2**31, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40],
    "floats": [0.0, -0.0, 1.0, 0.1, float("inf"), float("-inf"), float("nan")],
    "text": ["", "grüße", "日本語", "🙂", "cut \ud83d"],
    "bytes": b"\x00\xff",
    "moments": [
        datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - without a zone, on purpose
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(1999, 12, 31, tzinfo=timezone(timedelta(hours=-3, minutes=-30), "NST")),
    ],
    "dates": [date(1, 1, 1), time(23, 59, 59, 999_999), timedelta(days=-1, microseconds=1)],
    "id": UUID("00112233-4455-6677-8899-aabbccddeeff"),
    "decimals": [Decimal("0.10"), Decimal("1E+3"), Decimal("-Infinity")],
    "tuple": (1, ("nested", [])),
    "sets": [{1, 2, 300}, frozenset({"a", b"b"}), set()],
    "map": {"z": 1, "a": {"\ud83d": 2}, "": []},
}
LONG = "One line of a long text, much like the line before it. " * 50


def write_store(directory: Path) -> dict[str, Any]:
    """A store and an exported state; what they have to be read as."""
    clock = Clock("2026-01-01T00:00:00Z")
    checkpoints = []
    with perdure.Store(str(directory / "store.db"), clock=clock) as store:
        with store.open("golden/all") as session:
            session.state["values"] = VALUES
            session.state["messages"] = [{"role": "user", "content": LONG}]
            session.summary = "began"
            session.save()
            for edit in EDITS:
                clock.advance(1.5)
                edit(session.state)
                session.save()
            clock.advance(1)
            session.save(label="before refund", metadata={"order": 17, "by": ("ann", 1.5)})
        clock.advance(3600)
        with store.open("golden/all") as session:
            session.state["second"] = {"resumed": True}
            session.summary = "went on"
        _write_others(store)
        store.export("golden/all", directory / "state.perdure")
        for checkpoint in reversed(store.history("golden/all")):
            view = store.at("golden/all", checkpoint.number)
            checkpoints.append(
                {
                    "number": checkpoint.number,
                    "id": checkpoint.id,
                    "hash": checkpoint.hash,
                    "time": checkpoint.time.isoformat(),
                    "session": checkpoint.session,
                    "label": checkpoint.label,
                    "metadata": tagged(checkpoint.metadata),
                    "sections": list(checkpoint.sections),
                    "state": tagged(view.plain()),
                }
            )
        sessions = [
            [each.id, each.ended, each.first, each.last] for each in store.sessions("golden/all")
        ]
        keys = [[each.key, each.number, each.summary] for each in store.states()]
    return {
        "key": "golden/all",
        "checkpoints": checkpoints,
        "sessions": sessions,
        "states": keys,
        "deleted": ["golden/deleted"],
    }


def _edit_scalar(state: Any) -> None:
    state["messages"][0]["role"] = "system"


def _append(state: Any) -> None:
    state["messages"].append({"role": "user", "content": "Where is my order?"})
    state["messages"].append({"role": "assistant", "content": "Let me "})


def _append_text(state: Any) -> None:
    state["messages"][-1]["content"] += "look: grüße 🙂"


def _replace_text(state: Any) -> None:
    state["messages"][0]["content"] = LONG[:700] + "quite another line" + LONG[800:]


def _splice(state: Any) -> None:
    state["messages"][1:2] = []
    state["values"]["ints"][2:4] = [7, 8, 9]


def _set_members(state: Any) -> None:
    state["values"]["sets"][0].add(5)
    state["values"]["sets"][0].discard(300)


def _delete(state: Any) -> None:
    del state["values"]["none"]
    state["values"]["map"]["new"] = None


def _replace_item(state: Any) -> None:
    state["values"]["flags"][1] = None


def _drop_section(state: Any) -> None:
    state["scratch"] = b"x" * 40
    state["values"]["bytes"] += b"more"


def _no_scratch(state: Any) -> None:
    del state["scratch"]


EDITS = (
    _edit_scalar,
    _append,
    _append_text,
    _replace_text,
    _splice,
    _set_members,
    _delete,
    _replace_item,
    _drop_section,
    _no_scratch,
)


def _write_others(store: perdure.Store) -> None:
    """A key that lives its second life, and one that was deleted."""
    for key in ("golden/again", "golden/deleted"):
        with store.open(key) as session:
            session.state["life"] = 1
        store.delete(key)
    with store.open("golden/again") as session:
        session.state["life"] = 2


def write_json(path: Path, value: Any) -> None:
    """Readable, and safe for lone surrogates, which JSON can only escape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def main() -> None:
    """Write the vectors anew, and the golden stores that are not there."""
    from tests.format.make_claims import write_acting
    from tests.format.make_keys import write_keyed
    from tests.format.make_pages import make_page_vectors, write_maintained
    from tests.format.make_records import make_vectors

    os.urandom = random.Random(0).randbytes
    host.holder = lambda: HOLDER
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("expected", write_store),
        ("maintained", write_maintained),
        ("acting", write_acting),
    ):
        if not (GOLDEN / f"{name}.json").exists():
            write_json(GOLDEN / f"{name}.json", write(GOLDEN))
    # A clean close leaves no log beside the file.
    assert {path.name for path in GOLDEN.iterdir()} == {
        "store.db",
        "state.perdure",
        "expected.json",
        "maintained.db",
        "maintained.json",
        "acting.db",
        "acting.json",
    }
    if not (KEYED / "keyed.json").exists():
        KEYED.mkdir(parents=True, exist_ok=True)
        write_json(KEYED / "keyed.json", write_keyed(KEYED))
    write_json(VECTORS, make_vectors())
    write_json(VECTORS.with_name("pages.json"), make_page_vectors())


if __name__ == "__main__":
    main()
