"""`perdure brief`: what is needed to carry on."""

from __future__ import annotations

import click

from perdure.cli.context import MAIN, examples, gives_json, on_branch, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, say
from perdure.cli.words import safe


@click.command(epilog=examples("brief support/alice", "brief support/alice --max-tokens 500"))
@click.argument("key")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="About how long it may be: a token is four characters.",
)
@click.option(
    "--conversation",
    metavar="SECTION",
    help="Where the user's last instruction is. By default in the first of messages, chat, "
    "conversation and history that there is.",
)
@on_branch
@on_store
@gives_json
def brief(key: str, max_tokens: int, conversation: str | None, branch: str | None) -> None:
    """Print what an agent or a person needs to carry on with the state KEY, as Markdown.

    Goal, last instruction, where it stopped, what is there and what is missing, what is unknown,
    waited for, in progress, blocked and to do, sub-agents, decisions, facts, and what changed
    around the agent: most important first.
    """
    with opened(key) as store, store.open(key, branch=branch or MAIN, must_exist=True) as session:
        found = session.briefing(max_tokens, conversation=conversation)
    if settings().json:
        print_json({"briefing": document(found), "markdown": str(found)})
    else:
        say(safe(str(found), keep="\n"))
