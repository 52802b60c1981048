"""What a later version may have written beside what is known, and where it is looked for."""

from typing import Any

import perdure
from perdure.core.head import Head
from perdure.core.head_bytes import open_head
from perdure.core.record import LABEL
from perdure.engine.requests import ReadHead

SOME = bytes(range(16))


KEPT = {"later": [1, {"deep": b"bytes"}, None], "-odd": "é"}
"""What a newer version wrote, as an extra of a record and in a head."""


def head_of(store: perdure.Store, key: str) -> tuple[Head, bytes]:
    backend = store._driver.backend
    row = backend.perform(ReadHead(key))
    return open_head(row.blob, store=backend.connect().store_id, key=key), row.token


def extras(store: perdure.Store, key: str, branch: str = "main") -> list[dict[str, Any]]:
    """What the records of a branch say beyond what this version knows, newest first."""
    from perdure.engine.past import take_back
    from perdure.engine.read import Site, read_head

    site = Site(store._driver.store_id, key)
    head = store._driver.run(read_head(site))
    records = store._driver.run(take_back(site, head, branch, before=None, count=None))
    return [
        {name: value for name, value in each.extra.items() if name in KEPT}
        for each in records
        if each.extra.get(LABEL) == "here"
    ]
