"""Vectors of pages, and a golden store that was maintained: parts of `make_golden`."""

import json
import random
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.format.tagged import tagged

import perdure
from perdure import limits
from perdure.core.codec import pack
from perdure.core.cut import LEAVES, first_cut
from perdure.core.head import MAIN
from perdure.core.page import Child, Placed, Ref, Shape, inner_payload, leaf_payload, page_id
from perdure.core.pieces import at_once
from perdure.core.seal import Kind, Place, seal
from perdure.core.tree import build
from perdure.engine.read import read_head
from perdure.testing.clock import Clock

STORE, INCARNATION, SECRET = bytes(range(16)), bytes(range(16, 32)), bytes(range(100, 132))
KEY = "golden/maintained"


# ---- vectors --------------------------------------------------------------------------------


def make_page_vectors() -> dict[str, Any]:
    """Pages of every shape, cuts, and a whole tree."""
    tree = Ref(Shape.TEXT, bytes(range(32)), 0, 20_000, 20_000)
    children = [Child(bytes([n] * 32), 10 * n, 20_000 * n, n % 2) for n in range(1, 4)]
    return {
        "page": [
            _page_vector("list", Shape.LIST, [1, None, "two", [3.0]]),
            _page_vector("list, with a tree", Shape.LIST, ["a", None], [Placed(1, tree)]),
            _page_vector(
                "map, with a tree", Shape.MAP, ["z", {"b": 1}, "a", None], [Placed(1, tree)]
            ),
            _page_vector("text", Shape.TEXT, "grüße 🙂 \ud83d"),
            _page_vector("bytes", Shape.BYTES, b"\x00\xff"),
            _page_vector("whole", Shape.WHOLE, (1, {2, 3})),
            _page_vector("compressed", Shape.LIST, ["the same line again and again"] * 60),
            _sealed("references", inner_payload(Shape.MAP, 2, children)),
        ],
        "cut": [_cut_vector(400 * n * n) for n in range(1, 11)],
        "cuts": [_cuts_vector(about) for about in CUT_LISTS],
        "tree": _tree_vector(),
    }


def _page_vector(
    about: str, shape: Shape, content: Any, placed: Sequence[Placed] = ()
) -> dict[str, Any]:
    vector = _sealed(about, leaf_payload(shape, pack(content), placed))
    return {**vector, "body": tagged(content)}


def _sealed(about: str, payload: bytes) -> dict[str, Any]:
    id_ = page_id(payload, SECRET)
    blob = seal(Kind.PAGE, Place(STORE, INCARNATION, page=id_), payload)
    return {
        "about": about,
        "store": STORE.hex(),
        "incarnation": INCARNATION.hex(),
        "secret": SECRET.hex(),
        "payload": payload.hex(),
        "id": id_.hex(),
        "blob": blob.hex(),
    }


def _cut_vector(letters: int) -> dict[str, Any]:
    entry = pack("x" * letters)
    digest = blake2b(entry, digest_size=8, key=SECRET, person=b"perdure.cut").hexdigest()
    return {"secret": SECRET.hex(), "letters": letters, "hash": digest}


CUT_LISTS: dict[str, list[Any]] = {
    "bools": [n.bit_count() * n // 7 % 2 == 0 for n in range(250_000)],
    "small ints": [n.bit_count() * n // 7 % 100 for n in range(250_000)],
    "texts": [f"item {n} " * (n * n % 60) for n in range(2_000)],
    "one value": [None] * 120_000,
}


def _cuts_vector(about: str) -> dict[str, Any]:
    """Where the pages of a list end, the last of them left out."""
    packed = [pack(value) for value in CUT_LISTS[about]]
    ends: list[int] = []
    at = 0
    while count := at_once(first_cut(packed, at, SECRET, LEAVES)):
        at += count
        ends.append(at)
    return {"about": about, "secret": SECRET.hex(), "ends": ends}


SECTIONS: dict[str, Any] = {
    "messages": [{"role": "user", "content": f"message {n}, {'and more ' * 5}"} for n in range(25)],
    "plan": {f"task {n}": {"done": n % 2 == 0, "tries": n} for n in range(60)},
    "draft": "A draft that goes on and on. " * 60,
    "raw": bytes(range(256)) * 5,
    "seen": set(range(1000)),
    "small": {"stays": "inline"},
    "empty": [],
}


def _tree_vector() -> dict[str, Any]:
    built = build(SECTIONS, SECRET)
    root = built.root
    reference = [int(root.shape), root.id.hex(), root.level, root.count, root.bytes, root.trees]
    return {
        "secret": SECRET.hex(),
        "state": tagged(SECTIONS),
        "root": reference,
        "pages": {id_.hex(): payload.hex() for id_, payload in sorted(built.pages.items())},
    }


# ---- a golden store -------------------------------------------------------------------------


def write_maintained(directory: Path) -> dict[str, Any]:
    """A store with two snapshots, packs and a tail; what it has to be read as."""
    chance = random.Random(1)
    clock = Clock("2026-02-01T00:00:00Z")
    with perdure.Store(str(directory / "maintained.db"), clock=clock, maintenance="off") as store:
        with store.open(KEY) as session:
            session.state.update(_large(chance))
            for number in range(2 * limits.tail_records_max + 6):
                clock.advance(1)
                _edit(session.state, number)
                session.save()
                if number in (limits.tail_records_max + 2, 2 * limits.tail_records_max + 3):
                    store.maintain(KEY)
        head = store._driver.run(read_head(store._site(KEY)))
        history = store.history(KEY)[::-1]
        store.compact()
        states = {at: store.at(KEY, at).plain() for at in (1, 70, len(history))}
    return {
        "key": KEY,
        "hashes": [each.hash for each in history],
        "snapshots": [
            [each.number, each.root.id.hex()] for each in head.branches[MAIN].snapshots or ()
        ],
        "states": {str(at): digest_of(tagged(state)) for at, state in states.items()},
    }


def digest_of(state: Any) -> str:
    """A hash of a tagged state: the whole of it would be larger than the store."""
    text = json.dumps(state, ensure_ascii=True)
    return blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def _large(chance: random.Random) -> dict[str, Any]:
    """Sections of more than one page, of every shape."""
    words = [f"{word}{chance.randrange(100)}" for word in ("order", "refund", "grüße", "🙂")]
    text = " ".join(chance.choices(words, k=6_000))
    return {
        "messages": [{"role": "user", "n": n, "content": text[n : n + 500]} for n in range(600)],
        "plan": {f"task {n}": {"tries": n, "about": text[n : n + 100]} for n in range(400)},
        "notes": ["short", text[:20_000], {"inner": text[:17_000]}],
        "draft": text + text,
        "raw": bytes(range(256)) * 300,
        "seen": set(range(500)),
        "small": {"stays": "inline"},
    }


def _edit(state: Any, number: int) -> None:
    state["messages"].append({"role": "assistant", "n": 600 + number, "content": "So be it. " * 9})
    state["plan"][f"task {number * 7 % 400}"]["tries"] += 1
    if number % 9 == 0:
        del state["messages"][number : number + 2]
        state["draft"] += f" and {number}"
