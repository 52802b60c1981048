"""`python -m perdure.testing COMMAND …`."""

import argparse
import importlib
import sys

COMMANDS = {
    "contract": "put a backend through the backend contract",
    "simulate": "run the engine under simulated schedules, crashes and lost answers",
}
"""Each names a module of this package whose `main` takes the rest of the command line."""


def main(argv: list[str]) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in COMMANDS.items():
        commands.add_parser(name, help=about, add_help=False)
    command = parser.parse_args(argv[:1]).command
    code: int = importlib.import_module(f"perdure.testing.{command}").main(argv[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
