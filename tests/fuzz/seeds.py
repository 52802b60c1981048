"""What inputs are made from: payloads of every kind that real stores hold, kept in `corpus`.

`python -m tests.fuzz.seeds` makes the corpus anew.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import apsw
from tests.fuzz.targets import export, head, names_its_target, packed, page, record, value

from perdure import Store
from perdure.core.seal import EXPORT_OWNER, Kind, Place, unseal
from perdure.testing.sim_stores import small_world

CORPUS = Path(__file__).parent / "corpus"
SIZE_MAX = 2**24


def payloads(path: Path) -> Iterator[bytes]:
    """Every kind of payload of a store that was used in every way, as inputs."""
    with small_world(), Store(path, maintenance="off") as store:
        _used(store)
        exported = io.BytesIO()
        store.export("a", exported)
        identity = store._driver.connect().store_id
    base = apsw.Connection(str(path))
    for key, blob in base.execute("SELECT key, head FROM heads"):
        payload = unseal(Kind.HEAD, Place(identity, key), blob, SIZE_MAX)
        yield names_its_target(head, payload)
        yield names_its_target(value, payload)
    for incarnation, line, number, count, blob in base.execute(
        "SELECT incarnation, line, number, count, blob FROM records"
    ):
        kind, target = (Kind.RECORD, record) if count == 1 else (Kind.PACK, packed)
        place = Place(identity, incarnation, line, number)
        yield names_its_target(target, unseal(kind, place, blob, SIZE_MAX))
    for incarnation, id_, blob in base.execute("SELECT incarnation, id, blob FROM pages"):
        place = Place(identity, incarnation, page=id_)
        yield names_its_target(page, unseal(Kind.PAGE, place, blob, SIZE_MAX))
    base.close()
    yield names_its_target(export, frames(exported.getvalue()))


def _used(store: Store) -> None:
    for key in ("a", "b"):
        with store.open(key) as session:
            for n in range(6):
                session.state["n"] = n
                session.state.setdefault("text", "")
                session.state["text"] += f"{n} " * 9
                session.state.setdefault("items", []).append({"n": n, "tags": {f"tag {n}"}})
                session.save(label=f"save {n}", metadata={"n": n})
            with session.task("pay") as task:
                task.effect("order", lambda: {"paid": 17})
    store.fork("b", "other", at=3)
    with store.open("b", branch="other") as session:
        session.state["n"] = "other"
    store.rollback("b", to=4)
    store.undo("b")
    store.maintain()


def frames(file: bytes) -> bytes:
    """The frames of an export file, each a length and its payload."""
    identity, at, number, found = file[8:24], 24, 0, b""
    while at < len(file):
        (size,) = struct.unpack_from(">I", file, at)
        number += 1
        place = Place(identity, EXPORT_OWNER, 0, number)
        payload = unseal(Kind.EXPORT, place, file[at + 4 : at + 4 + size], SIZE_MAX)
        found += struct.pack(">I", len(payload)) + payload
        at += 4 + size
    return found


def corpus() -> list[bytes]:
    """The inputs that are kept."""
    return [each.read_bytes() for each in sorted(CORPUS.iterdir())]


def keep(inputs: Iterator[bytes], *, most: int = 12) -> int:
    """Keep some inputs of each target; how many."""
    CORPUS.mkdir(exist_ok=True)
    counts: dict[int, int] = {}
    for data in inputs:
        counts[data[0]] = counts.get(data[0], 0) + 1
        if counts[data[0]] <= most and len(data) < 4096:
            name = blake2b(data, digest_size=8).hexdigest()
            (CORPUS / name).write_bytes(data)
    return len(list(CORPUS.iterdir()))


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as directory:
        keep(payloads(Path(directory) / "seeds.db"))
