"""A parent and its child."""

from typing import Any

from perdure import Store
from perdure.agent import Child

KEY = "lead/perdure.child/researcher"


def stands(store: Store, name: str = "researcher", key: str = "lead") -> Child:
    with store.open(key) as session:
        found = session.children.get(name)
    assert found is not None
    return found


def linked(store: Store, **options: Any) -> None:
    with store.open("lead") as lead, lead.child("researcher", **options) as child:
        child.state["notes"] = ["one"]
