"""`perdure verify` and `stats`: is it whole, and what does it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perdure.cli.context import (
    ANCHOR_HELP,
    examples,
    gives_json,
    keep_anchor,
    on_store,
    opened,
    settings,
)
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.cli.states import name_unreadable
from perdure.cli.words import bytes_of, safe
from perdure.core.abbreviate import count
from perdure.errors import NeedsPerson

if TYPE_CHECKING:
    from perdure.reports import Stats, Unreferenced, Verified
    from perdure.store import Store
    from perdure.store_base import Progress

PAGE = 1000


@click.command(
    epilog=examples(
        "verify", "verify support/alice", "verify --repair --dry-run", "verify --repair"
    )
)
@click.argument("key", required=False)
@click.option("--all", "every", is_flag=True, help="Every state, as without KEY.")
@click.option("--repair", is_flag=True, help="Copy the store, then mend what can be mended.")
@click.option("--dry-run", is_flag=True, help="With --repair: only say what it would do.")
@click.option(
    "--backup",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Copy the store here. By default beside it, under a name that is free.",
)
@click.option("--no-backup", is_flag=True, help="Make no copy.")
@click.option(
    "--anchor",
    metavar="FILE",
    expose_value=False,
    callback=keep_anchor,
    help=ANCHOR_HELP,
)
@click.option(
    "--accept",
    is_flag=True,
    help="Let the anchor take what the store holds for the newest, as after a backup was put back.",
)
@on_store
@gives_json
@click.pass_context
def verify(
    ctx: click.Context,
    key: str | None,
    every: bool,
    repair: bool,
    dry_run: bool,
    backup: Path | None,
    no_backup: bool,
    accept: bool,
) -> None:
    """Read all of the state KEY, or of every state, and check it.

    Each checkpoint is checked against its place, its checksum and the chain, and all are replayed.
    What is wrong is told whole, with what helps. --repair makes pages of snapshots anew that are
    damaged or missing, from the records: nothing is guessed, and nothing is removed. The exit code
    is 1 if anything is not as it was saved. What is stored and nothing refers to is named too: it
    only takes space.
    """
    _check_options(key, every, repair, dry_run, backup, no_backup)
    if accept and settings().anchor is None:
        raise click.UsageError("--accept is about an anchor: say which, --anchor FILE")
    kept = backup or not no_backup
    writes = repair and not dry_run
    with (
        opened(key, write=writes or accept) as store,
        progress("verifying", quiet=settings().json) as report,
    ):
        if accept:
            _tell_accepted(store.reanchor())
        found = store.verify(key, repair=repair, dry_run=dry_run, backup=kept, progress=report)
        left = store.unreferenced() if key is None else []
    bad = [each for each in found if not each.ok]
    if settings().json:
        states, unreferenced = map(document, found), map(document, left)
        print_json({"ok": not bad, "states": [*states], "unreferenced": [*unreferenced]})
    else:
        _show_verified(found, dry_run)
        for each in left:
            hint(_note(each))
    ctx.exit(1 if bad else 0)


def _tell_accepted(states: int) -> None:
    newest = f"the anchor takes what the store holds for the newest, of {count(states, 'state')}"
    hint(f"{newest}: {safe(settings().anchor or '')}")


def _check_options(
    key: str | None,
    every: bool,
    repair: bool,
    dry_run: bool,
    backup: Path | None,
    no_backup: bool,
) -> None:
    """Refuse what does not go together."""
    if key is not None and every:
        raise click.UsageError("--all goes without a KEY")
    if not repair and (dry_run or backup is not None or no_backup):
        raise click.UsageError("--dry-run, --backup and --no-backup are for --repair")
    if backup is not None and no_backup:
        raise click.UsageError("--backup goes without --no-backup")


REMEDIES = {
    "repair": "verify --repair mends it",
    "around": "newer checkpoints are read without it: nothing has to be done",
    "last_good": 'opened by Store(…, on_damage="last_good") it goes back to what is whole',
    "let_go": "no branch leads there any more; perdure prune KEY --keep-left 0m lets go of it",
    "recover": "perdure recover finds what can be read",
    "backup": "restore a backup",
}
"""What helps against damage, as a command line says it."""


def _show_verified(found: Sequence[Verified], dry_run: bool) -> None:
    table(
        ("key", ">checkpoints", "found"),
        [(each.key, f"{each.checkpoints:,}", _found(each)) for each in found],
        whole=True,
    )
    for kept in sorted({each.backup for each in found if each.backup is not None}):
        say(f"copied to {safe(kept)} first")
    bad = [each for each in found if not each.ok]
    damage = [(state.key, each) for state in bad for each in state.damage]
    if damage:
        say()
        rows = [(key, each.summary(), REMEDIES[each.remedy]) for key, each in damage]
        table(("key", "damaged", "what helps"), rows, whole=True)
    if dry_run:
        count_pages = sum(each.pages for _, each in damage if each.remedy == "repair")
        say(f"would make {count(count_pages, 'page')} anew")
    if bad:
        hint(f"{len(bad)} of {count(len(found), 'state')} not as saved")
    for state in found:
        for each in state.unreferenced:
            hint(f"{safe(state.key)}: {_note(each)}")


def _found(state: Verified) -> str:
    mended = f"; {count(state.mended, 'page')} made anew" if state.mended else ""
    return f"{state.problem or 'ok'}{mended}"


NOTES = {
    "pages": ("page", "that no snapshot reaches: perdure maintain removes what is not needed"),
    "records": ("row", "of records on a line that no branch has"),
    "staged": (
        "row or page",
        "of a copy or an import that has not ended: perdure maintain removes it after a day",
    ),
    "headless": (
        "row or page",
        "of a state that is not there: its head was removed, by hand or by damage",
    ),
}
"""By kind, what is unreferenced: its unit, and what it is."""


def _note(found: Unreferenced) -> str:
    unit, what = NOTES[found.what]
    units = unit if found.count == 1 else unit.replace("row", "rows").replace("page", "pages")
    return f"{found.count:,} {units} ({bytes_of(found.bytes)}) {what}"


@click.command(epilog=examples("stats", "stats support/alice"))
@click.argument("key", required=False)
@on_store
@gives_json
@click.pass_context
def stats(ctx: click.Context, key: str | None) -> None:
    """Show what the state KEY costs to keep, or what every state does.

    Saved is what the saves said, before compression; stored is what is kept: records, packs of
    them, and pages of snapshots. The exit code is 1 if any state could not be read.
    """
    unreadable: list[str] = []
    with opened(key) as store, progress("counting", quiet=settings().json) as report:
        found = [store.stats(key)] if key is not None else _of_all(store, unreadable, report)
    if settings().json:
        states = [document(each) for each in found]
        print_json({"states": states, "unreadable": unreadable})
    else:
        if found:
            rows = [_row(each.key, each) for each in found]
            table(("key", ">checkpoints", ">saved", ">stored", ">stored/saved"), rows)
        elif not unreadable:
            hint("no states")
        if key is not None:
            _show_kinds(found[0])
            _show_sections(found[0])
        name_unreadable(unreadable)
    ctx.exit(1 if unreadable else 0)


def _of_all(store: Store, unreadable: list[str], report: Progress | None) -> list[Stats]:
    """What every state costs; those that cannot be read are added to `unreadable`."""
    found = []
    keys = list(keys_of(store))
    for done, key in enumerate(keys, 1):
        try:
            found.append(store.stats(key))
        except NeedsPerson:
            unreadable.append(key)
        if report is not None:
            report(done, len(keys))
    return found


def keys_of(store: Store, prefix: str = "") -> Iterator[str]:
    """The keys of all states that begin so, read page by page."""
    after = None
    while page := store.states(prefix, limit=PAGE, after=after):
        yield from (info.key for info in page)
        after = page[-1].key


def _row(name: str, found: Stats) -> tuple[str, ...]:
    ratio = f"{found.stored_bytes / found.raw_bytes:.2f}" if found.raw_bytes else ""
    sizes = bytes_of(found.raw_bytes), bytes_of(found.stored_bytes)
    return (name, f"{found.checkpoints:,}", *sizes, ratio)


def _show_kinds(found: Stats) -> None:
    say()
    table(("kind", ">stored"), [(kind, bytes_of(size)) for kind, size in found.stored.items()])
    say()
    snapshots = ", ".join(f"{number:,}" for number in found.snapshots) or "none"
    say(f"snapshots at: {snapshots}; records after the newest: {found.tail:,}")
    if found.pruned:
        kept = f"{found.checkpoints:,} are kept, {found.pruned:,} were pruned"
        say(f"checkpoints up to {found.checkpoints + found.pruned:,}: {kept}")


def _show_sections(found: Stats) -> None:
    say()
    if not found.sections:
        say(f"{safe(found.key)} has no sections")
        return
    by_size = sorted(found.sections.items(), key=lambda item: -item[1])
    table(("section", ">size now"), [(name, bytes_of(size)) for name, size in by_size])
