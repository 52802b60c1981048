"""Typed states: the door and the view of a document, for the schema that a session is opened with.

A value whose stored form is its typed form is handed out as it is, once it was checked. Anything
else gets a view, which holds the node and no data, when it is touched.
"""

from __future__ import annotations

from typing import Any, TypeVar

from perdure.schemas.annotations import kind_of
from perdure.schemas.containers import DictKind, ListKind, SetKind
from perdure.schemas.models import ModelKind
from perdure.state.document import Document
from perdure.state.door import Door, Home
from perdure.state.sections import State
from perdure.state.typed_lists import TypedList
from perdure.state.typed_mappings import TypedMapping
from perdure.state.typed_models import view_class
from perdure.state.typed_reading import VIEWS, held_view
from perdure.state.typed_sets import TypedSet

T = TypeVar("T")


def install(cls: type[Any], document: Document) -> None:
    """Have all that is inserted into the document checked by what the class says of its sections.

    Raises:
        UsageError: the class cannot be a schema; the message names class and field.
    """
    tracker = document._tracker
    tracker.door = Door(kind_of(cls), document._root)


def typed_state(cls: type[T], state: State) -> T:
    """The view of a whole state: its sections are the fields of the class.

    Raises:
        UsageError: the class cannot be a schema; the message names class and field.
    """
    kind = kind_of(cls)
    door = state._root._tracker.door
    home = Home() if door is None else door.home
    view: T = held_view(kind, state, home)
    return view


VIEWS.update(
    {
        ListKind: lambda kind: TypedList._perdure_make,
        SetKind: lambda kind: TypedSet._perdure_make,
        DictKind: lambda kind: TypedMapping._perdure_make,
        ModelKind: lambda kind: (
            (TypedMapping if kind.family == "typeddict" else view_class(kind))._perdure_make
        ),
    }
)
