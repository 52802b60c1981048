"""What a search of a `PerdureStore` looks for: filters, and texts that are near to a query."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Any

from langgraph.store.base import IndexConfig, MatchCondition, PutOp, get_text_at_path, tokenize_path

from perdure.errors import UsageError

Texts = dict[tuple[tuple[str, ...], str], dict[str, str]]
"""By namespace and key: the texts of an item that are embedded, by their paths."""


def texts_of(ops: Iterable[PutOp], index: IndexConfig) -> Texts:
    """The texts that are to be embedded."""
    found: Texts = {}
    for op in ops:
        if op.value is None or op.index is False:
            continue
        paths = op.index if op.index is not None else index.get("fields") or ["$"]
        texts = found.setdefault((op.namespace, op.key), {})
        for path in paths:
            at_path = get_text_at_path(op.value, path if path == "$" else tokenize_path(path))
            for number, text in enumerate(at_path):
                texts[path if len(at_path) == 1 else f"{path}.{number}"] = text
    return {place: texts for place, texts in found.items() if texts}


def nearness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 where one has no direction."""
    if len(one) != len(other):
        raise UsageError(f"a vector of {len(other)} numbers cannot be compared with {len(one)}")
    sizes = math.hypot(*one) * math.hypot(*other)
    return sum(map(mul, one, other)) / sizes if sizes else 0.0


def fits(value: Any, wanted: Any) -> bool:
    """Whether a value is as a filter wants it: equal, or as its operators say.

    Raises:
        UsageError: there is no such operator.
    """
    if isinstance(wanted, dict):
        if any(str(key).startswith("$") for key in wanted):
            return all(_compares(value, name, other) for name, other in wanted.items())
        return isinstance(value, dict) and all(
            fits(value.get(key), each) for key, each in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(wanted)
            and all(map(fits, value, wanted))
        )
    return bool(value == wanted)


def _compares(value: Any, name: str, other: Any) -> bool:
    if name in ("$eq", "$ne"):
        return fits(value, other) is (name == "$eq")
    if name not in ("$gt", "$gte", "$lt", "$lte"):
        raise UsageError(f"a filter has no operator {name!r}: $eq, $ne, $gt, $gte, $lt or $lte")
    try:
        first, second = float(value), float(other)
    except (TypeError, ValueError):
        return False
    if first == second:
        return name in ("$gte", "$lte")
    return (first > second) is (name in ("$gt", "$gte"))


def is_matched(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends as a condition says; `*` is any label."""
    path = tuple(condition.path)
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    if not path:
        return True
    return len(part) == len(path) and all(
        wanted in ("*", label) for wanted, label in zip(path, part)
    )
