"""The fields of pydantic models. Imported only for a class that is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from perdure.core.paths import Path, format_path
from perdure.errors import UsageError, WrongType
from perdure.materializing import materialize
from perdure.schemas.kinds import Kind, Problem, found
from perdure.schemas.models import NO_DEFAULT, Field, ModelKind


class AdaptedKind(Kind):
    """A type that pydantic knows and Perdure does not, stored as its JSON form."""

    form = "scalar"

    def __init__(self, hint: Any) -> None:
        super().__init__(getattr(hint, "__name__", str(hint)))
        self._adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether pydantic reads all of them."""
        try:
            for value in values:
                self._adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    def take_in(self, value: Any) -> Any:
        """Its JSON form."""
        try:
            return self._adapter.dump_python(
                self._adapter.validate_python(value), mode="json", warnings=False
            )
        except ValidationError:
            return value

    def read(self, stored: Any) -> Any:
        """What pydantic makes of it."""
        return self._adapter.validate_python(stored)


class CheckedKind(Kind):
    """A leaf whose constraints pydantic checks."""

    def __init__(self, inner: Kind, hint: Any) -> None:
        super().__init__(inner.said)
        self.inner = inner
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


def fields_of(kind: ModelKind, of: Callable[[Any, str], Kind]) -> dict[str, Field]:
    """The fields of a pydantic model class."""
    cls: type[BaseModel] = kind.cls
    kind.frozen = bool(cls.model_config.get("frozen"))
    return {
        name: _field(name, info, f"{cls.__qualname__}.{name}", of)
        for name, info in cls.model_fields.items()
    }


def _field(name: str, info: Any, where: str, of: Callable[[Any, str], Kind]) -> Field:
    default = NO_DEFAULT if info.default is PydanticUndefined else info.default
    return Field(
        name,
        _kind(info, where, of),
        required=info.is_required(),
        default=default,
        make=info.default_factory,
    )


def _kind(info: Any, where: str, of: Callable[[Any, str], Kind]) -> Kind:
    hint = info.annotation
    if isinstance(hint, type) and issubclass(hint, SecretStr | SecretBytes):
        raise UsageError(
            f"{where}: {hint.__name__} cannot be a field of a schema; keep secrets out of the "
            "state: store the name of the secret, and look it up"
        )
    try:
        kind = of(hint, where)
    except UsageError:
        try:
            return AdaptedKind(hint)
        except Exception as error:
            raise UsageError(f"{where}: pydantic cannot store it: {error}") from error
    if info.metadata and kind.form == "plain" and not list(kind.kids()):
        return CheckedKind(kind, Annotated[(hint, *info.metadata)])
    return kind


def validated(kind: ModelKind, view: Any, name: str, value: Any) -> Any:
    """What pydantic makes of a value assigned to a field, its validators asked.

    Views that it leaves as they are stay views: what is stored has fields that the class has not.

    Raises:
        WrongType: pydantic refuses it.
    """
    cls: type[BaseModel] = kind.cls
    stand_in = cls.model_construct()
    fields = {each: getattr(view, each) for each in kind.fields if hasattr(view, each)}
    object.__setattr__(stand_in, "__dict__", fields)
    try:
        cls.__pydantic_validator__.validate_assignment(stand_in, name, materialize(value))
    except ValidationError as error:
        first = error.errors()[0]
        node = view._perdure_node
        above = node._path() if hasattr(node, "_path") else ()
        path = (*above, *first["loc"]) if first["loc"] else (*above, name)
        message = f"{format_path(path)}: {first['msg']}, got {found(first['input'])}"
        raise WrongType(message, path=path) from error
    made = stand_in.__dict__[name]
    return value if _has_views(value) and made == materialize(value) else made


def _has_views(value: Any) -> bool:
    if getattr(type(value), "_perdure_view", False):
        return True
    values = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list | tuple) and any(map(_has_views, values))


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
