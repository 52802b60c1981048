"""`perdure import openai-agents`: conversations that sessions of the OpenAI Agents SDK kept."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import click

from perdure.cli.context import examples, gives_json, on_store, refuses_secrets
from perdure.cli.importing import adapter, move_in


@click.command(
    "openai-agents",
    short_help="Import conversations of the OpenAI Agents SDK.",
    epilog=examples(
        "import openai-agents conversations.db --dry-run",
        "import openai-agents conversations.db --store agents.db",
        "import openai-agents conversations.db --encryption-key env:SESSION_KEY",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prefix", default="sessions/", show_default=True, help="What keys begin with.")
@click.option(
    "--table", default="agent_messages", show_default=True, help="The table of the items in FILE."
)
@click.option(
    "--encryption-key",
    metavar="FORM",
    help="What an EncryptedSession was given, if one wrote FILE: env:NAME or file:PATH.",
)
@click.option("--skip-failures", is_flag=True, help="Import all others where some fail.")
@click.option("--dry-run", is_flag=True, help="Only read, and say what would be imported.")
@refuses_secrets
@on_store
@gives_json
@click.pass_context
def openai_agents(
    ctx: click.Context,
    file: Path,
    prefix: str,
    table: str,
    encryption_key: str | None,
    skip_failures: bool,
    dry_run: bool,
) -> None:
    """Import the conversations that sessions of the OpenAI Agents SDK kept in FILE.

    FILE is of a SQLiteSession, an AsyncSQLiteSession, an AdvancedSQLiteSession or a
    SQLAlchemySession on SQLite, encrypted or not. Each conversation becomes a state, as
    PerdureSession keeps it, and its branches become branches. The source is only read.

    Everything is read first; if some of it cannot be kept, nothing is written, unless
    --skip-failures is given. Then it is copied, read back, and compared by counts and hashes. A run
    that was interrupted goes on when it is started again.

    With --refuse-secrets nothing is written of a conversation that has a secret anywhere; others go
    on.

    The exit code is 1 if any conversation is not as in the source afterwards, or under --dry-run
    could not be.
    """
    secret = None if encryption_key is None else _secret(encryption_key)
    with adapter():
        from perdure.adapters.openai_agents.from_sqlite import SqliteItems
        from perdure.adapters.openai_agents.moving import ConversationMover

        items = SqliteItems(file, table, secret)
    with closing(items):
        done = move_in(
            lambda store: ConversationMover(items, store, prefix=prefix),
            dry_run=dry_run,
            skip_failures=skip_failures,
        )
    ctx.exit(done)


def _secret(form: str) -> str:
    """A secret by where it is: it is never an argument, which other processes see."""
    kind, _, name = form.partition(":")
    found = None
    if kind == "env":
        found = os.environ.get(name)
    elif kind == "file" and Path(name).is_file():
        found = Path(name).read_text().strip()
    if not found:
        raise click.UsageError(
            f"--encryption-key: there is nothing at {form!r}: env:NAME, file:PATH"
        )
    return found
