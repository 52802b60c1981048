"""The part of the plain reader that reads claims, made from docs/format.md alone."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.format.plain_pages import PAGE, Tree
from tests.format.plain_reader import HEAD, payload_of, place, simple, value_of

ELSEWHERE = "perdure.in "


def read_claims(path: Path, key: str) -> tuple[list[dict[str, Any]], int]:
    """What was claimed in a state, oldest first, and how many of that are in a tree of pages."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        [store] = database.execute("SELECT value FROM perdure WHERE name = 'store_id'").fetchone()
        [blob] = database.execute(
            "SELECT head FROM heads WHERE key = ?", (key.encode(),)
        ).fetchone()
        wire: Any = value_of(payload_of(blob, HEAD, place(store, key.encode())))
        head: dict[str, Any] = dict(wire["map"])
        incarnation = bytes.fromhex(head["inc"]["bytes"])
        pages = dict(
            database.execute("SELECT id, blob FROM pages WHERE incarnation = ?", (incarnation,))
        )
    finally:
        database.close()
    secret = bytes.fromhex(head["secret"]["bytes"])

    def page(id_: bytes) -> bytes:
        twin = blake2b(id_, digest_size=32, person=b"perdure.twin").digest()
        payload = payload_of(pages[id_], PAGE, place(store, incarnation + id_))
        assert payload_of(pages[twin], PAGE, place(store, incarnation + twin)) == payload
        return payload

    def tree(reference: list[Any]) -> Any:
        shape, id_, *sums = reference
        return Tree(secret, page).value([shape, bytes.fromhex(id_["bytes"]), *sums])

    parked = tree(head["claimed"])["map"] if head.get("claimed") else []
    inline = head["claims"]["map"]
    assert not {name for name, _ in parked} & {name for name, _ in inline}
    origin = bytes.fromhex(head.get("origin", head["inc"])["bytes"])
    found = [_claim(name, claim, origin, tree) for name, claim in [*parked, *inline]]
    return sorted(found, key=lambda each: str(each["claimed"])), len(parked)


def _claim(
    name: str, claim: list[Any], origin: bytes, tree: Callable[[Any], Any]
) -> dict[str, Any]:
    _, _, _, at, about, ended, result, kept, line, number, by, elsewhere, of = claim
    key, claims = name, None
    if elsewhere is not None:
        claims, _, its_origin = elsewhere
        quoted = claims.replace("%", "%25").replace(" ", "%20")
        start = f"{ELSEWHERE}{quoted} "
        assert name.startswith(start)
        key, origin = name[len(start) :], bytes.fromhex(its_origin["bytes"])
    if kept is not None:
        assert result is None
        [[only, result]] = tree(kept)["map"]
        assert only == "result"
    assert (line, number) == (0, 0) or by is None
    person = b"perdure effect"
    return {
        "key": key,
        "claims": claims,
        "state": simple(of)[0] if of is not None else None,
        "status": "unknown" if ended is None else "done",
        "about": about,
        "claimed": _time(at),
        "ended": _time(ended) if ended is not None else None,
        "result": value_of(bytes.fromhex(result["bytes"])) if result is not None else None,
        "idempotency_key": blake2b(
            origin + key.encode(), digest_size=16, person=person
        ).hexdigest(),
        "number": number or None,
        "by": by,
    }


def _time(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()
