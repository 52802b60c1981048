"""`perdure schema compare` and `draft`: two versions of a schema, and what leads from one on."""

from __future__ import annotations

import json
from typing import Any

import click

from perdure.cli.classes import class_named
from perdure.cli.context import examples, gives_json, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, say, table
from perdure.cli.words import safe
from perdure.core.abbreviate import count

FILE_END = ".json"


@click.command(
    epilog=examples(
        "schema compare agent:OldResearch agent:Research", "schema compare a.json b.json"
    )
)
@click.argument("old")
@click.argument("new")
@gives_json
def compare(old: str, new: str) -> None:
    """List what differs between two versions of a schema, OLD and NEW.

    Each is a class, as module:Class, or a file that ends in .json and holds a JSON Schema, as
    schema infer prints it. A field that was added with a default, or that need not be there, needs
    no new version. In a path [] are the items of a list, {} the values of a mapping.
    """
    from perdure.schemas.compare import compare

    found = compare(_schema(old), _schema(new))
    if settings().json:
        print_json({"differences": [document(each) for each in found]})
        return
    rows = [(each.where, "yes" if each.needs_version else "no", each.what) for each in found]
    if rows:
        table(("path", "needs a version", "what"), rows, whole=True)
    needing = sum(each.needs_version for each in found)
    hint(f"{count(len(found), 'difference')}, {needing:,} of which need a new version")


@click.command(
    epilog=examples(
        "schema draft agent_before:Research agent:Research",
        "schema draft old.json new.json --name Research > migration.py",
    )
)
@click.argument("old")
@click.argument("new")
@click.option("--name", metavar="CLASS", help="Of the class. By default that of NEW.")
@click.option(
    "--from",
    "older",
    type=click.IntRange(min=0),
    metavar="N",
    help="The version that OLD is. By default that of the class, 1 of a file.",
)
@click.option(
    "--to",
    "newer",
    type=click.IntRange(min=1),
    metavar="N",
    help="The version that NEW is. By default that of the class, if later, else the next one.",
)
@gives_json
def draft(old: str, new: str, name: str | None, older: int | None, newer: int | None) -> None:
    """Print a draft of the migration from OLD to NEW, as Python source.

    OLD and NEW are named as for schema compare. What is renamed is guessed from names and types,
    and a comment says of each lens why it is there. Read it, and see with perdure migrate --dry-run
    what it makes of your states.
    """
    from perdure.schemas.draft import draft

    older = (_version(old) or 1) if older is None else older
    newer = max(older + 1, _version(new) or 0) if newer is None else newer
    if newer <= older:
        raise click.UsageError(f"a migration leads to a later version, not from {older} to {newer}")
    module, cls = _class(new)
    if name is None and not cls:
        raise click.UsageError("name the class that the migration is for: --name Research")
    is_there = name in (None, cls)
    schemas = _schema(old), _schema(new)
    text = draft(*schemas, name or cls, older, newer, module if is_there else "")
    if settings().json:
        print_json({"source": text})
    else:
        say(text.rstrip())


def _version(text: str) -> int | None:
    """The version of a class; None of a file, which says none."""
    if text.endswith(FILE_END):
        return None
    from perdure.schemas.declare import declared_of

    return declared_of(class_named(text)).version


def _class(text: str) -> tuple[str, str]:
    """The module and the class that are named; empty if a file is."""
    module, _, name = ("", "", "") if text.endswith(FILE_END) else text.partition(":")
    return (module, name) if "." not in name else ("", name.rpartition(".")[2])


def _schema(text: str) -> dict[str, Any]:
    """The JSON Schema of a class or in a file.

    Raises:
        click.UsageError: it is none, or cannot be read.
        UsageError: the class cannot be a schema.
    """
    if not text.endswith(FILE_END):
        from perdure.schemas.json_schema import json_schema_of

        return json_schema_of(class_named(text))
    try:
        with open(text, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(f"{safe(text)} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError(f"{safe(text)} holds no JSON Schema, which is an object")
    return found
