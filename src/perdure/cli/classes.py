"""Classes that are named on a command line, as `module:Class`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import redirect_stdout

import click


def class_named(text: str) -> type:
    """The class of this name; modules in the working directory are found, too.

    Raises:
        click.UsageError: it names none, or its module cannot be imported.

    Example:
        >>> class_named("collections:Counter").__name__
        'Counter'
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise click.UsageError(f"a class is named as module:Class, not {text!r}")
    if "/" in module or module.endswith(".py"):
        said = module.removesuffix(".py").replace("/", ".").strip(".")
        raise click.UsageError(f"{text}: name the module as Python imports it: {said}:{name}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):  # what a module prints is none of our output
            found = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
    # Whatever the module raises; one that exits would end this as if all had been done.
    except (Exception, SystemExit) as error:
        said = _said(error) + _where_looked(module, error)
        raise click.UsageError(f"{text} cannot be imported: {said}") from error
    if not isinstance(found, type):
        raise click.UsageError(f"{text} is no class, but {found!r:.80}")
    return found


def _said(error: BaseException) -> str:
    """What an error of a module says, and where it was raised, if that is not said."""
    if isinstance(error, ImportError | AttributeError | SyntaxError):
        return str(error)
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({at.filename}, line {at.lineno})"


def _where_looked(module: str, error: BaseException) -> str:
    """What to do where the module itself is not found, or is not the one that was meant."""
    if module == "__main__":
        return (
            ". It is of a script that was run, and only that script has it: let the script end "
            "with `from perdure.cli import main; main()`, for once, and run it with these "
            "arguments"
        )
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if not f"{module}.".startswith(f"{error.name}."):
        return ""  # it was found, and imports another that is not
    return (
        f". It is looked for in the working directory, {os.getcwd()}, and wherever Python looks: "
        "run this where it is, or set PYTHONPATH"
    )
