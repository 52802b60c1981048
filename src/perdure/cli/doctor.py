"""`perdure doctor`: is this machine fit to keep states, and is the store in good order."""

from __future__ import annotations

import os

import click

from perdure.cli.context import examples, gives_json, key_options, on_store, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, say, to_terminal
from perdure.cli.words import safe

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=examples("doctor", "--store agents.db doctor"))
@on_store
@gives_json
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Examine this machine and, if one is named, the store; say what to do about it.

    Each line is ok, warn or fail; below a warn or fail stands the way out. The exit code is 1 if
    anything fails. Nothing is changed.
    """
    from perdure.cli.findings import of_machine, of_store

    findings = [*of_machine(), *of_store(settings().store, **_key())]
    failed = any(finding.status == "fail" for finding in findings)
    if settings().json:
        print_json({"ok": not failed, "findings": [document(finding) for finding in findings]})
        ctx.exit(1 if failed else 0)
    for finding in findings:
        say(f"{_styled(finding.status)}  {finding.check}: {safe(finding.found)}")
        if finding.way_out:
            say(f"      {safe(finding.way_out)}")
    ctx.exit(1 if failed else 0)


def _key() -> dict[str, str | None]:
    return key_options() if settings().store is not None else {}


def _styled(status: str) -> str:
    padded = status.ljust(4)
    if not to_terminal() or os.environ.get("NO_COLOR"):
        return padded
    return click.style(padded, fg=COLOURS[status])
