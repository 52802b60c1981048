"""`perdure scan`: secrets that are stored."""

from __future__ import annotations

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import hint, print_json, progress, say, table
from perdure.core.abbreviate import count


@click.command(
    epilog=examples(
        "scan support/alice", "scan --all --history", "scan --all --pattern 'Order=ot_[a-z]{20}'"
    )
)
@click.argument("key", required=False)
@click.option("--all", "every", is_flag=True, help="All states.")
@click.option("--history", is_flag=True, help="All that was ever saved, deleted states too.")
@click.option(
    "--pattern",
    "patterns",
    metavar="KIND=REGEX",
    multiple=True,
    help="Take this for a secret too; may be repeated.",
)
@on_store
@gives_json
@click.pass_context
def scan(
    ctx: click.Context, key: str | None, every: bool, history: bool, patterns: tuple[str, ...]
) -> None:
    """Find what looks like a secret (a key, a token) in the state KEY, or in all.

    It says where each is and of what kind, never what it is. What was overwritten or deleted is
    still stored: --history goes through that as well. The exit code is 1 if any is found. It takes
    the extra `secrets`: pip install 'perdure[secrets]'.
    """
    if (key is None) != every:
        raise click.UsageError("name a state, or all of them by --all")
    own = dict(map(_pattern, patterns))
    with opened(key) as store, progress("scanning", quiet=settings().json) as report:
        from perdure.secrets.policy import Secrets

        policy = Secrets(patterns=own)
        found = store.scan(key, history=history, secrets=policy, progress=report)
    if settings().json:
        print_json({"found": [document(each) for each in found]})
    elif not found:
        say("no secrets found")
    else:
        from perdure.core.paths import format_path

        rows = [
            (each.key, each.branch or "", str(each.number or ""), each.kind, format_path(each.path))
            for each in found
        ]
        table(("key", "branch", ">checkpoint", "kind", "place"), rows, whole=True)
        hint(
            f"{count(len(found), 'place')}: change what was given away, then take it out here: "
            "perdure redact KEY --match TEXT"
        )
    ctx.exit(1 if found else 0)


def _pattern(text: str) -> tuple[str, str]:
    kind, is_there, pattern = text.partition("=")
    if not kind or not is_there or not pattern:
        raise click.UsageError(f"--pattern {text!r}: write it as KIND=REGEX")
    return kind, pattern
