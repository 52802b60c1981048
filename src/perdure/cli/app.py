"""The `perdure` command itself: its commands, its errors and its exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from perdure import __version__, errors
from perdure.cli import (
    blame,
    branches,
    brief,
    check,
    diff,
    doctor,
    effects,
    erase,
    files,
    history,
    import_langgraph,
    import_openai,
    importing,
    keys,
    log,
    merging,
    migrate,
    prune,
    recover,
    redact,
    retention,
    scan,
    schema,
    showing,
    states,
    tasks,
    trial,
    upgrade,
    upkeep,
    waiting,
    watch,
)
from perdure.cli.context import (
    ANCHOR_HELP,
    ANCHOR_VARIABLE,
    KEY_HELP,
    KEY_VARIABLE,
    KEYS_HELP,
    STORE_HELP,
    VARIABLE,
    keep_anchor,
    keep_key,
    keep_keys,
    keep_store,
)
from perdure.cli.documents import dumps
from perdure.cli.words import safe

HELP_OPTIONS = ["-h", "--help"]

FOUND, USAGE, NOT_FOUND, RETRY, RELOAD, PERSON, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

EXIT_CODES = {
    0: "done",
    FOUND: "a problem was found (verify, stats, recover, maintain, migrate, schema, upgrade, "
    "prune, keys, doctor, scan, import, demo), or a difference (diff --exit-code)",
    USAGE: "the call was wrong, or has to say more: of a merge, which side is right",
    NOT_FOUND: "no such state, branch, checkpoint or path",
    RETRY: "nothing is wrong; try again later",
    RELOAD: "what was read is out of date; run it again",
    PERSON: "the store or the machine needs a person: no store there, damage, no permission",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""What each exit code means; they never change."""

_CODES: tuple[tuple[type[errors.PerdureError], int], ...] = (
    (errors.StateNotFound, NOT_FOUND),
    (errors.CheckpointNotFound, NOT_FOUND),
    (errors.BranchNotFound, NOT_FOUND),
    (errors.PathNotFound, NOT_FOUND),
    (errors.UsageError, USAGE),
    (errors.MergeConflicts, USAGE),  # running it again never helps; a strategy does
    (errors.Retryable, RETRY),
    (errors.Reload, RELOAD),
)


def exit_code(error: errors.PerdureError) -> int:
    """What to exit with for an error, by what would be done about it."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), PERSON)


class App(click.Group):
    """A group whose errors and exit codes are ours, also when called by a test."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and exit with the code that `EXIT_CODES` documents."""
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        as_json = "--json" in given
        for stream in (sys.stdout, sys.stderr):
            # Whatever a state holds can be printed, whatever the terminal's encoding.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            code = INTERRUPTED
        except click.UsageError as error:
            text = error.format_message() + _back(error, given)
            code = _tell("usage", text, as_json, USAGE, error.ctx)
        except click.ClickException as error:
            code = _tell("usage", error.format_message(), as_json, USAGE)
        except errors.PerdureError as error:
            code = _tell(error.kind, str(error), as_json, exit_code(error))
        except _NotPrinted as error:
            code = _tell("output", f"the output could not be written: {error}", as_json, PERSON)
        sys.exit(code or 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; that nobody reads on (`| head`) is no error."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _give_up_output()
            result = 0
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise
            _give_up_output()
            raise _NotPrinted(error.strerror or str(error)) from error
        return result


class _NotPrinted(Exception):
    """What a command has to say found no place, such as on a full disk."""


def _give_up_output() -> None:
    """What is still buffered must go somewhere when the interpreter exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(
    kind: str, message: str, as_json: bool, code: int, ctx: click.Context | None = None
) -> int:
    if as_json:
        click.echo(dumps({"error": {"kind": kind, "message": message}}), err=True)
        return code
    if ctx is not None:
        click.echo(f"{ctx.get_usage()}\nHelp: {ctx.command_path} --help\n", err=True)
    click.echo(f"Error: {safe(message)}", err=True)
    return code


def _back(error: click.UsageError, given: Sequence[str]) -> str:
    """What to write instead of a number before which stands a dash, which no option has."""
    if not isinstance(error, click.NoSuchOption):
        return ""
    numbers = (each[1:] for each in given if each[:1] == "-" and each[1:].isdecimal())
    back = next(numbers, None)
    return f" So many checkpoints before the newest: ~{back}" if back else ""


def _exit_codes() -> str:
    return "\b\n" + "\n".join(
        ["Exit codes:", *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())]
    )


@click.group(
    cls=App,
    epilog=_exit_codes(),
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 100},
)
@click.option(
    "--store",
    metavar="URL",
    envvar=VARIABLE,
    show_envvar=True,
    expose_value=False,
    callback=keep_store,
    help=STORE_HELP,
)
@click.option(
    "--key",
    "named_key",
    metavar="FORM",
    expose_value=False,
    callback=keep_key,
    help=f"{KEY_HELP} By default the key that {KEY_VARIABLE} holds.",
)
@click.option("--keys-url", metavar="URL", expose_value=False, callback=keep_keys, help=KEYS_HELP)
@click.option(
    "--anchor",
    metavar="FILE",
    envvar=ANCHOR_VARIABLE,
    show_envvar=True,
    expose_value=False,
    callback=keep_anchor,
    help=ANCHOR_HELP,
)
@click.version_option(__version__, message="perdure %(version)s")
def app() -> None:
    """Look into what agents keep: their states, checkpoints and sessions.

    Every command that prints data takes --json. Commands that only read never make a store.
    """


for _library in (import_langgraph.langgraph, import_openai.openai_agents):
    importing.import_.add_command(_library)
for _command in (
    trial.demo,
    states.ls,
    showing.show,
    log.log,
    diff.diff,
    blame.blame,
    brief.brief,
    effects.effects,
    waiting.waiting,
    waiting.answer,
    tasks.tasks,
    history.sessions,
    branches.branches,
    branches.fork,
    branches.rollback,
    branches.promote,
    merging.merge,
    branches.branch,
    branches.undo,
    branches.redo,
    branches.movements,
    watch.watch,
    files.export,
    importing.import_,
    files.backup,
    states.copy,
    states.rm,
    states.undelete,
    check.verify,
    check.stats,
    recover.recover,
    scan.scan,
    upkeep.maintain,
    migrate.migrate,
    upgrade.upgrade,
    keys.keys,
    schema.schema,
    prune.prune,
    erase.erase,
    retention.sweep,
    redact.redact,
    doctor.doctor,
):
    app.add_command(_command)
