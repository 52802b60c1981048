"""The `perdure` command: look into a store, move states, check them.

One file per group of commands. click and rich are imported here and nowhere else in the library;
rich only when something is drawn on a terminal.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    from perdure.cli.app import app

    app.main(prog_name="perdure")
