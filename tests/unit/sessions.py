"""Short ways to a state with something in it."""

from __future__ import annotations

from typing import Any

import perdure


def save(store: perdure.Store, key: str, **sections: Any) -> perdure.Checkpoint:
    """Set sections of a state, as one checkpoint."""
    with store.open(key) as session:
        session.state.update(sections)
        return session.save()
