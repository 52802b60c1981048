"""`perdure redact`: take a value out of all of a state's history, for good."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, say, table
from perdure.cli.words import safe

if TYPE_CHECKING:
    from perdure.reports import Redaction


PATTERN_SIGNS = frozenset("\\*[^$|")
"""What a text to be redacted seldom has, and a regular expression often."""


@click.command(
    epilog=examples(
        "redact support/alice profile/email --dry-run",
        "redact support/alice --match alice@example.com --reason 'request 12'",
        "redact support/alice 'messages/*/content' --regex '\\d{4} \\d{4}' --yes",
    )
)
@click.argument("key")
@click.argument("path", required=False)
@click.option("--match", metavar="TEXT", help="Each occurrence of this text.")
@click.option("--regex", metavar="RE", help="Whatever this regular expression of Python finds.")
@click.option("--reason", metavar="TEXT", help="Why; the receipt keeps it, and movements tells it.")
@click.option("--dry-run", is_flag=True, help="Only show where it is.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_store
@gives_json
@click.pass_context
def redact(
    ctx: click.Context,
    key: str,
    path: str | None,
    match: str | None,
    regex: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Take a value out of every checkpoint of the state KEY, for good.

    With a PATH, whatever ever stood there becomes "[redacted]"; * stands for any part of it, and
    for positions in lists. With --match or --regex only what is found does, in texts, bytes and
    keys; without a PATH everywhere, in labels, metadata, summaries, errors and results of effects
    too. Hashes of checkpoints stay, and the receipt is a movement, which never says what was taken
    away. It cannot be taken back: so it is shown, and asked for, unless --yes is given. Sessions
    that are open have to read the state again. Backups, exports and copies made before have it
    still. Where nothing is found, nothing is changed, which is no error; but if nothing ever stood
    at PATH, the exit code is 3: mind how it is spelt.
    """
    if match is not None and regex is not None:
        raise click.UsageError("--match goes without --regex")
    if path is None and match is None and regex is None:
        raise click.UsageError("nothing says what is to go: give a PATH, --match or --regex")
    if not (dry_run or yes) and not _is_asked():
        raise click.UsageError(
            "nobody is there to ask; look with --dry-run, then add --yes to redact"
        )
    wanted = _pattern(regex) if regex is not None else match
    with opened(key, write=not dry_run) as store:
        looks = dry_run or not yes
        told = store.redact(key, path, match=wanted, reason=reason, dry_run=looks)
        if looks and not dry_run:
            if not _agreed(told):
                ctx.exit(_code(told))
            told = store.redact(key, path, match=wanted, reason=reason)
    if settings().json:
        print_json({"redaction": document(told)})
    else:
        _show(told)
        if match is not None and not told.values and set(match) & PATTERN_SIGNS:
            hint("--match is taken as it stands; a regular expression is given by --regex")
    ctx.exit(_code(told))


def _code(told: Redaction) -> int:
    from perdure.cli.app import NOT_FOUND  # which has this command, and so cannot come before

    return 0 if told.is_there else NOT_FOUND


def _is_asked() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and not settings().json


def _pattern(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise click.UsageError(f"--regex {regex!r}: {error}") from error


def _agreed(found: Redaction) -> bool:
    """Whether whoever is there wants it to go; if nothing would, nobody is asked."""
    _show(found)
    if not found.values:
        return False
    if click.confirm("Redact it for good?", err=True):
        return True
    hint("nothing was changed")
    return False


def _show(told: Redaction) -> None:
    """Where it was, and what has it still."""
    rows = [(name, f"{count:,}") for name, count in {**told.sections, **told.elsewhere}.items()]
    if rows:
        table(("where", ">checkpoints"), rows)
        say()
    receipt = f"; receipt: movement {told.receipt}" if told.receipt is not None else ""
    done = f"{told.summary()}{receipt}" if rows else "nothing to redact"
    say(f"{safe(told.key)}: {done}")
    if not told.is_there:
        hint(f"nothing ever stood at {safe(told.path or '')}: mind how it is spelt")
    for warning in told.warnings:
        hint(safe(warning))
