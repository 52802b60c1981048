"""Documents of which only some sections are loaded."""

import copy
from collections.abc import Iterable
from typing import Any

from perdure.state import UNLOADED, Document

CONTENT: dict[str, Any] = {
    "list": [{"n": 0}, [1]],
    "here": {"a": [1]},
    "dict": {"b": {"c": 2}},
    "set": {1, 2},
    "tuple": (1, [2]),
    "text": "some text",
    "none": None,
}
LOADED = {"here"}


class Store:
    """What a loader reads from; counts, and fails when told to."""

    def __init__(self, content: dict[str, Any], failures: int = 0) -> None:
        self.content = content
        self.asked: list[str] = []
        self.failures = failures

    def load(self, name: str) -> Any:
        self.asked.append(name)
        if self.failures:
            self.failures -= 1
            raise OSError("the store cannot be reached")
        return copy.deepcopy(self.content[name])


def opened(
    content: dict[str, Any] = CONTENT,
    loaded: Iterable[str] = LOADED,
    *,
    failures: int = 0,
    check_edits: bool = False,
) -> tuple[Document, Store]:
    """A document of which only some sections are loaded, and where it loads the others from."""
    store = Store(content, failures)
    sections = {
        name: copy.deepcopy(value) if name in loaded else UNLOADED
        for name, value in content.items()
    }
    return Document(sections, load=store.load, check_edits=check_edits), store
