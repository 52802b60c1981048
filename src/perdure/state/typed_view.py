"""What all views of a typed state are made of: the node, its kind, and where its views are kept."""

from __future__ import annotations

from typing import Any, Self

from perdure.state.door import Home


class TypedView:
    """A view: what stands before a node. Its class may be called by users; this makes one."""

    __slots__ = ("__weakref__", "_perdure_home", "_perdure_kind", "_perdure_node")

    _perdure_view = True
    _perdure_home: Home
    _perdure_kind: Any
    _perdure_node: Any

    @classmethod
    def _perdure_make(cls, kind: Any, node: Any, home: Home) -> Self:
        view: Self = object.__new__(cls)
        view._perdure_kind = kind
        view._perdure_node = node
        view._perdure_home = home
        return view
