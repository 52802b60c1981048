"""The fields of pydantic models. Imported only for a class that is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_origin

from annotated_types import BaseMetadata, GroupedMetadata
from pydantic import (
    BaseModel,
    ImportString,
    Json,
    PydanticUserError,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.types import Secret
from pydantic_core import PydanticUndefined

from perdure.core.paths import Path, format_path
from perdure.core.values import ATOMS
from perdure.errors import UsageError, WrongType
from perdure.materializing import materialize
from perdure.schemas.annotations import UNLIMITED
from perdure.schemas.kinds import Kind, LimitedKind, Problem, Refused, found, is_leaf
from perdure.schemas.models import NO_DEFAULT, Field, ModelKind

_REFUSED: dict[Any, str] = {
    **dict.fromkeys(
        (SecretStr, SecretBytes, Secret),
        "keep secrets out of the state: store the name of the secret, and look it up",
    ),
    ImportString: "what is stored is never imported: store a name, and look it up in a table",
    Json: "annotate it with what the text holds: a state can hold that as it is",
}
"""Types that pydantic could store, and the way out."""


class AdaptedKind(Kind):
    """A leaf that pydantic knows and Perdure does not, stored as its JSON form."""

    form = "scalar"
    is_leaf = True

    def __init__(self, hint: Any) -> None:
        super().__init__(getattr(hint, "__name__", str(hint)))
        self._adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def may_be(self, stored: Any) -> bool:
        """Whether it is one."""
        return self.accepts_all([stored])

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are leaves, and pydantic reads them."""
        if not ATOMS.issuperset(map(type, values)):
            return False
        try:
            for value in values:
                self._adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    def take_in(self, value: Any) -> Any:
        """Its JSON form."""
        try:
            stored = self._adapter.dump_python(
                self._adapter.validate_python(value), mode="json", warnings=False
            )
        except ValidationError:
            return value
        return stored if type(stored) in ATOMS else value

    def read(self, stored: Any) -> Any:
        """What pydantic makes of it."""
        return self._adapter.validate_python(stored)


