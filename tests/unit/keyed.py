"""What tests of encrypted stores are written with."""

from pathlib import Path
from typing import Any

from perdure import Store
from perdure.engine.requests import Commit
from perdure.engine.resealing import fence
from perdure.keys import LocalKey

ROOT = bytes(range(32))
OTHER = bytes(range(1, 33))
URLS = ("sqlite", "memory", "memory+objects")


def url_of(kind: str, tmp_path: Path) -> str:
    """A store of one kind that no other test uses."""
    return str(tmp_path / "a.db") if kind == "sqlite" else f"{kind}:{tmp_path}"


def filled(url: str, key: Any = ROOT, **options: Any) -> None:
    """A small store with everything that a user can write: three states, branches, snapshots."""
    with Store(url, key=key, maintenance="off", **options) as store:
        for name in ("MARK-one", "MARK-two", "other"):
            with store.open(name) as session:
                messages = session.state.setdefault("MARK-section", [])
                for number in range(40):
                    messages.append({"MARK-field": f"MARK-value {number}"})
                    session.save(label="MARK-label", metadata={"MARK-meta": "MARK-data"})
                session.state["MARK-large"] = ["MARK-long " * 50] * 100
                session.summary = "MARK-summary"
        store.fork("MARK-one", "MARK-branch", at=7)
        store.rollback("MARK-one", to=20)
        store.copy("MARK-two", "MARK-copy")
        store.delete("other")
        store.maintain()


def key_of(secret: bytes = ROOT) -> LocalKey:
    """A root key."""
    return LocalKey(secret)


def next_commit(store: Any, key: str) -> Commit:
    """One that puts a state's head anew."""
    steps, answer = fence(store._site(key)), None
    while True:
        request = steps.send(answer)
        if isinstance(request, Commit):
            return request
        answer = store._driver.answer(request)
