"""What stays of a stored model when a model object takes its place: the fields it does not know.

Old code that replaces a frozen model, or a list of them, writes objects of its own classes. What
newer code added to the stored ones is not in these objects, and stays (P10). See design note 0021.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perdure.core.matching import id_of, unique
from perdure.core.values import ATOMS
from perdure.schemas.containers import DictKind, ListKind
from perdure.schemas.kinds import Kind, bare, reachable
from perdure.schemas.models import ModelKind
from perdure.state.door import admitted, admitted_at
from perdure.state.marks import ABSENT
from perdure.state.sections import State


def replacing(kind: Kind, given: Any, node: Any, at: str | int) -> Any:
    """What to give a node for a value that takes the place of what is at `at`, if anything is.

    Raises:
        WrongType: the schema does not allow the value.
        SectionNotLoaded: under asyncio, where what is there would have to load.
    """
    if not _has_models(kind) or not _has_objects(given):
        return given
    old = _held(node, at)
    if old is ABSENT:
        return given
    is_state = isinstance(node, State)
    taken = admitted_at(kind, given, (at,), 0) if is_state else admitted(kind, given, node, at)
    return kept(kind, given, taken, old)


def replacing_items(
    kind: ListKind, given: list[Any], node: Any, start: int, old: list[Any]
) -> list[Any]:
    """The same for items that take the place of others in a list, from a position on.

    Raises:
        WrongType: the schema does not allow one.
    """
    if not _has_models(kind) or not _has_objects(given):
        return given
    taken = [admitted(kind.item, each, node, at) for at, each in enumerate(given, start)]
    return list_kept(kind, given, taken, old)


def _held(node: Any, at: str | int) -> Any:
    if isinstance(at, int):
        return list.__getitem__(node, at) if -len(node) <= at < len(node) else ABSENT
    return node.get(at, ABSENT) if isinstance(node, State) else dict.get(node, at, ABSENT)


def _has_models(kind: Kind) -> bool:
    """Whether there may be model objects in what is given for this kind."""
    if kind.has_models is None:
        kind.has_models = any(
            isinstance(each, ModelKind) and each.form == "model" for each in reachable(kind)
        )
    return kind.has_models


def _has_objects(given: Any) -> bool:
    """Whether something that is given is, or has in it, an object that the state does not hold."""
    if bare(given) is not given:
        return False  # a view: what is stored goes with it
    if isinstance(given, list | tuple):
        return any(map(_has_objects, given))
    if isinstance(given, dict):
        return any(map(_has_objects, given.values()))
    return type(given) not in ATOMS


def kept(kind: Kind, given: Any, taken: Any, old: Any) -> Any:
    """The stored form of what is given, with what the old one has that its models do not know.

    Args:
        kind: of both.
        given: a value as the user gives it.
        taken: its stored form.
        old: what stands in its place.
    """
    if not _has_models(kind) or bare(given) is not given:
        return taken
    member = kind.resolve(taken)
    if isinstance(member, ModelKind):
        if member.owns(given) and isinstance(old, dict) and kind.resolve(old) is member:
            return _model_kept(member, given, taken, old)
    elif isinstance(member, ListKind):
        if isinstance(given, list) and isinstance(old, list):
            return list_kept(member, given, taken, old)
    elif isinstance(member, DictKind) and isinstance(given, dict) and isinstance(old, dict):
        return {
            key: kept(member.item, given[key], item, dict.get(old, key))
            for key, item in dict.items(taken)
        }
    return taken


def _model_kept(kind: ModelKind, given: Any, taken: dict[str, Any], old: Any) -> dict[str, Any]:
    whole = {
        name: kept(kind.fields[name].kind, getattr(given, name), item, dict.get(old, name))
        if name in kind.fields
        else item
        for name, item in dict.items(taken)
    }
    unseen = {name: item for name, item in dict.items(old) if name not in kind.fields}
    return {**unseen, **whole} if unseen else whole


def list_kept(kind: ListKind, given: list[Any], taken: list[Any], old: list[Any]) -> list[Any]:
    """The same of the items of a list, or of a part of one."""
    return [
        item if before is ABSENT else kept(kind.item, each, item, before)
        for each, item, before in zip(given, taken, _before(taken, old))
    ]


def _before(taken: list[Any], old: list[Any]) -> Iterator[Any]:
    """For each item, which one of the old ones it was."""
    new, former = list(list.__iter__(taken)), list(list.__iter__(old))
    by_id = {id_: former[at] for at, id_ in unique(dict(enumerate(map(id_of, former)))).items()}
    ids = unique(dict(enumerate(map(id_of, new))))
    for at, item in enumerate(new):
        if at in ids:
            yield by_id.get(ids[at], ABSENT)
        elif id_of(item) is None and len(new) == len(former) and id_of(former[at]) is None:
            yield former[at]
        else:
            yield ABSENT
