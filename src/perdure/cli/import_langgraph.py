"""`perdure import langgraph`: threads that LangGraph's own savers kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from perdure.cli.classes import class_named
from perdure.cli.context import examples, gives_json, on_store, refuses_secrets
from perdure.cli.importing import adapter, move_in


@click.command(
    short_help="Import threads that LangGraph's own savers kept.",
    epilog=examples(
        "import langgraph checkpoints.sqlite --dry-run",
        "import langgraph checkpoints.sqlite --store agents.db",
        "import langgraph postgresql://localhost/agents --allow agent:Plan",
    ),
)
@click.argument("source", metavar="FILE|URL")
@click.option("--prefix", default="threads/", show_default=True, help="What keys begin with.")
@click.option(
    "--allow",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Make objects of this class, besides those that LangGraph knows to be safe.",
)
@click.option("--skip-failures", is_flag=True, help="Import all others where some fail.")
@click.option("--dry-run", is_flag=True, help="Only read, and say what would be imported.")
@refuses_secrets
@on_store
@gives_json
@click.pass_context
def langgraph(
    ctx: click.Context,
    source: str,
    prefix: str,
    allow: tuple[str, ...],
    skip_failures: bool,
    dry_run: bool,
) -> None:
    """Import the threads that LangGraph's SqliteSaver or PostgresSaver kept in FILE or at URL.

    Each thread becomes a state, as PerdureSaver keeps it: with the ids, parents and metadata of its
    checkpoints and their pending writes. A graph that waits at an interrupt there can be resumed
    here. The source is only read.

    Everything is read first; if some of it cannot be kept, nothing is written, unless
    --skip-failures is given. Then it is copied, read back, and compared by counts and hashes. A run
    that was interrupted goes on when it is started again.

    With --refuse-secrets nothing is written of a thread that has a secret anywhere; others go on.

    The exit code is 1 if any thread is not as in the source afterwards, or under --dry-run could
    not be.
    """
    classes = [class_named(each) for each in allow]
    with adapter():
        from perdure.adapters.langgraph.moving import ThreadMover, rows_of

        rows = rows_of(source)
    with closing(rows), _told_once():
        done = move_in(
            lambda store: ThreadMover(rows, store, prefix=prefix, allow=classes),
            dry_run=dry_run,
            skip_failures=skip_failures,
        )
    ctx.exit(done)


@contextmanager
def _told_once() -> Iterator[None]:
    """Let LangGraph not log what the table says, with a way out that is none for a command."""
    logger = logging.getLogger("langgraph.checkpoint.serde.jsonplus")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
