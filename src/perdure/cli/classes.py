"""Classes that are named on a command line, as `module:Class`."""

from __future__ import annotations

import importlib
import os
import sys

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
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise click.UsageError(f"{text} cannot be imported: {error}") from error
    if not isinstance(found, type):
        raise click.UsageError(f"{text} is no class, but {found!r:.80}")
    return found
