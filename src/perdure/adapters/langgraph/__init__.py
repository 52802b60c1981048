"""Perdure under LangGraph: a checkpointer whose threads are states, and a store.

Needs the extra `langgraph`. See `docs/design/0025-langgraph.md`.
"""

from perdure.adapters.langgraph.saver import PerdureSaver
from perdure.adapters.langgraph.store import PerdureStore

__all__ = ["PerdureSaver", "PerdureStore"]
