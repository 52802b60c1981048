"""`perdure effects`: what agents did to the world, and settling what nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perdure.cli.context import examples, gives_json, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import Cell, hint, print_json, say, table
from perdure.cli.waiting import parsed
from perdure.cli.words import moments
from perdure.core.abbreviate import abbreviate

if TYPE_CHECKING:
    from perdure.types import EffectInfo


class _Listing(click.Group):
    """A group whose first argument may be a state's key: then its effects are listed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant."""
        if args and args[0] not in self.commands:
            args = ["list", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Listing,
    epilog=examples("effects support/alice", "effects settle support/alice orders/17 --not-done"),
)
def effects() -> None:
    """See what agents did to the world, and settle what nobody knows.

    `perdure effects KEY` lists them.
    """


@effects.command("list", epilog=examples("effects list support/alice --unknown"))
@click.argument("key")
@click.option("--unknown", is_flag=True, help="Only those whose outcome nobody knows.")
@on_store
@gives_json
def list_(key: str, unknown: bool) -> None:
    """List the effects of the state KEY on all its branches, oldest first."""
    with opened(key) as store:
        found = [each for each in store.effects(key) if not unknown or each.status == "unknown"]
    if settings().json:
        print_json({"effects": [document(each) for each in found]})
        return
    if not found:
        say("no effect is unknown" if unknown else "no effect was ever claimed")
        return
    table(("effect", "status", "claimed", "by", "result"), [_row(each) for each in found])
    open_ = [each for each in found if each.status == "unknown"]
    if open_:
        where = f" --claims {open_[0].claims}" if open_[0].claims is not None else ""
        hint(
            f"find out, then: perdure effects settle {key} {open_[0].key}{where} "
            "--done RESULT | --not-done"
        )


@effects.command(
    epilog=examples(
        'effects settle support/alice orders/17 --done \'{"receipt": "re_1"}\' --by ann',
        "effects settle support/alice orders/17 --not-done",
    )
)
@click.argument("key")
@click.argument("effect")
@click.option("--done", metavar="JSON", help="It happened, and gave this: the agent gets it.")
@click.option("--not-done", is_flag=True, help="It did not happen: it may be performed.")
@click.option("--by", default="", metavar="WHO", help="Who found out.")
@click.option(
    "--claims", metavar="STATE", help="The other state that it was claimed in, if it was."
)
@on_store
@gives_json
def settle(
    key: str, effect: str, done: str | None, not_done: bool, by: str, claims: str | None
) -> None:
    """Say what became of an EFFECT of the state KEY whose outcome is unknown."""
    if (done is None) is not not_done:
        raise click.UsageError("say --done with what it gave (null for nothing), or --not-done")
    result = parsed(done) if done is not None else None
    with opened(key, write=True) as store:
        found = store.settle(
            key, effect, happened=not not_done, result=result, by=by, claims=claims
        )
    if settings().json:
        print_json({"effect": document(found)})
        return
    say(f"{effect} " + ("may be performed" if not_done else "counts as performed"))


def _row(info: EffectInfo) -> tuple[Cell, ...]:
    result = "" if info.result is None else abbreviate(info.result)
    by = f"settled by {info.by}" if info.by else info.about
    by += f", of {info.state}" if info.state is not None and not info.by else ""
    name = info.key if info.claims is None else f"{info.key} in {info.claims}"
    return name, info.status, moments(info.claimed), by, result
