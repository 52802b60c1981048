"""`perdure schema`: which versions of schemas there are, and what untyped states hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from perdure import limits
from perdure.cli import schema_pairs
from perdure.cli.check import keys_of
from perdure.cli.context import MAIN, examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document, dumps
from perdure.cli.migrate import prefix_of
from perdure.cli.output import aligned, hint, print_json, progress, say, table
from perdure.cli.states import name_unreadable
from perdure.errors import NeedsPerson, StateNotFound

if TYPE_CHECKING:
    from perdure.schemas.present import SchemaVersion, UnreadableState
    from perdure.store import Store


@click.group(no_args_is_help=False, epilog=examples("schema versions", "schema infer 'support/*'"))
def schema() -> None:
    """Show the versions of schemas, infer one, compare two, draft a migration."""


@schema.command(epilog=examples("schema versions", "schema versions 'support/*'"))
@click.argument("keys", required=False, metavar="[PREFIX*]")
@on_store
@gives_json
@click.pass_context
def versions(ctx: click.Context, keys: str | None) -> None:
    """Count the states whose keys begin with PREFIX by schema and version, or all states.

    Of each state only its main branch is looked at, and of that only which schemas it has. The
    exit code is 1 if any state could not be read.
    """
    from perdure.core.versions import SECTION
    from perdure.schemas.present import Census
    from perdure.schemas.stamp import stamps_in

    census = Census()
    unreadable: list[UnreadableState] = []

    def count(key: str, sections: Mapping[str, Any]) -> None:
        stamps = stamps_in(sections.get(SECTION))
        census.add(key, {name: stamp.version for name, stamp in stamps.items()})

    with opened() as store:
        _each(store, _keys(store, keys), [SECTION], count, unreadable)
    found = census.versions()
    if settings().json:
        bad = [document(each) for each in unreadable]
        print_json({"versions": [document(each) for each in found], "unreadable": bad})
    else:
        _show(found, unreadable)
    ctx.exit(1 if unreadable else 0)


@schema.command(
    epilog=examples("schema infer 'support/*'", "schema infer --section plan > plan.json")
)
@click.argument("keys", required=False, metavar="[PREFIX*]")
@click.option("--section", "sections", multiple=True, metavar="NAME", help="Only this section.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=limits.inferred_states_default,
    show_default=True,
    metavar="N",
    help="Look at so many states, evenly spread over the keys.",
)
@on_store
@gives_json
@click.pass_context
def infer(ctx: click.Context, keys: str | None, sections: tuple[str, ...], sample: int) -> None:
    """Print a JSON Schema (2020-12) that all states fit whose keys begin with PREFIX, or all do.

    Of each state the newest checkpoint of main is read. Fields that all have are required. Texts
    are an enum only where a few words without spaces come again and again in several states: what
    users wrote is not to get into a schema, so look at the enums before you pass it on. The exit
    code is 1 if any state could not be read.
    """
    from perdure.schemas.infer import Inference

    inference = Inference()
    unreadable: list[UnreadableState] = []
    with opened() as store:
        looked = _spread(_keys(store, keys), sample)
        _each(store, looked, sections or None, lambda _, held: inference.see(held), unreadable)
    found = inference.schema()
    if settings().json:
        bad = [document(each) for each in unreadable]
        print_json({"schema": found, "states": inference.states, "unreadable": bad})
    else:
        say(dumps(found))
        if not inference.states:
            hint("no states")
        _name(unreadable)
    ctx.exit(1 if unreadable else 0)


def _keys(store: Store, keys: str | None) -> list[str]:
    return [*keys_of(store, prefix_of(keys))]


def _spread(keys: list[str], count: int) -> list[str]:
    """So many of the keys, at even distances."""
    if len(keys) <= count:
        return keys
    return [keys[at * len(keys) // count] for at in range(count)]


def _each(
    store: Store,
    keys: list[str],
    sections: list[str] | tuple[str, ...] | None,
    look: Callable[[str, Mapping[str, Any]], None],
    unreadable: list[UnreadableState],
) -> None:
    """Look at these sections of each state (None: all); what cannot be read is listed."""
    from perdure.schemas.present import UnreadableState

    with progress("reading", quiet=settings().json) as report:
        for done, key in enumerate(keys, 1):
            try:
                look(key, _read(store, key, sections))
            except StateNotFound:
                pass  # it was deleted meanwhile
            except NeedsPerson as error:
                unreadable.append(UnreadableState(key, str(error)))
            if report is not None:
                report(done, len(keys))


def _read(
    store: Store, key: str, sections: list[str] | tuple[str, ...] | None
) -> Mapping[str, Any]:
    view = store.at(key, MAIN, sections=sections)
    return {name: view[name] for name in (view if sections is None else sections) if name in view}


def _show(found: list[SchemaVersion], unreadable: list[UnreadableState]) -> None:
    rows = [
        (each.schema or "(none)", _number(each), f"{each.states:,}", each.example) for each in found
    ]
    if rows:
        table(("schema", ">version", ">states", "example"), rows)
    elif not unreadable:
        hint("no states")
    _name(unreadable)


def _number(found: SchemaVersion) -> str:
    return "" if found.version is None else str(found.version)


def _name(unreadable: list[UnreadableState]) -> None:
    """Say what could not be read, and why."""
    if unreadable:
        rows = [(each.key, each.problem) for each in unreadable]
        for line in aligned(("not readable", "problem"), rows, whole=True):
            hint(line)
        name_unreadable([each.key for each in unreadable])


for _command in (schema_pairs.compare, schema_pairs.draft):
    schema.add_command(_command)
