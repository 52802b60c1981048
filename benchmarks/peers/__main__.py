"""`python -m benchmarks.peers`: measure the libraries one after another and print one table."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.document import PEERS, write
from benchmarks.peers.catalogue import ENTRIES
from benchmarks.peers.plot import drawn
from benchmarks.peers.table import how_measured, markdown, print_table
from benchmarks.peers.trial import ROOT, Row, trial
from benchmarks.report import about

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "plots" / "peers.svg"
WIDTH = 128
MESSAGES, MESSAGES_QUICK = (1_000, 5_000), (10, 30)
LOADS, LOADS_QUICK = 3, 1
LIMIT_S = 900.0


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if options.list:
        for name, entry in ENTRIES.items():
            console.print(f"{name:16} {entry.title}", highlight=False)
        return 0
    if wrong := _wrong(options):
        print(wrong, file=sys.stderr)
        return 2
    told, rows = _run(options)
    explained = how_measured(rows, _loads(options))
    print_table(console, rows, told, explained)
    if options.json:
        found = {"about": told, "how": explained, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    if options.write:
        shown = f"![Perdure beside other libraries]({PICTURE.relative_to(DOCUMENT.parent)})"
        section = f"{shown}\n\n{markdown(rows, told, explained)}"
        write(DOCUMENT, section, PEERS, {PICTURE: drawn(rows)})
    return 0


def _wrong(options: argparse.Namespace) -> str:
    unknown = set(options.names) - ENTRIES.keys()
    if unknown:
        return f"no such library: {', '.join(sorted(unknown))}; see --list"
    if options.write and (options.quick or options.names):
        return "--write keeps what a full run of all of them measured: no --quick, no names"
    return ""


def _run(options: argparse.Namespace) -> tuple[dict[str, str], list[Row]]:
    where = options.dir or ROOT / "build"
    where.mkdir(parents=True, exist_ok=True)
    rows = []
    status = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="peers-", dir=where) as made:
        directory = Path(made)
        told = about(directory, quick=options.quick, command=_command(options))
        told["sqlite"] += f"; Python's own, which the other libraries use: {sqlite3.sqlite_version}"
        for name in options.names or ENTRIES:
            for count in MESSAGES_QUICK if options.quick else MESSAGES:
                with status.status(f"{ENTRIES[name].title}: {count:,} messages"):
                    limit_s, loads = options.limit, _loads(options)
                    rows.append(trial(name, count, directory, loads=loads, limit_s=limit_s))
    return told, rows


def _loads(options: argparse.Namespace) -> int:
    return LOADS_QUICK if options.quick else LOADS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Perdure beside other libraries: the same messages, one durable save for each.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (see --list)")
    parser.add_argument("--list", action="store_true", help="name the libraries and stop")
    parser.add_argument("--quick", action="store_true", help="few messages: proves that they run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument(
        "--write", action="store_true", help="renew docs/benchmarks.md and docs/plots/peers.svg"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        help="on which disk to measure: a directory to work in (default: build/)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_S,
        metavar="SECONDS",
        help="how long one process may take (default: %(default)g)",
    )
    return parser


def _command(options: argparse.Namespace) -> str:
    flags = [name for name in ("--quick", "--write") if getattr(options, name[2:])]
    return " ".join(["python -m benchmarks.peers", *options.names, *flags])


if __name__ == "__main__":
    sys.exit(main())
