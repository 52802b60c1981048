"""What each lens makes of the values of its fields, without where they are."""

from __future__ import annotations

from typing import Any

from perdure.core.abbreviate import abbreviate
from perdure.core.conversions import NotConvertible, converted, is_known, reverse
from perdure.core.delta import ABSENT
from perdure.core.lens import (
    Add,
    Convert,
    Lens,
    Merge,
    Place,
    Remove,
    Simple,
    Split,
    Unwrap,
    Wrap,
    describe,
    news,
    olds,
)
from perdure.core.paths import Path, format_path
from perdure.core.values import same, take
from perdure.errors import MigrationFailed

Values = dict[Place, Any]
"""Values of fields by where they are; a field that is not there is not in it."""


def failed(path: Path, lens: Lens, problem: str) -> MigrationFailed:
    """The error that says where a lens does not fit, which one, and what to do."""
    return MigrationFailed(f"{format_path(path)}: cannot {describe(lens)}: {problem}", path=path)


def newer_of(lens: Simple, values: Values, now: Values | None, path: Path) -> tuple[Values, Any]:
    """The newer fields for older ones, and what there is to be kept of them (`ABSENT`: nothing).

    Args:
        lens: which lens.
        values: the older fields that are there.
        now: the newer fields before an edit of the view; None if there were none.
        path: the path of the mapping that the lens is for.
    """
    if isinstance(lens, Remove):
        return {}, list(values.values()) if lens.keep else ABSENT
    if isinstance(lens, Add):
        return values, ABSENT
    if not values:
        return {}, ABSENT
    if isinstance(lens, Merge):
        return _merged(lens, values, path)
    value, where = values[lens.at], (*path, *lens.at)
    if isinstance(lens, Split):
        return _parted(value, lens, where), ABSENT
    if isinstance(lens, Unwrap):
        first, kept = _unwrapped(value, lens, where)
        return {lens.at: first}, kept
    if isinstance(lens, Wrap):
        return {lens.at: _wrapped(value, (now or {}).get(lens.at))}, ABSENT
    if isinstance(lens, Convert):
        return {lens.at: _converted(lens, value, where, ahead=True)}, ABSENT
    return {news(lens)[0]: value}, ABSENT


def older_of(lens: Simple, values: Values, kept: Any, path: Path) -> Values:
    """The older fields for newer ones and what was kept."""
    if isinstance(lens, Remove):
        found = [take(lens.default)] if not isinstance(kept, list) else kept
        return {lens.at: found[0]} if found else {}
    if isinstance(lens, Add) or not values:
        return {}
    where = (*path, *news(lens)[0])
    if isinstance(lens, Split):
        parts = [values.get(place) for place in news(lens)]
        return {lens.at: _joined(parts, lens.by, lens, where)}
    value = next(iter(values.values()))
    if isinstance(lens, Merge):
        return _unmerged(lens, value, kept, where)
    if isinstance(lens, Unwrap):
        return {lens.at: _rewrapped(value, kept)}
    if isinstance(lens, Wrap):
        if not isinstance(value, list):
            raise failed(where, lens, f"there is no list, but {abbreviate(value)}: right the value")
        return {lens.at: value[0] if value else None}
    if isinstance(lens, Convert):
        return {lens.at: _converted(lens, value, where, ahead=False)}
    return {olds(lens)[0]: value}


# ---- lists of one ---------------------------------------------------------------------------


def _wrapped(value: Any, now: Any) -> list[Any]:
    others = now[1:] if isinstance(now, list) else []
    return [value, *others] if value is not None or others else []


def _unwrapped(value: Any, lens: Unwrap, path: Path) -> tuple[Any, Any]:
    """The first item, and the others where they must be kept."""
    if value is None:
        return None, None
    if not isinstance(value, list):
        raise failed(path, lens, f"there is no list, but {abbreviate(value)}: right the value")
    if not value:
        return None, ABSENT
    return value[0], value[1:] if len(value) > 1 or value[0] is None else ABSENT


def _rewrapped(value: Any, kept: Any) -> Any:
    if kept is None:
        return None if value is None else [value]
    if isinstance(kept, list):
        return [value, *kept]
    return [] if value is None else [value]


# ---- texts ----------------------------------------------------------------------------------


def _parted(value: Any, lens: Split, path: Path) -> Values:
    return dict(zip(news(lens), _parts(value, len(lens.into), lens.by, lens, path)))


def _parts(value: Any, count: int, by: str, lens: Simple, path: Path) -> list[str | None]:
    if value is None:
        return [None] * count
    if not isinstance(value, str):
        raise failed(path, lens, f"there is no text, but {abbreviate(value)}: right the value")
    parts = value.split(by, count - 1)
    return [*parts, *[None] * (count - len(parts))]


def _joined(parts: list[Any], by: str, lens: Simple, path: Path) -> str | None:
    texts = [part for part in parts if part is not None]
    for text in texts:
        if not isinstance(text, str):
            raise failed(path, lens, f"there is no text, but {abbreviate(text)}: right the value")
    return by.join(texts) if texts else None


def _merged(lens: Merge, values: Values, path: Path) -> tuple[Values, Any]:
    parts = [values.get(place) for place in lens.parts]
    text = _joined(parts, lens.by, lens, (*path, *lens.parts[0]))
    again = _parts(text, len(parts), lens.by, lens, path)
    kept: Any = ABSENT
    if again != parts or len(values) < len(parts):
        kept = {place[-1]: value for place, value in values.items()}
    return {news(lens)[0]: text}, kept


def _unmerged(lens: Merge, value: Any, kept: Any, path: Path) -> Values:
    names = {place[-1]: place for place in lens.parts}
    if isinstance(kept, dict) and kept.keys() <= names.keys():
        # What was kept is out of date once newer code wrote another text.
        parts = [kept.get(name) for name in names]
        if _joined(parts, lens.by, lens, path) == value:
            return {names[name]: part for name, part in kept.items()}
    return dict(zip(lens.parts, _parts(value, len(lens.parts), lens.by, lens, path)))


# ---- other forms ----------------------------------------------------------------------------


def _converted(lens: Convert, value: Any, path: Path, *, ahead: bool) -> Any:
    if isinstance(lens.by, str):
        return _by_name(lens, lens.by, value, path, ahead=ahead)
    for older, newer in lens.by:
        if same(older if ahead else newer, value):
            return take(newer if ahead else older)
    if value is None and not any(None in pair for pair in lens.by):
        return None
    problem = f"{abbreviate(value)} is not in its table: right the value, or add it to the table"
    raise failed(path, lens, problem)


def _by_name(lens: Convert, name: str, value: Any, path: Path, *, ahead: bool) -> Any:
    if value is None:
        return None
    direction = name if ahead else reverse(name)
    if not is_known(name):
        raise failed(path, lens, "this version of Perdure does not know it: upgrade Perdure")
    if direction is None:
        return value
    try:
        # What is lost of a newer value on its way to the view is still in the source.
        return converted(direction, value, exact=ahead and not lens.lossy)
    except NotConvertible as error:
        problem = f"{abbreviate(value)}: {error}: right the value, or declare the lens as lossy"
        raise failed(path, lens, problem) from None
