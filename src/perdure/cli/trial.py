"""`perdure demo`."""

from __future__ import annotations

from pathlib import Path

import click

from perdure.cli.context import examples, gives_json, settings


@click.command(epilog=examples("demo", "demo --kills 20 --seed 7"))
@click.option(
    "--path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Python code base to audit. By default the standard library of this Python.",
)
@click.option(
    "--kills",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="How many times to kill the agent.",
)
@click.option("--seed", type=int, help="Draws the moments of the kills. By default a new one.")
@gives_json
@click.pass_context
def demo(ctx: click.Context, path: Path | None, kills: int, seed: int | None) -> None:
    """Watch an agent at real work be killed and resume.

    It audits a Python code base and saves after each step, while it is killed with SIGKILL at
    random moments. At the end its report is compared with that of an agent nobody disturbed.
    """
    from perdure.demo import main

    ctx.exit(main(path, kills, seed, settings().json))
