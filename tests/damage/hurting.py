"""States to be hurt, and ways to hurt them behind the store's back, in any backend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
from tests.unit.maintained import head_of, message

import perdure
from perdure.core.head import MAIN
from perdure.core.tree_read import all_leaves, read_root
from perdure.engine.pages import walk

SECTIONS = ("messages", "plan", "notes")


def grown(store: perdure.Store, saves: int, key: str = "a") -> list[dict[str, Any]]:
    """So many checkpoints; the state at each, from the empty one before the first on."""
    states: list[dict[str, Any]] = [{}]
    with store.open(key) as session:
        for n in range(saves):
            session.state.setdefault("messages", []).append(message(n))
            session.state.setdefault("plan", {})[str(n)] = f"step {n} " * 20
            session.state.setdefault("notes", []).append(f"note {n} " * 30)
            session.save()
            states.append(session.state.plain())
    return states


def hurt_records(path: Path, numbers: Iterable[int]) -> None:
    """Overwrite the rows of records with zeros."""
    connection = apsw.Connection(str(path))
    for number in numbers:
        connection.execute(
            "UPDATE records SET blob = zeroblob(length(blob)) WHERE number = ?", (number,)
        )
        assert connection.changes() == 1, number
    connection.close()


def hurt_pages(path: Path, ids: Iterable[bytes]) -> None:
    """Overwrite pages with zeros."""
    connection = apsw.Connection(str(path))
    for id_ in ids:
        connection.execute("UPDATE pages SET blob = zeroblob(length(blob)) WHERE id = ?", (id_,))
        assert connection.changes() == 1, id_
    connection.close()


def leaves_of(store: perdure.Store, name: str, key: str = "a") -> list[bytes]:
    """The pages that hold a section's content in the newest snapshot."""
    head, site, run = head_of(store, key), store._site(key).stored(), store._driver.run
    base = run(walk(site, head.incarnation, read_root(head.branches[MAIN].newest.root)))
    return [each.id for each in run(walk(site, head.incarnation, all_leaves(base[name])))]
