"""`perdure migrate`: bring many states to the newest version of a schema, or take that back."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import click

from perdure import limits
from perdure.cli.branches import DRY_RUN
from perdure.cli.classes import class_named
from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.words import moment, safe

if TYPE_CHECKING:
    from perdure.schemas.report import Migrated, MigrationFailure, Unmigrated


@click.command(
    epilog=examples(
        "migrate agent:Research 'support/*' --dry-run",
        "migrate agent:Research 'support/*'",
        "migrate --undo 06612da10217cc-f7a572a4",
        "migrate --list",
    )
)
@click.argument("schema", required=False, metavar="[MODULE:CLASS]")
@click.argument("keys", required=False, metavar="[PREFIX*]")
@click.option("--undo", "run", metavar="RUN", help="Roll back what this run migrated.")
@click.option("--list", "lists", is_flag=True, help="List the runs that migrated states.")
@click.option("--no-samples", is_flag=True, help="Show no state before and after.")
@click.option("--skip-failures", is_flag=True, help="Migrate all others where some fail.")
@DRY_RUN
@on_store
@gives_json
@click.pass_context
def migrate(
    ctx: click.Context,
    schema: str | None,
    keys: str | None,
    run: str | None,
    lists: bool,
    no_samples: bool,
    skip_failures: bool,
    dry_run: bool,
) -> None:
    """Migrate the states whose keys begin with PREFIX to the newest version of a schema.

    The schema is the class CLASS of the Python module MODULE. All states are looked at first; if
    one cannot be migrated none is, unless --skip-failures is given. Each is migrated in one commit,
    while agents go on; a run that was interrupted goes on when it is started again. A few states
    are shown before and after, with what users wrote: --no-samples leaves them out. A failure names
    the value that does not fit. A lens whose place no state has is named: it may be misspelt.

    --undo takes a run back, as far as nobody saved since. --list shows the runs that states tell
    of: how many each migrated, and how many are in an older version still.

    The exit code is 1 if no key begins so, or a state cannot be migrated or rolled back, or was
    saved to since; 4 if some are held by others, and are left for another run.
    """
    if lists:
        if run is not None or keys is not None or skip_failures or dry_run:
            raise click.UsageError(
                "--list goes alone, or with a prefix: migrate --list 'support/*'"
            )
        _list(prefix_of(schema))
        return
    prefix = prefix_of(keys)
    if run is not None:
        if schema is not None:
            raise click.UsageError("--undo goes without a schema: the run's id says it all")
        ctx.exit(_undo(run, dry_run))
    if schema is None or keys is None:
        raise click.UsageError("name the schema and the states: migrate module:Class 'prefix*'")
    cls = class_named(schema)
    with opened(write=not dry_run) as store:
        label = "looking" if dry_run else "migrating"
        with progress(label, quiet=settings().json) as report, _theirs():
            found = store.migrate(
                prefix, cls, dry_run=dry_run, skip_failures=skip_failures, progress=report
            )
    if no_samples:
        from msgspec.structs import replace

        found = replace(found, samples=())
    if settings().json:
        print_json({"migration": document(found)})
    else:
        _show(found)
    ctx.exit(_code(found))


@contextmanager
def _theirs() -> Iterator[None]:
    """Run migrations: what they print is none of our output; what ends them has more to say."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except BaseException as error:
        for note in getattr(error, "__notes__", ()):
            hint(safe(note))
        raise


def prefix_of(keys: str | None) -> str:
    """What the keys begin with.

    Raises:
        click.UsageError: there is no star at their end, or one elsewhere.
    """
    if keys is None:
        return ""
    if not keys.endswith("*") or "*" in keys[:-1]:
        raise click.UsageError(f"name keys by how they begin, with a star after it: {keys}*")
    return keys[:-1]


def _code(found: Migrated) -> int:
    """What to exit with."""
    from perdure.cli.app import FOUND, RETRY  # which has this command, and so cannot come before

    if found.failed or not found.states:
        return FOUND
    return RETRY if found.counts.get("busy") else 0


def _undo(run: str, dry_run: bool) -> int:
    from perdure.cli.app import FOUND, RETRY

    quiet = settings().json
    with opened(write=not dry_run) as store, progress("rolling back", quiet=quiet) as report:
        found = store.unmigrate(run, dry_run=dry_run, progress=report)
    if settings().json:
        print_json({"undone": document(found)})
    else:
        _show_undone(found)
    if found.failed or found.left_count:
        return FOUND
    return RETRY if found.busy else 0


def _show(found: Migrated) -> None:
    for sample in found.samples:
        say(f"{safe(sample.key)} ({safe(sample.branch)}): {sample.before} → {sample.after}")
        for line in sample.differences:
            say(f"  {safe(line)}")
        if not sample.differences:
            say("  nothing but its version: no lens or function found anything to change")
        if sample.more:
            say(f"  {sample.more:,} more")
    _show_failures(found.failures)
    for each in found.unmet:
        hint(safe(each.summary()))
    say(safe(found.summary()))
    if not found.states:
        begins = f"no key begins with {found.prefix!r}" if found.prefix else "the store is empty"
        hint(safe(f"nothing to migrate: {begins}"))
    if found.run:
        say(f"run {found.run}")
        hint(f"perdure migrate --undo {found.run} takes it back")
    elif found.refused:
        hint("--skip-failures migrates all others")


def _show_undone(found: Unmigrated) -> None:
    if found.left:
        table(("key", "saved to since on"), found.left, whole=True)
    _show_failures(found.failures)
    say(found.summary())
    if not (found.rolled_back or found.left_count or found.failed or found.busy):
        hint("no state is in what this run made of it: it was taken back, or its id is another one")


def _show_failures(failures: Sequence[MigrationFailure]) -> None:
    rows = [(each.key, each.branch, each.path, _problem(each)) for each in failures]
    if rows:
        table(("key", "branch", "path", "problem"), rows, whole=True)
    if len(rows) == limits.migration_failures_max:
        hint(f"only the first {len(rows):,} are named")


def _problem(failure: MigrationFailure) -> str:
    """What is wrong; of how many more the same is, too."""
    more = failure.count - 1
    return f"{failure.problem} (so are {more:,} more)" if more else failure.problem


def _list(prefix: str) -> None:
    with opened() as store, progress("reading", quiet=settings().json) as report:
        found = store.migrations(prefix, progress=report)
    if settings().json:
        print_json(document(found))
        return
    rows = [
        (
            each.run,
            moment(each.began),
            each.schema,
            " ".join(
                f"{older} → {each.version}: {count:,}" for older, count in each.counts.items()
            ),
            "done" if each.is_done else f"open: {each.left:,} left",
            each.prefix + "*",
        )
        for each in found.runs
    ]
    if rows:
        table(("run", "began", "schema", "migrated", "is", "keys"), rows, whole=True)
    else:
        hint("no state says that a run migrated it")
    _show_failures(found.unreadable)
