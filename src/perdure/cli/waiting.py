"""`perdure waiting` and `perdure answer`: what agents wait for, and what they are told."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.context import MAIN, examples, gives_json, on_branch, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import Cell, hint, print_json, say, table
from perdure.cli.words import moment, moments
from perdure.core.abbreviate import abbreviate
from perdure.core.json_forms import encode

if TYPE_CHECKING:
    from perdure.types import Question


@click.command(epilog=examples("waiting", "waiting support/", "waiting --due"))
@click.argument("prefix", default="")
@click.option("--due", is_flag=True, help="Instead, timers whose time has come, and what expired.")
@on_store
@gives_json
def waiting(prefix: str, due: bool) -> None:
    """List the questions that agents wait with, of all states whose keys begin with PREFIX."""
    with opened() as store:
        found = store.due(prefix=prefix) if due else store.waiting(prefix)
    if settings().json:
        print_json({"questions": [_document(each) for each in found]})
        return
    if not found:
        say("nothing is due" if due else "nobody waits for an answer")
        return
    table(("state", "question", "asked", "until", "what"), [_row(each) for each in found])
    answerable = [each for each in found if each.where is None]
    if answerable and not due:
        first = answerable[0]
        hint(f"to answer: perdure answer {first.key} {shlex.quote(first.id)} VALUE")


@click.command(epilog=examples("answer support/alice 'approve refund' true --by ann"))
@click.argument("key")
@click.argument("question")
@click.argument("value", metavar="JSON")
@click.option("--by", default="", metavar="WHO", help="Who answers.")
@on_branch
@on_store
@gives_json
def answer(key: str, question: str, value: str, by: str, branch: str | None) -> None:
    """Answer a QUESTION that the agent of the state KEY waits with.

    It goes on when it is started again. The answer is JSON: a text stands in quotes.
    """
    with opened(key, write=True) as store:
        found = store.answer(key, question, parsed(value), by=by, branch=branch or MAIN)
    if settings().json:
        print_json({"question": _document(found)})
        return
    say(f"{question} is answered")


def parsed(text: str) -> Any:
    """A value as given on the command line.

    Raises:
        click.UsageError: it is no JSON.
    """
    from json import JSONDecodeError, loads

    try:
        return loads(text)
    except JSONDecodeError as error:
        raise click.UsageError(
            f"{text!r} is no JSON ({error}): a text stands in quotes, as in '\"yes\"'"
        ) from None


def _document(question: Question) -> dict[str, Any]:
    return {**document(question), "payload": encode(question.payload)}


def _row(question: Question) -> tuple[Cell, ...]:
    due = moment(question.due) if question.due is not None else ""
    what = "timer" if question.is_timer else abbreviate(question.payload)
    if question.where is not None:
        what += f" (answered in {question.where})"
    return question.key, question.id, moments(question.asked), due, what