class CheckedKind(LimitedKind):
    """A leaf whose constraints pydantic checks."""

    def __init__(self, inner: Kind, hint: Any) -> None:
        super().__init__(inner, hint)
        self._adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are leaves of the kind, and pydantic takes them."""
        return self.inner.accepts_all(values) and all(
            self._complaint(value) is None for value in values
        )

    def _complaint(self, value: Any) -> str | None:
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            return str(error.errors()[0]["msg"])
        return None

    def problem(self, value: Any, path: Path) -> Problem | None:
        """What pydantic says."""
        at_fault = self.inner.problem(value, path)
        if at_fault is not None:
            return at_fault
        complaint = self._complaint(value)
        return None if complaint is None else Problem(path, complaint, found(value))


def adapted(hint: Any, where: str) -> Kind:
    """The kind of a class that only pydantic knows.

    Raises:
        UsageError: it cannot be stored, or could be edited without anybody seeing it.
    """
    _require_storable(hint, where)
    if getattr(hint, "__hash__", None) is None:
        raise UsageError(
            f"{where}: {hint.__name__} cannot be a field of a schema: edits of it would be lost; "
            "use a list or a dict"
        )
    try:
        return AdaptedKind(hint)
    except Exception as error:
        raise UsageError(f"{where}: pydantic cannot store it: {error}") from error


def checked(inner: Kind, hint: Any, where: str) -> Kind:
    """The kind that heeds the constraints beside a type, too.

    Raises:
        UsageError: they limit what can be edited in place.
    """
    for each in hint.__metadata__:
        _require_storable(type(each), where)
        _require_storable(each, where)
    if is_leaf(inner):
        return CheckedKind(inner, hint)
    if any(map(_is_limit, hint.__metadata__)):
        raise UsageError(f"{where}: {inner.said} cannot be a field of a schema; {UNLIMITED}")
    return inner


def _is_limit(metadata: Any) -> bool:
    inside = getattr(metadata, "metadata", ())  # of what Field() gives
    return isinstance(metadata, BaseMetadata | GroupedMetadata) or any(map(_is_limit, inside))


def _require_storable(hint: Any, where: str) -> None:
    hint = get_origin(hint) or hint
    for refused, way_out in _REFUSED.items():
        if hint is refused or (isinstance(hint, type) and issubclass(hint, refused)):
            named = getattr(refused, "__name__", str(refused))
            raise UsageError(f"{where}: {named} cannot be a field of a schema; {way_out}")


def fields_of(kind: ModelKind, of: Callable[[Any, str], Kind]) -> dict[str, Field]:
    """The fields of a pydantic model class, or of a dataclass that pydantic checks.

    Raises:
        UsageError: one of them cannot be a field of a schema.
    """
    cls: Any = kind.cls
    _complete(cls)
    if kind.family == "pydantic":
        kind.frozen = bool(cls.model_config.get("frozen"))
        kind.validate = lambda value: _validate(cls, kind, value)
    kind.hidden = {name for name, info in cls.__pydantic_fields__.items() if not info.repr}
    return {
        name: _field(name, info, f"{cls.__qualname__}.{name}", of)
        for name, info in cls.__pydantic_fields__.items()
    }


def _complete(cls: Any) -> None:
    """Have pydantic find the classes that the annotations name."""
    if cls.__pydantic_complete__ or not issubclass(cls, BaseModel):
        return
    try:
        cls.model_rebuild()
    except PydanticUserError as error:
        raise UsageError(
            f"{cls.__qualname__}: an annotation names what pydantic does not find: import it in "
            f"that module at run time too, or call {cls.__name__}.model_rebuild(): {error}"
        ) from error


def _field(name: str, info: Any, where: str, of: Callable[[Any, str], Kind]) -> Field:
    if getattr(info, "default_factory_takes_validated_data", False):
        raise UsageError(
            f"{where}: a default made of other fields is not kept with the state: make it in a "
            "property, or assign it"
        )
    hint = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return Field(
        name,
        of(hint, where),
        required=info.is_required(),
        default=NO_DEFAULT if info.default is PydanticUndefined else info.default,
        make=info.default_factory,
    )


def _validate(cls: type[BaseModel], kind: ModelKind, value: dict[str, Any]) -> None:
    """Have the class validate fields that are given as a dict, those that it knows."""
    known = {key: materialize(item) for key, item in value.items() if key in kind.fields}
    try:
        cls.__pydantic_validator__.validate_python(known, by_name=True, by_alias=False)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(f"{first['msg']}, got {found(first['input'])}", tuple(first["loc"])) from None


def validated(kind: ModelKind, view: Any, name: str, value: Any) -> Any:
    """What pydantic makes of a value assigned to a field, its validators asked.

    Views that it leaves as they are stay views: what is stored has fields that the class has not.

    Raises:
        WrongType: pydantic refuses it.
    """
    cls: type[BaseModel] = kind.cls
    stand_in = cls.model_construct()
    object.__setattr__(stand_in, "__dict__", view.__dict__)
    try:
        cls.__pydantic_validator__.validate_assignment(stand_in, name, materialize(value))
    except ValidationError as error:
        first = error.errors()[0]
        node = view._perdure_node
        above = node._path() if hasattr(node, "_path") else ()
        path = (*above, *first["loc"]) if first["loc"] else (*above, name)
        message = f"{format_path(path)}: {first['msg']}, got {found(first['input'])}"
        raise WrongType(message, path=path) from error
    except AttributeError:
        if len(view.__dict__) == len(kind.fields):
            raise
        return value  # a validator asked for a field that cannot be read: it has to be mended first
    return _with_views(value, stand_in.__dict__[name])


def _with_views(value: Any, made: Any) -> Any:
    """What pydantic made of a value, with the views that it left as they are in their places."""
    if getattr(type(value), "_perdure_view", False):
        if made == materialize(value):
            return value
        value = value.copy() if isinstance(value, list | dict) else value
    if type(value) in (list, tuple) and type(value) is type(made) and len(value) == len(made):
        return type(value)([_with_views(*pair) for pair in zip(value, made)])
    if isinstance(value, dict) and isinstance(made, dict) and value.keys() == made.keys():
        return {key: _with_views(value[key], item) for key, item in made.items()}
    return made


def through_real(cls: type[BaseModel], real: Callable[[Any], Any]) -> dict[str, Any]:
    """The methods of pydantic's base class, each called on a real object of the view."""

    def through(name: str) -> Any:
        def method(view: Any, *arguments: Any, **named: Any) -> Any:
            return getattr(real(view), name)(*arguments, **named)

        return method

    names = ("model_dump", "model_dump_json", "model_copy", "dict", "json", "copy", "__iter__")
    space: dict[str, Any] = {name: through(name) for name in names}
    for name in ("model_fields_set", "model_extra"):
        space[name] = property(lambda view, name=name: getattr(real(view), name))  # type: ignore[misc]
    classes = ("model_validate", "model_validate_json", "model_construct", "model_json_schema")
    return {**space, **{name: staticmethod(getattr(cls, name)) for name in classes}}
