"""Every public name says what it means, what its parameters are, and shows code that parses."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import perdure
import perdure.testing
from perdure import store_base
from perdure.core import refs

MODULES = (
    "perdure",
    "perdure.types",
    "perdure.reports",
    "perdure.errors",
    "perdure.agent",
    "perdure.keys",
    "perdure.anchors",
    "perdure.recovering",
    "perdure.adapters.langgraph",
    "perdure.adapters.openai_agents",
    *(f"perdure.testing.{found.name}" for found in pkgutil.iter_modules(perdure.testing.__path__)),
)
# It runs at import, as every `__main__` does.
MODULES = tuple(name for name in MODULES if not name.endswith("__main__"))


def exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public names a module offers: those of `__all__`, else those it defines itself."""
    names = getattr(module, "__all__", None)
    for name in names if names is not None else sorted(vars(module)):
        value = getattr(module, name)
        if name.startswith("_") or not (callable(value) or inspect.ismodule(value)):
            continue
        if names is None and getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            yield name, value


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public functions and properties that a class has of this library, its parts' included."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("perdure")]
    every = {name: value for base in reversed(own) for name, value in vars(base).items()}
    python = {name for base in cls.__mro__ if base in (list, dict, set) for name in vars(base)}
    for name, value in every.items():
        if name in python and name not in vars(cls):
            continue  # it does what Python says it does
        function = getattr(value, "__func__", value)
        if not name.startswith("_") and (
            inspect.isfunction(function) or isinstance(value, property)
        ):
            yield name, function


def documented() -> dict[str, Any]:
    """All of it, by a name to find it by."""
    found: dict[str, Any] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        found[module_name] = module
        for name, value in exported(module):
            found[f"{module_name}.{name}"] = value
            if inspect.isclass(value):
                for member, each in members(value):
                    found[f"{module_name}.{name}.{member}"] = each
    return found


EVERYTHING = documented()
# Whose parameters are explained one by one: what users of the library and their tests call.
CALLED = (
    "perdure.",
    "perdure.testing.clock.",
    "perdure.testing.crash.",
    "perdure.testing.fixtures.",
)
FUNCTIONS = {
    name: each
    for name, each in EVERYTHING.items()
    if inspect.isfunction(each)
    and name.startswith(CALLED)
    and (not name.startswith("perdure.testing.") or name.startswith(CALLED[1:]))
}
# Explained where they are defined: the key of a state, and names that the library gives to types.
EXPLAINED = {"key": "the state's key", "Ref": refs.Ref, "Progress": store_base.Progress}


def parameters(function: Any) -> list[str]:
    named = inspect.signature(function).parameters
    return [name for name in named if name not in ("self", "cls") and not name.startswith("_")]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def is_explained(function: Any, name: str) -> bool:
    """Whether a parameter needs no words here, by its name or its type."""
    return name in EXPLAINED or inspect.signature(function).parameters[name].annotation in EXPLAINED


def speaks_of(function: Any) -> bool:
    """Whether the docstring has an Args section with each parameter, or names them in its text.

    One parameter is told of by what the summary says is done with it.
    """
    text = inspect.getdoc(function) or ""
    named = parameters(function)
    if "Args:" in text:
        listed = text.partition("Args:")[2].partition("\n\n")[0]
        return all(re.search(rf"^\s+{re.escape(name)}:", listed, re.MULTILINE) for name in named)
    unexplained = [name for name in named if not is_explained(function, name)]
    return len(named) <= 1 or all(name in words(text) for name in unexplained)


def test_the_main_names_are_looked_at() -> None:
    assert {
        "perdure.Store.open",
        "perdure.AsyncSession.save",
        "perdure.errors.Conflict",
        "perdure.types.Checkpoint",
        "perdure.testing.crash.crash_everywhere",
        "perdure.testing.clock.Clock.advance",
    } <= EVERYTHING.keys()


@pytest.mark.parametrize("name", EVERYTHING)
def test_it_has_a_docstring_of_its_own(name: str) -> None:
    value = EVERYTHING[name]
    text = value.__doc__
    assert text, name
    assert text.strip()
    if inspect.isclass(value):
        # What dataclasses write themselves says nothing.
        assert not text.startswith(f"{value.__name__}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_docstring_speaks_of_its_parameters(name: str) -> None:
    assert speaks_of(EVERYTHING[name]), parameters(EVERYTHING[name])


@pytest.mark.parametrize("name", EVERYTHING)
def test_its_examples_are_python(name: str) -> None:
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(EVERYTHING[name]) or ""):
        ast.parse(example.source)


def test_an_undocumented_parameter_is_found() -> None:
    def shift(left: int, right: int) -> None:
        """Move to the left."""

    assert not speaks_of(shift)
    shift.__doc__ = """Move.

    Args:
        left: so far.

    Returns:
        right.
    """
    assert not speaks_of(shift)
    shift.__doc__ = """Move.

    Args:
        left: so far.
        right: so far.
    """
    assert speaks_of(shift)
