"""Perdure under LangGraph: a checkpointer whose threads are states, and a store.

See `docs/design/0025-langgraph.md`.

Raises:
    ModuleNotFoundError: by importing it, where LangGraph is not installed.
"""

try:
    import langgraph.checkpoint.base  # noqa: F401  # only to tell what is missing, before all else
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "perdure.adapters.langgraph needs langgraph: install Perdure with its extra langgraph "
        "(in a clone: pip install '.[langgraph]')",
        name=error.name,
    ) from error

from perdure.adapters.bookkeeping import MERGING
from perdure.adapters.langgraph.saver import PerdureSaver
from perdure.adapters.langgraph.store import PerdureStore

__all__ = ["MERGING", "PerdureSaver", "PerdureStore"]
